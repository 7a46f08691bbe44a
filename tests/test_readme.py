"""What README.md says is true: it is the start page, and its commands and paths exist."""
import importlib.util
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
README = ROOT / "README.md"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_readme_is_the_index(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts/readme.py", tmp_path], check=True, capture_output=True)
    assert (tmp_path / "README.md").read_text() == README.read_text(), "run make readme"
    made, kept = ({p.name: p.read_bytes() for p in (root / "README_files").glob("*")} for root in (tmp_path, ROOT))
    assert made == kept, "run make readme"


@cache
def help_of(*command):
    done = subprocess.run([BIN / "cockatoo", *command, "--help"], capture_output=True, text=True)
    assert not done.returncode, f"cockatoo {' '.join(command)} --help: {done.stderr}"
    return done.stdout


def shell_lines(text):
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words:
                end = next((i for i, w in enumerate(words) if w in ("&&", "|", ";")), len(words))
                yield words[:end]
                words = words[end + 1:]
    for code in re.findall(r"`((?:make|cockatoo) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S)):
        yield shlex.split(code)


def problems(words):
    "What does not exist in one command line."
    from cockatoo.core.settings import fields_table

    settings = {row["path"] for row in fields_table()}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    if words[0] == "make":
        return [w for w in words[1:] if "=" not in w and w not in targets]
    if words[0] == "cockatoo":
        options = [w.partition("=")[0] for w in words[2:] if w.startswith("--")]
        known = help_of(words[1])
        return [o for o in options if o[2:].replace("-", "_") not in settings and not re.search(rf"{o}\b", known)]
    return []


def test_commands_exist():
    lines = list(shell_lines(README.read_text()))
    assert lines and any(w[0] == "make" for w in lines) and any(w[0] == "cockatoo" for w in lines)
    wrong = {" ".join(w): bad for w in lines if w and (bad := problems(w))}
    assert not wrong
    assert problems(["make", "no-such-target"]) and problems(["cockatoo", "train", "--no-such-option"])


def test_paths_exist():
    text = README.read_text()
    links = {t.partition("#")[0] for t in re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", text)}
    quoted = set(re.findall(r"`((?:nbs|cockatoo|tests|scripts|benchmarks|\.github|\.ci)/[^`\s*…]*)`", text))
    quoted |= set(re.findall(r"`([A-Za-z_.-]+\.(?:ini|txt|py|md|yml))`", text)) - {"config.yaml"}
    in_run = {"README.md", "config.json"}  # names of files inside a run folder, too
    missing = [p for p in links | (quoted - in_run) if not (ROOT / p).exists()]
    assert not missing


def test_the_site_needs_no_network(tmp_path):
    "The check of scripts/docs.py sees what a page would fetch."
    docs = load(ROOT / "scripts/docs.py")
    (tmp_path / "a.html").write_text('<link rel="stylesheet" href="site_libs/x.css"><a href="https://example.org">fine</a>')
    assert not docs.needs_network(tmp_path)
    (tmp_path / "b.html").write_text('<script src="https://cdn.example.org/x.js"></script><link href="https://f.example.org/y.css" rel="stylesheet">')
    (tmp_path / "c.css").write_text('@import "https://fonts.example.org/z.css"; a{background:url(https://i.example.org/i.png)}')
    assert len(docs.needs_network(tmp_path)) == 4
    config = (ROOT / "_quarto.yml").read_text()
    assert "html-math-method: mathml" in config and (ROOT / "nbs/_quarto.yml").resolve() == (ROOT / "_quarto.yml").resolve()
