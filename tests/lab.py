"""JupyterLab on loopback, driven by Chromium: what `test_panel.py` needs, and how the pictures of the panel are taken:

    python tests/lab.py nbs/images [RUN] [--dark] [--tab=Train ...]"""
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-default-apps", "--metrics-recording-only", "--mute-audio"]


def chromium():
    "The path of a Chromium or Chrome on this machine, or None."
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)


def share_of_processor():
    "The part of a processor that this process gets now: 1 on a quiet machine, 0.1 where ten others want it."
    begin, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < .1:
        pass
    return min(1, .1 / (time.perf_counter() - begin))


def until(condition, seconds, what, pause=.2):
    """Wait until `condition()` is true, and return what it gave.

    `seconds` are those of a quiet machine: time in which other programs had the processor does not count."""
    waited, at = 0, time.perf_counter()
    while not (found := condition()):
        if waited > seconds:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(pause)
        if time.perf_counter() - at > 1:
            waited += (time.perf_counter() - at) * share_of_processor()
            at = time.perf_counter()
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_notebook(path, *cells):
    "A notebook of code cells."
    kernel = {"display_name": "python3", "language": "python", "name": "python3"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbformat.write(book, path)


@contextmanager
def jupyterlab(root, dark=False):
    "Start JupyterLab on `root` with settings of its own; gives the function that makes the address of a notebook."
    home = Path(root) / ".lab"
    port, token = free_port(), secrets.token_hex(16)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}))
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    environment = {**os.environ, "HOME": str(home), **{name: str(home / folder) for name, folder in folders.items()}}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--allow-root", "--LabApp.news_url=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly"]
    with open(home / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        def answers():
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5).close()
                return True
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, "JupyterLab did not start:\n" + (home / "server.log").read_text()[-2000:]

        until(answers, 60, "JupyterLab to start")
        yield lambda notebook: f"http://127.0.0.1:{port}/lab/tree/{notebook}?token={token}&reset"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@contextmanager
def browser_page(width=1280, height=1000):
    "A page of a headless Chromium that reaches loopback only; `page.strange` collects every other address it asked for."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(600_000)  # of a click and the like; what is waited for has its own limit
        page.strange = []
        page.on("request", lambda request: None if request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
                else page.strange.append(request.url))
        try:
            yield page
        finally:
            browser.close()


def kernel_is_idle(page):
    return page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count()


def open_notebook(page, address):
    "Open a notebook and wait until its kernel is ready."
    page.goto(address, wait_until="domcontentloaded")
    until(lambda: kernel_is_idle(page), 120, "the kernel to start")
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Escape")


def run_cell(page, number):
    "Run one cell of the notebook, counted from 0, and return when the notebook has sent it to the kernel."
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    cell.locator(".cm-content").click()
    for _ in range(20):  # a key that is pressed before the cell has the focus is lost
        page.keyboard.press("Control+Enter")
        try:
            until(lambda: prompt.inner_text() != before, 1, "the cell to be sent", pause=.02)
            return cell
        except AssertionError:
            pass
    raise AssertionError(f"cell {number} did not run")


def finish_cell(page, number):
    "Run one cell and wait until the kernel has finished it, as long as the kernel lives; an error of the cell is raised."
    cell = run_cell(page, number)
    prompt, status = cell.locator(".jp-InputPrompt").first, page.locator(".jp-Notebook-ExecutionIndicator").first

    def finished():
        lost = status.get_attribute("data-status") in ("dead", "autorestarting", "terminating")
        assert not lost and not page.locator(".jp-Dialog").count(), "the kernel died"
        return re.fullmatch(r"\[\d+\]:?", prompt.inner_text().strip())

    until(finished, 600, f"the kernel to finish cell {number}")
    errors = cell.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")
    assert not errors.count(), errors.first.inner_text()
    return cell


def restart_kernel(page):
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator('.lm-Menu-item[data-command="kernelmenu:restart"]').click()
    page.locator(".jp-Dialog button", has_text="Restart").last.click()
    page.locator(".jp-Dialog").wait_for(state="detached")
    until(lambda: kernel_is_idle(page), 120, "the kernel to start again")


TABS = ("Model", "Data", "Train", "Results", "Export", "Runs")


def pictures(folder, run=None, dark=False, width=1240, tabs=TABS):
    "Save a picture of each tab of the real panel, as it shows a run and the report on its data, in 48 colours."
    import tempfile
    from PIL import Image
    with tempfile.TemporaryDirectory() as root:
        if run:
            shutil.copytree(run, Path(root) / "runs" / "minilm-1", ignore=shutil.ignore_patterns("checkpoints"))
        write_notebook(Path(root) / "panel.ipynb",
                       "from cockatoo import studio\nstudio(" + 'run="runs/minilm-1"' * bool(run) + ")")
        with jupyterlab(root, dark) as address, browser_page(width, 2600) as page:
            open_notebook(page, address("panel.ipynb"))
            page.keyboard.press("Control+b")
            finish_cell(page, 0)
            panel = page.locator(".ck-studio").first
            panel.wait_for(timeout=60_000)
            for name in tabs:
                panel.get_by_role("tab").filter(has_text=re.compile(f"^{name}$")).click()
                if name == "Data":
                    page.get_by_role("button", name="Show the data").click()
                    page.get_by_text("The first 5 rows").wait_for(timeout=120_000)
                    page.get_by_role("button", name="Check the data").click()
                    page.get_by_text("Save as a page").wait_for(timeout=240_000)
                if name == "Results" and run:
                    page.get_by_label("Text", exact=True).fill("your account is locked, send the fee today to get it back")
                    page.get_by_role("button", name="Label it").click()
                    page.get_by_text("Labels of this text").wait_for(timeout=120_000)
                page.wait_for_timeout(1200)
                path = Path(folder) / f"panel-{name.lower()}{'-dark' if dark else ''}.png"
                panel.screenshot(path=path)
                colours = Image.open(path).convert("RGB").quantize(48, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
                colours.save(path, optimize=True)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = [word.removeprefix("--tab=") for word in sys.argv[1:] if word.startswith("--tab=")]
    pictures(*words, dark="--dark" in sys.argv, tabs=chosen or TABS)
