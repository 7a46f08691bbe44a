"""The panel as a user meets it: JupyterLab in a browser, clicks, a real training in another process."""
import importlib.util
import json
import os
import re
import signal
from pathlib import Path

import pytest

import lab
from cockatoo import resolve
from cockatoo.captioner.scenes import write_scenes

needs_browser = pytest.mark.skipif(not lab.chromium() or not importlib.util.find_spec("playwright"),
                                   reason="no Chromium found (Debian's package is `chromium`), or playwright is not installed")


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


class Panel:
    "The panel on the page, by what a user reads on it."

    def __init__(self, page):
        self.page, self.box = page, page.locator(".ck-studio").first

    def field(self, name):
        return self.box.get_by_label(name, exact=True)

    def type(self, name, value):
        self.field(name).fill(value)
        self.field(name).press("Enter")

    def tab(self, name):
        self.box.get_by_role("tab").filter(has_text=re.compile(f"^{name}$")).click()

    def button(self, name):
        return self.box.get_by_role("button", name=name, exact=True)

    def click(self, name):
        self.button(name).click()

    def wait(self, text, seconds=60):
        "Until the text is seen; the seconds are those of a quiet machine."
        lab.until(self.box.get_by_text(text).first.is_visible, seconds, f"{text!r} on the panel")

    def value_becomes(self, name, value):
        lab.until(lambda: self.field(name).input_value() == value, 20, f"{name} to become {value}")


def open_panel(page, address):
    "The panel of a notebook whose first cell shows it."
    lab.open_notebook(page, address)
    lab.finish_cell(page, 0)
    panel = Panel(page)
    panel.wait("cockatoo studio")
    return panel


@needs_browser
def test_the_panel_in_jupyterlab(tmp_path):
    lab.write_notebook(tmp_path / "work.ipynb", "from cockatoo import studio\nstudio()", "1+1")
    with lab.jupyterlab(tmp_path) as address, lab.browser_page() as page:
        try:
            drive(page, address("work.ipynb"), tmp_path / "runs" / "minilm-1")
        except BaseException:
            page.screenshot(path=tmp_path / "failed.png")
            print(f"what the page looked like: {tmp_path / 'failed.png'}")
            for log in (tmp_path / "runs").glob("*.log"):
                print(f"--- {log}\n{log.read_text()[-2000:]}")
            raise
    assert page.strange == [], "the panel asked for something outside of this machine"


@needs_browser
def test_a_captioner_in_jupyterlab(tmp_path):
    "The other family, from its type to a caption for an image that is uploaded."
    write_scenes(tmp_path / "scenes", (40, 8, 8), 32)
    lab.write_notebook(tmp_path / "work.ipynb", "from cockatoo import studio\nstudio()")
    with lab.jupyterlab(tmp_path) as address, lab.browser_page() as page:
        panel = open_panel(page, address("work.ipynb"))
        panel.field("Model type").select_option("captioner")
        panel.value_becomes("Size", "balanced")  # the sizes are the captioner's now
        panel.field("Size").select_option("tiny")
        panel.wait("--size tiny")
        panel.tab("Data")
        panel.wait("generated data, to try this family with")  # the data of the type before did not stay
        panel.type("Data", "scenes")
        panel.click("Check the data")
        panel.wait("Caption report", 120)
        panel.tab("Train")
        panel.type("num epochs", "1")
        panel.wait("--training.num-epochs 1")
        panel.click("Train")
        panel.wait("finished", 120)
        panel.wait("Validation loss")
        panel.tab("Results")
        panel.wait("test, held_back")
        gallery = page.frame_locator("iframe[title='Captions before and after']").get_by_text("before and after")
        lab.until(gallery.first.is_visible, 20, "the gallery")
        with page.expect_file_chooser() as chooser:
            panel.box.get_by_role("button", name="Upload").click()
        chooser.value.set_files(str(next((tmp_path / "scenes" / "images").glob("test-*.png"))))
        panel.wait("Upload (1)")
        panel.click("Caption it")
        lab.until(panel.box.locator("img").is_visible, 120, "the image with its caption")
        panel.type("Image", "scenes/captions.jsonl")
        panel.click("Caption it")
        panel.wait("not an image, or of an unknown format")
    assert page.strange == [], "the panel asked for something outside of this machine"


