"""JupyterLab and Voilà on loopback, driven by Chromium: what `test_panel.py` and `test_voila.py` need, and how the pictures of the panel are taken:

    python tests/lab.py nbs/images [RUN ...] [--dark] [--tab=Train ...]"""
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


def own_folders(home):
    "The environment of a Jupyter server that reads and writes no settings of the user's."
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    return {**os.environ, "HOME": str(home), **{name: str(home / folder) for name, folder in folders.items()}}


@contextmanager
def server(name, command, home, answers, **keywords):
    "Start a server with a log in `home`, and wait until `answers()` is true; gives what it gave."
    log = home / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, env=own_folders(home), stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **keywords)
    try:
        def ready():
            assert process.poll() is None, f"{name} did not start:\n{log.read_text()[-2000:]}"
            return answers()

        yield until(ready, 60, f"{name} to start")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def reachable(address):
    "Does something answer at this address?"
    try:
        urllib.request.urlopen(address, timeout=5).close()
        return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def jupyterlab(root, dark=False):
    "Start JupyterLab on `root` with settings of its own; gives the function that makes the address of a notebook."
    home = Path(root) / ".lab"
    port, token = free_port(), secrets.token_hex(16)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--allow-root", "--LabApp.news_url=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly"]
    with server("JupyterLab", command, home, lambda: reachable(f"http://127.0.0.1:{port}/api?token={token}")):
        yield lambda notebook: f"http://127.0.0.1:{port}/lab/tree/{notebook}?token={token}&reset"


@contextmanager
def voila(root, theme="light"):
    "Run `make studio` in a copy of its files in `root`, which gets the runs; gives the address of the panel."
    repository, root = Path(__file__).parent.parent, Path(root)
    shutil.copytree(repository / "scripts", root / "scripts")
    for name in "Makefile", "settings.ini", "setup.py", "constraints.txt":
        shutil.copy(repository / name, root)
    home, venv = root / ".lab", root / ".venv"
    for folder in home, venv / "bin":
        folder.mkdir(parents=True)
    for name, module in {"python": "", "voila": "-m voila"}.items():  # stand in for those of .venv
        (venv / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (venv / "bin" / name).chmod(0o755)
    (venv / ".ready").touch()  # newer than what it depends on, so nothing is installed
    command = ["make", "studio", f"PORT={free_port()}", f"THEME={theme}", "OPTIONS=--no-browser"]
    address = re.compile(r"^(http://\S+)\s*$", re.MULTILINE)

    def answers():
        found = address.search((home / "server.log").read_text())
        return found and found[1]

    with server("Voilà", command, home, answers, cwd=root) as page:
        yield page


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


def pictures(folder, *runs, dark=False, width=1240, tabs=TABS):
    "Save a picture of each tab of the real panel, as it shows the first run, the report on its data and the list of runs, in 48 colours."
    import tempfile
    from PIL import Image
    with tempfile.TemporaryDirectory() as root:
        copies = [Path(root) / "runs" / Path(run).resolve().name for run in runs]
        for run, copy in zip(runs, copies):
            shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints"))
        shown = f'run="runs/{copies[0].name}"' if runs else ""
        write_notebook(Path(root) / "panel.ipynb", f"from cockatoo import studio\nstudio({shown})")
        with jupyterlab(root, dark) as address, browser_page(width, 3200) as page:
            open_notebook(page, address("panel.ipynb"))
            page.keyboard.press("Control+b")
            finish_cell(page, 0)
            panel = page.locator(".ck-studio").first
            panel.wait_for(timeout=60_000)
            for name in tabs:
                panel.get_by_role("tab").filter(has_text=re.compile(f"^{name}$")).click()
                fill_tab(page, name, copies)
                page.wait_for_timeout(1200)
                path = Path(folder) / f"panel-{name.lower()}{'-dark' if dark else ''}.png"
                panel.screenshot(path=path)
                colours = Image.open(path).convert("RGB").quantize(48, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
                colours.save(path, optimize=True)


def fill_tab(page, name, runs):
    "Use a tab as a visitor would before its picture is taken."
    if name == "Data":
        page.get_by_role("button", name="Show the data").click()
        page.get_by_text("The first 5 rows").wait_for(timeout=120_000)
        page.get_by_role("button", name="Check the data").click()
        page.get_by_text("Save as a page").wait_for(timeout=240_000)
    if name == "Results" and runs:
        page.get_by_label("Text", exact=True).fill("your account is locked, send the fee today to get it back")
        page.get_by_role("button", name="Label it").click()
        page.get_by_text("Labels of this text").wait_for(timeout=120_000)
    if name == "Runs" and len(runs) > 1:
        page.locator(".ck-studio select[multiple]").select_option([run.name for run in runs[:2]])
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator(".ck-studio .widget-tab pre.ck-code:visible").first.wait_for(timeout=120_000)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = [word.removeprefix("--tab=") for word in sys.argv[1:] if word.startswith("--tab=")]
    pictures(*words, dark="--dark" in sys.argv, tabs=chosen or TABS)
