"""`make studio`: the panel as a page of its own, served by Voilà, from a file with another column to the metrics of a finished run."""
import importlib.util
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import lab
from test_panel import Panel, needs_browser, read_log

needs_voila = pytest.mark.skipif(not importlib.util.find_spec("voila"), reason="voila is not installed (pip install 'cockatoo[app]')")


def kernels():
    "The process ids of the kernels that Voilà has started here, by their connection files."
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "ipykernel_launcher" in words and "voila_" in " ".join(words):
            found[int(path.parent.name)] = os.readlink(path.parent / "cwd")
    return found


def listening(port):
    "The addresses on which a TCP port listens, as the kernel of Linux writes them."
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


@needs_browser
@needs_voila
def test_the_studio_as_an_app(tmp_path):
    (tmp_path / "posts.csv").write_text("comment,scam\n" + "".join(
        f"{'send the fee now' if i % 2 else 'a fine day'} number {i},{i % 2}\n" for i in range(120)))
    with lab.voila(tmp_path) as address, lab.browser_page(900) as page:
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            drive(page, address, tmp_path)
        except BaseException:
            page.screenshot(path=tmp_path / "failed.png")
            print(f"what the page looked like: {tmp_path / 'failed.png'}\n{(tmp_path / '.lab/server.log').read_text()[-2000:]}")
            raise
        assert not errors, errors
        assert page.strange == [], "the studio asked for something outside of this machine"


def drive(page, address, root):
    # this machine only, and only for those who have the address with its token
    port = int(re.search(r":(\d+)/", address)[1])
    if Path("/proc/net/tcp").exists():
        assert listening(port) == {"0100007F"}, "127.0.0.1 was expected"
    page.goto(address, wait_until="domcontentloaded")
    panel = Panel(page)
    lab.until(panel.box.count, 60, "the panel")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/kernels/00000000-0000-0000-0000-000000000000", timeout=10)

    # type, size, a file whose columns are confirmed, a short run
    panel.field("Model type").select_option("minilm")
    panel.field("Size").select_option("tiny")
    panel.wait("--size tiny")
    panel.tab("Data")
    panel.type("Data", "posts.csv")
    panel.wait("Is this right?")
    panel.click("Use these columns")
    panel.wait("--data.text-column comment")
    panel.tab("Train")
    panel.type("num epochs", "1")
    panel.wait("--training.num-epochs 1")
    panel.click("Train")
    panel.wait("finished", 60)
    assert panel.box.locator("svg polyline[points]:not([points=''])").count(), "no curve"
    panel.tab("Results")
    panel.wait("Labels on the test split")
    assert read_log(root / "runs" / "minilm-1")[-1]["status"] == "finished"

    # another visitor gets another kernel, and sees the runs; a kernel goes with its page
    mine = lambda: {pid for pid, folder in kernels().items() if folder.startswith(str(root))}
    before = mine()
    other = page.context.browser.new_page()
    other.goto(address, wait_until="domcontentloaded")
    lab.until(Panel(other).box.count, 60, "the panel of another visitor")
    assert not Path("/proc").exists() or len(mine() - before) == 1
    assert Panel(other).field("Size").input_value() == "base", "the choices of one visitor are not those of another"
    Panel(other).tab("Runs")
    Panel(other).wait("1 run")
    other.close(run_before_unload=True)

    # nothing is cut at this width, in any tab
    for tab in lab.TABS:
        panel.tab(tab)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{tab} is {wider} pixels wider than the window"
