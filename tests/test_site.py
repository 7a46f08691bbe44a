"""The documentation: every page is built, by `make docs` and by `nbdev_docs`, and every link in it leads somewhere.

The notebooks are processed once, in a copy of the repository. Quarto is played by `quarto.py`, so this runs anywhere."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quarto

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs  # noqa: E402
import pages  # noqa: E402

BOOKS = sorted(p.relative_to(ROOT / "nbs") for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "_proc", "_docs", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache",
                                  ".ipynb_checkpoints", "nbdev.yml")
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.hooksPath=/dev/null"]


class Copy:
    "A copy of the repository in which the documentation is built, with Quarto's stand-in on the path."

    def __init__(self, root):
        self.root = root
        shutil.copytree(ROOT, root, ignore=LEFT_OUT, symlinks=True)
        self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-qm", "as it is")
        tools = root.with_name("tools")
        tools.mkdir()
        (tools / "quarto").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(quarto.__file__).resolve()}" "$@"\n')
        (tools / "quarto").chmod(0o755)
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        found = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}

    def git(self, *words):
        return subprocess.run([*GIT, *words], cwd=self.root, capture_output=True, text=True, check=True).stdout

    def run(self, *command):
        return subprocess.run([*map(str, command)], cwd=self.root, env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The copy after `make docs`, and what the command said."
    copy = Copy(tmp_path_factory.mktemp("site") / "repository")
    os.utime(copy.root / "README.md", (0, 0))  # as in a clone, where nothing says that it is newer than the start page
    done = copy.run(sys.executable, "scripts/docs.py")
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    return copy


def processed(copy):
    for book in BOOKS:
        yield book, json.loads((copy.root / "_proc" / book).read_text(encoding="utf-8"))


def documented(notebook):
    "For each `show_doc(name)` of a page: the name and what is shown."
    for cell in notebook["cells"]:
        shown = re.search(r"^show_doc\(([\w.]+)", pages.text_of(cell["source"]), re.M)
        if cell["cell_type"] == "code" and shown:
            yield shown[1], "".join(pages.text_of(o["data"].get("text/markdown", "")) for o in cell["outputs"])


def test_every_notebook_has_its_page(made):
    named = {(book.parent / quarto.output_name(made.root / "_proc" / book)).as_posix() for book in BOOKS}
    assert len(named) == len(BOOKS) > 100
    assert {p.relative_to(made.root / "_docs").as_posix() for p in (made.root / "_docs").rglob("*.html")} == named


def test_links_and_the_network(made, package):
    assert docs.wrong_links(made.root / "_docs", package.host) == []
    assert docs.needs_network(made.root / "_docs") == []
    assert len(list((made.root / "_docs").rglob("*.png"))) >= 1, "no image was copied: the check of images is empty"


def test_every_name_is_documented_as_itself(made):
    "`show_doc(name)` shows `name`, and `[source]` leads to the line that defines it, not to another module's."
    count = 0
    for book, notebook in processed(made):
        for name, shown in documented(notebook):
            count += 1
            assert re.search(rf"^### {re.escape(name)}$", shown, re.M), f"{book}: show_doc({name}) shows {shown[:300]!r}"
            address = re.search(r"^\[source\]\(https://[^)]*/blob/main/([^)#]+)#L(\d+)\)", shown, re.M)
            assert address, f"{book}: no source of {name}"
            line = (ROOT / address[1]).read_text().split("\n")[int(address[2]) - 1]
            assert re.match(rf"\s*(async def|def|class) {name.rpartition('.')[2]}\b", line), f"{book}: {name} is not in {address[0]}"
            own = re.search(r"^#\| *default_exp (\S+)", "\n".join(
                pages.text_of(c["source"]) for c in json.loads((ROOT / "nbs" / book).read_text())["cells"]), re.M)
            defined = re.compile(rf"^(async def|def|class) {name.partition('.')[0]}\b", re.M)
            source = ROOT / "cockatoo" / (own[1].replace(".", "/") + ".py")
            if defined.search(source.read_text()):
                assert ROOT / address[1] == source, f"{book}: the source of {name} is said to be {address[1]}"
    assert count > 500


def test_automatic_links(made):
    "There are links, they are relative, and each shows the name whose heading it leads to."
    count = 0
    for book, notebook in processed(made):
        for cell in notebook["cells"]:
            texts = [pages.text_of(cell["source"])] if cell["cell_type"] == "markdown" else [
                pages.text_of(o["data"]["text/markdown"]) for o in cell.get("outputs", []) if "text/markdown" in o.get("data", {})]
            for text in texts:
                assert "cockatoo.github.io" not in text, f"{book}: {text[:300]}"
                for name, place in re.findall(r"\[`([\w.]+)(?:\(\))?`\]\(([^)]*#[^)]*)\)", text):
                    count += 1
                    assert name.removeprefix("cockatoo.").lower().endswith(place.partition("#")[2]) or "." in name, (book, name, place)
    assert count > 100


def test_the_tree_stays_clean(made):
    "After `make docs`; then `nbdev_docs` makes the same site, and leaves README.md to `make readme`."
    assert made.git("status", "--porcelain") == ""
    first = {p.relative_to(made.root / "_docs"): p.read_bytes() for p in (made.root / "_docs").rglob("*.html")}
    (made.root / "_proc/index.ipynb").unlink()
    (made.root / "_proc/tutorials/moderation.ipynb").unlink()
    done = made.run("nbdev_docs", "--n_workers", "2")
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    assert made.git("status", "--porcelain") == ""
    again = {p.relative_to(made.root / "_docs"): p.read_bytes() for p in (made.root / "_docs").rglob("*.html")}
    assert first.keys() == again.keys() and [p for p in first if first[p] != again[p]] == []


@pytest.mark.parametrize("book", BOOKS, ids=str)
def test_links_between_notebooks(book):
    "A link to another page names its notebook, which JupyterLab and GitHub show, too."
    for cell in json.loads((ROOT / "nbs" / book).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for place in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", pages.FENCED.sub("", pages.text_of(cell["source"]))):
                assert ((ROOT / "nbs" / book).parent / place).exists(), f"{book}: link to {place}"


# ---------------------------------------------------------------------- the parts

@pytest.fixture(scope="module")
def package():
    return pages.Package()


def a_notebook(*cells):
    return {"cells": [{"cell_type": "code", "source": source} for source in cells]}


@pytest.mark.parametrize("cells, text, target", [
    # a function that is also the name of a split, a command, an event: only where it is called
    (["from cockatoo.training.train import train"], "`train`", None),
    (["from cockatoo.training.train import train"], "`train()`", "cockatoo.training.train.train"),
    (["from cockatoo import train"], "`train()`", "cockatoo.training.train.train"),
    ([], "`cockatoo.train`", "cockatoo.training.train.train"),
    ([], "`cockatoo.training.train.train`", "cockatoo.training.train.train"),
    # a name of several families: the page's own, the one it imports, or none
    ([], "`reload()`", None),
    (["#| default_exp classifier.model"], "`reload()`", "cockatoo.classifier.model.reload"),
    (["from cockatoo.captioner.model import reload"], "`reload()`", "cockatoo.captioner.model.reload"),
    (["from importlib import reload"], "`reload()`", None),
    # a class is clear by its name, unless the page means another one
    ([], "`LabelSpace`", "cockatoo.classifier.labels.LabelSpace"),
    (["class LabelSpace: pass"], "`LabelSpace`", None),
    (["from elsewhere import LabelSpace"], "`LabelSpace`", None),
    (["from cockatoo import Predictor"], "`Predictor.predict`", "cockatoo.classifier.predict.Predictor.predict"),
    # what is no name of the package
    ([], "`batch_size`", None), ([], "`text`", None), ([], "`cockatoo.yaml`", None), ([], "`LabelSpace.nothing`", None),
    ([], "```\n`LabelSpace`\n```", None), ([], "    `LabelSpace`", None), ([], "## `LabelSpace`", None),
    ([], "[`LabelSpace`](elsewhere.html)", None), ([], "[the class\n`LabelSpace` of labels](elsewhere.html)", None),
    ([], "``a `LabelSpace` b``", None),
])
def test_what_a_name_means(package, cells, text, target):
    names, found = pages.Names(package, a_notebook(*cells)), []
    linked = pages.link(text, lambda name, called: found.append(names.target(name, called)) or "there")
    assert [".".join(place) for place in found if place] == ([target] if target else [])
    assert found or linked == text  # a block of code, a heading, the text of a link: left as it is


def test_links_of_nbdev_are_taken_back(package):
    host = package.host
    code = f"```python\ndef f(\n    config, # A [`Config`]({host}core.config.html#config)\n)\n```"
    assert pages.unlink(code, host) == "```python\ndef f(\n    config, # A `Config`\n)\n```"
    assert pages.unlink(f"## [`a`]({host}a.html#a) and [`b`]({host}b.html)", host) == "## `a` and `b`"


def test_anchors():
    page = ["# Title", "## Words, per *label*: `a_b` [link](x.html)\n\ntext\n\n## Twice\n", "```\n# no heading\n```\n## Twice\n### Run.stop\n"]
    assert pages.anchors_of(page) == {"title", "words-per-label-a_b-link", "twice", "twice-1", "run.stop"}


def test_scripts_of_a_cdn_go(tmp_path):
    ours = "<script>window.define('jquery-like', 1)</script>"
    (tmp_path / "a.html").write_text(f"<html><head>\n{quarto.SCRIPTS}{quarto.EMBED}{ours}</head><body><div>\n<script>1</script></div></body></html>")
    assert docs.needs_network(tmp_path)
    pages.after(tmp_path)
    assert (tmp_path / "a.html").read_text() == f"<html><head>\n{ours}</head><body><div>\n<script>1</script></div></body></html>"


def test_wrong_links_are_seen(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/two.html").write_text('<h2 id="here">x</h2><a href="../one.html">fine</a><a href="#nowhere">1</a>')
    (tmp_path / "one.html").write_text(
        '<a href="b/two.html#here">fine</a><a href="https://example.org/x#y">fine</a><a href="">fine</a><a href="#">fine</a>'
        '<a href="b/two.html#gone">2</a><a href="10_data.html">3</a><img src="images/none.png"><a href="https://our.site/one.html">4</a>'
        "<pre>def f(a: [`Config`](core.html))</pre>")
    wrong = docs.wrong_links(tmp_path, "https://our.site/")
    assert [(page, address) for page, address, _ in wrong] == [
        ("b/two.html", "#nowhere"), ("one.html", "10_data.html"), ("one.html", "[`Config`](core.html)"), ("one.html", "b/two.html#gone"),
        ("one.html", "https://our.site/one.html"), ("one.html", "images/none.png")]