OTHERS = {  # Type: (title of its report, a setting, its value, the field of the trial, what is typed, the button, what is seen of the answer)
    "minilm-embed": ("Report on pairs", "max samples", "300", "Query", "what do hares eat?", "Search", "table:has-text('Nearest documents')"),
    "decoder": ("Document report", "max samples", "60", "Text", "the", "Complete it", "pre:has-text('the')"),
    "latent": ("Report on texts with targets", "max samples", "60", "Text", "Anna meets Ben.", "Write", "p[role='status']:not(.ck-dim):visible")}


@needs_browser
@pytest.mark.skipif(not os.environ.get("COCKATOO_TEST_SLOW"), reason="slow: run by make test-slow")
@pytest.mark.parametrize("model_type", OTHERS)
def test_another_family_in_jupyterlab(model_type, tmp_path):
    "From the type to its report, a training, a trial of the model, and an export."
    report, name, value, field, text, action, seen = OTHERS[model_type]
    lab.write_notebook(tmp_path / "work.ipynb", "from cockatoo import studio\nstudio()")
    with lab.jupyterlab(tmp_path) as address, lab.browser_page() as page:
        panel = open_panel(page, address("work.ipynb"))
        panel.field("Model type").select_option(model_type)
        panel.wait(f"--model-type {model_type}")  # the sizes are this type's now
        panel.field("Size").select_option("tiny")
        panel.wait("--size tiny")
        panel.tab("Data")
        panel.wait("generated data, to try this family with")
        panel.click("Check the data")
        panel.wait(report, 120)
        panel.tab("Train")
        panel.type(name, value)
        panel.wait(f"--data.{name.replace(' ', '-')} {value}")
        panel.click("Train")
        panel.wait("finished", 240)
        panel.tab("Results")
        panel.field(field).fill(text)
        panel.click(action)
        try: lab.until(lambda: panel.box.locator(seen).last.is_visible(), 60, "the answer")
        finally: page.screenshot(path=tmp_path / "results.png", full_page=True)
        panel.tab("Export")
        panel.box.get_by_text("Keep it anyway (--force)").click()  # a tiny model gains no speed
        panel.click("Export")
        panel.wait(f"runs/{model_type}-1/export", 240)
        panel.wait("files with a path of this machine")
        page.screenshot(path=tmp_path / "export.png", full_page=True)
    assert page.strange == [], "the panel asked for something outside of this machine"


def drive(page, address, folder):
    panel = open_panel(page, address)

    # the cards compare the types; a click chooses
    panel.wait("memory: up to")
    panel.click("modernbert")
    panel.value_becomes("Model type", "modernbert")

    # another type: every setting that follows from it changes, with its reason
    for model_type, size in (("modernbert", "base"), ("minilm", "base"), ("minilm", "tiny")):
        panel.field("Model type").select_option(model_type)
        panel.field("Size").select_option(size)
        config = resolve(model_type, size)
        panel.tab("Train")
        panel.value_becomes("learning rate", str(config.training.learning_rate))
        panel.value_becomes("batch size", str(config.training.batch_size))
        reason = panel.box.locator("label span[title]", has_text=re.compile("^learning rate$")).get_attribute("title")
        assert reason.endswith(config.why("training.learning_rate")), reason
        panel.tab("Model")

    # a wrong value is reported beside its field, and Train is disabled until it is corrected; a changed one goes back with a click
    panel.tab("Train")
    panel.type("batch size", "0")
    panel.wait("training.batch_size = 0: must be at least 1")
    lab.until(panel.button("Train").is_disabled, 10, "Train to be disabled")
    panel.type("batch size", "2")
    panel.type("num epochs", "1")
    panel.type("max samples", "1200")
    panel.wait("--data.max-samples 1200")
    panel.wait("--training.batch-size 2")
    panel.type("seed", "7")
    panel.wait("--training.seed 7")
    panel.box.locator(".ck-field", has_text="seed").get_by_role("button").click()
    lab.until(lambda: not panel.box.get_by_text("--training.seed 7").count(), 10, "the seed to go back")

    # every other setting is found by its name
    panel.field("Search").fill("near duplicates")
    lab.until(panel.field("near duplicates").is_visible, 20, "the setting that was searched for")
    panel.field("Search").fill("")

    # the other forms of the run; a pasted one fills the panel
    panel.click("YAML")
    panel.wait("batch_size: 2")
    panel.click("Command")
    panel.wait("--model-type minilm")
    command = panel.box.locator("pre.ck-code").last.inner_text()
    panel.box.get_by_text("Paste a command or YAML").click()
    panel.box.get_by_placeholder("paste a command").fill(command.replace("--training.batch-size 2", "--training.batch-size 4"))
    panel.click("Fill the panel")
    panel.value_becomes("batch size", "4")
    panel.type("batch size", "2")

    # a file with another column: the guess is shown, and a click sets it
    (folder.parents[1] / "posts.csv").write_text("comment,scam\n" + "".join(f"message number {i},{i % 2}\n" for i in range(40)))
    panel.tab("Data")
    panel.type("Data", "posts.csv")
    panel.wait("Is this right?")
    panel.click("Use these columns")
    panel.wait("--data.text-column comment")
    panel.type("Data", "demo")
    lab.until(lambda: not panel.box.get_by_text("--data.text-column").count(), 10, "the column to go with its file")

    # the data report: what was found, and a button that corrects it; the field and the command follow
    panel.click("Check the data")
    panel.wait("Reading the data")
    panel.wait("little from another", 120)
    panel.click("Set near duplicates to yes")
    panel.wait("The choices have changed since: check again.")
    panel.wait("--data.near-duplicates true")
    lab.until(lambda: not panel.button("Set near duplicates to yes").count(), 10, "the button to go")

    # train: the curves appear, and meanwhile the kernel answers
    panel.tab("Train")
    panel.click("Train")
    panel.wait("running")
    lab.until(panel.box.locator("svg polyline[points]:not([points=''])").count, 60, "a curve")
    answer = lab.finish_cell(page, 1).locator(".jp-OutputArea-output", has_text="2")
    lab.until(answer.is_visible, 10, "the kernel's answer to 1+1")
    assert not any(event["event"] == "end" for event in read_log(folder)), "the kernel answered only when the training was over"

    # the kernel goes, the worker stays; a new panel finds it (held still meanwhile, so that it does not end too soon)
    worker = read_log(folder)[0]["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        lab.restart_kernel(page)
        lab.finish_cell(page, 0)
        assert panel.field("Size").input_value() == "tiny"
        panel.tab("Train")
        panel.wait("paused")  # SIGSTOP is what Pause sends; Stop lets the worker go on to its end
        panel.click("Stop")
    finally:
        os.kill(worker, signal.SIGCONT)

    # stopped: after the step, with a checkpoint
    panel.wait("stopped")
    log = read_log(folder)
    assert (log[-1]["event"], log[-1]["status"]) == ("end", "stopped")
    assert list((folder / "checkpoints").glob("checkpoint-*/model.safetensors"))
    assert not (folder / "model").exists()

    # resumed: to the end, with results, from where it stopped
    panel.click("Resume")
    panel.wait("finished", 120)
    panel.tab("Results")
    panel.wait("Labels on the test split")
    starts = [event for event in read_log(folder) if event["event"] == "start"]
    assert starts[-1]["resumed_from"] and starts[-1]["pid"] != worker
    assert json.loads((folder / "metrics.json").read_text())["test"]["per_label"]
    panel.type("Text", "send the fee today")
    panel.click("Label it")
    panel.wait("Labels of this text")

    # a threshold moves precision and recall; a heading sorts
    slider = panel.box.locator(".noUi-handle").first
    before = panel.box.locator("table", has_text="with this threshold").inner_text()
    slider.press("End")
    lab.until(lambda: panel.box.locator("table", has_text="with this threshold").inner_text() != before, 20, "the numbers to follow the slider")
    labels = panel.box.locator("table", has_text="Labels on the test split")
    labels.get_by_role("button", name="label", exact=True).click()
    names = labels.locator("tbody td:first-child").all_inner_texts()
    assert names == sorted(names, reverse=True) and len(names) > 3
    labels.get_by_role("button", name="label", exact=True).click()
    assert labels.locator("tbody td:first-child").all_inner_texts() == names[::-1]

    # the list of runs
    panel.tab("Runs")
    panel.wait("1 run")
    assert Path(folder).with_name("minilm-1.log").exists()
