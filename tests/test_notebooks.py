"""The form of the notebooks: what nbdev would pass over in silence, and the habits of this house."""
import ast
import configparser
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
BOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
INI = configparser.ConfigParser(delimiters=["="])
INI.read(ROOT / "settings.ini")
INI = INI["DEFAULT"]
EXPORTS = {"export", "exports", "exporti"}
DIRECTIVES = EXPORTS | {"default_exp", "hide", "hide_input", "hide_output", "echo:", "output:", "code-fold:", "code-summary:",
                        "label:", "fig-cap:", "fig-alt:", "eval:", "exec_doc", "filter_stream", *INI["tst_flags"].split()}
LIGHT_PREFIX = re.compile(r"^\s*#\s*\|\s*")


class Cell:
    "A code cell: where it is, its directives, its source and its syntax tree."

    def __init__(self, book, index, raw):
        self.where, self.source, self.raw = f"{book.name}, cell {index} ({raw.get('id')})", raw["source"], raw
        lines = self.source.split("\n")
        head = next((i for i, s in enumerate(lines) if s.strip() and not LIGHT_PREFIX.match(s)), len(lines))
        self.directives = [LIGHT_PREFIX.sub("", s).split() for s in lines[:head] if LIGHT_PREFIX.match(s)]
        self.names = {d[0] for d in self.directives if d}
        self.rest = lines[head:]
        self.exported = bool(self.names & EXPORTS)
        magics = re.compile(r"^\s*(%|!)")
        self.magic = any(magics.match(s) for s in self.rest)
        self.tree = ast.parse("\n".join("" if magics.match(s) else s for s in lines))

    def argument(self, name):
        return next((d[1] for d in self.directives if d[0] == name and len(d) > 1), None)


def read(book):
    return nbformat.read(book, nbformat.NO_CONVERT)


def code(book):
    return [Cell(book, i, c) for i, c in enumerate(read(book).cells) if c.cell_type == "code"]


def module(book):
    return next((c.argument("default_exp") for c in code(book) if c.argument("default_exp")), None)


def stem(book):
    return re.sub(r"^\d+[a-zA-Z0-9]*_", "", book.stem)


def each(books):
    return pytest.mark.parametrize("book", books, ids=lambda p: str(p.relative_to(ROOT / "nbs")))


def test_there_are_notebooks():
    assert BOOKS


def test_modules_and_stems_are_unique():
    exported = [m for m in map(module, BOOKS) if m]
    assert len(exported) == len(set(exported)), sorted(exported)
    stems = [p.parent / stem(p) for p in BOOKS]  # the documentation drops the number
    assert len(stems) == len(set(stems)), sorted(stems)


@each(BOOKS)
def test_format(book):
    nb = read(book)
    ids = [c.get("id") for c in nb.cells]
    assert (nb.nbformat, nb.nbformat_minor) == (4, 5)
    assert all(ids) and len(ids) == len(set(ids)), [i for i in ids if not i or ids.count(i) > 1]
    nbformat.validate(nb)
    assert book.stem[0] not in "._", "nbdev passes over such a name"


@each(BOOKS)
def test_directives(book):
    for c in code(book):
        unknown = c.names - DIRECTIVES
        assert not unknown, f"{c.where}: unknown directive {sorted(unknown)}"
        late = [s for s in c.rest if LIGHT_PREFIX.match(s)]
        assert not late, f"{c.where}: nbdev ignores a directive below other lines: {late[0]!r}"
        old = [s for s in c.source.split("\n") if re.match(r"\s*#\s*(export|exporti|exports|hide|default_exp|slow)\b", s)]
        assert not old, f"{c.where}: not a directive without the bar: {old[0]!r}"
        long = [s for d in c.directives for s in d if d[0] in INI["tst_flags"].split() and len(d) > 1]
        assert not long, f"{c.where}: a test flag stands alone on its line"


@each(BOOKS)
def test_nothing_is_passed_over(book):
    text = book.read_text(encoding="utf-8")
    assert "skip_exec" not in text and "skip_showdoc" not in text
    for c in code(book):
        assert c.argument("eval:") != "false", f"{c.where}: a cell that never runs proves nothing"


@each(BOOKS)
def test_imports_stand_alone(book):
    "The documentation runs every cell that holds an import, whole."
    for c in code(book):
        nodes = c.tree.body if c.exported else list(ast.walk(c.tree))
        if any(isinstance(n, (ast.Import, ast.ImportFrom)) for n in nodes):
            other = [n for n in c.tree.body if not isinstance(n, (ast.Import, ast.ImportFrom))]
            assert not other and not c.magic, f"{c.where}: an import shares the cell with line {other[0].lineno if other else 1}"


@each([b for b in BOOKS if module(b)])
def test_no_magic_is_exported(book):
    wrong = [c.where for c in code(book) if c.exported and c.magic]
    assert not wrong, f"a magic would be written into the module: {wrong}"


@each([b for b in BOOKS if module(b)])
def test_methods_stand_in_their_class(book):
    "`Class.method = function` hides a method from readers and tools; it stands in the class body, or is patched in a cell of its own."
    for c in code(book):
        for node in c.tree.body if c.exported else []:
            targets = [t for t in (node.targets if isinstance(node, ast.Assign) else []) for t in (t.elts if isinstance(t, ast.Tuple) else [t])]
            hung = [ast.unparse(t) for t in targets if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id[0].isupper()]
            assert not hung, f"{c.where}: {hung}"


def test_literate():
    "Prose before a public definition, a check or its output after it: nearly always."
    public, bare, mute = 0, [], []
    for book in BOOKS:
        cells = read(book).cells
        seen = [Cell(book, i, c) if c.cell_type == "code" else None for i, c in enumerate(cells)]
        for i, c in enumerate(seen):
            if not (c and c.exported and any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_" for n in c.tree.body)):
                continue
            public += 1
            after = [n for n in seen[i + 1:i + 4] if n and not n.exported]
            if not any(n.raw.outputs or re.search(r"\bassert|test_|expect_fail|_close\(", n.source) for n in after):
                bare.append(c.where)
            if all(n is not None for n in seen[max(0, i - 2):i]):
                mute.append(c.where)
    assert len(bare) <= .1 * public, "\n".join([f"{len(bare)} of {public} have no check within 3 cells:", *bare])
    assert len(mute) <= .3 * public, "\n".join([f"{len(mute)} of {public} have no prose just before:", *mute])


@each([b for b in BOOKS if module(b)])
def test_documented(book):
    for c in code(book):
        for node in c.tree.body if c.exported else []:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                patched = any(isinstance(d, ast.Name) and d.id == "patch" for d in node.decorator_list)
                assert patched or ast.get_docstring(node), f"{c.where}: {node.name} has no docstring"


@each(BOOKS)
def test_outputs_are_clean(book):
    for c in code(book):
        for out in c.raw.outputs:
            assert out.output_type != "error", f"{c.where}: a traceback was saved"
            assert out.get("name") != "stderr", f"{c.where}: stderr was saved: {str(out.get('text'))[:200]}"
            private = re.search(r"(/home/|/root/|/Users/|/work/|hf_[A-Za-z]{20})\S*", json.dumps(out))
            assert not private, f"{c.where}: a path of this machine was saved: {private.group()}"
    assert "widgets" not in read(book).metadata, "saved widget state: switch 'Save Widget State' off"


def test_no_conflict_markers():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    files = [ROOT / n for n in names if n] or [p for p in ROOT.rglob("*") if not set(p.parts) & {".venv", ".git"}]
    marker = re.compile(rb'^(<{7}|>{7})( |$)|"`?(<{7}|>{7}) ', re.M)
    bad = [str(p.relative_to(ROOT)) for p in files if p.is_file() and p.stat().st_size < 2**21 and marker.search(p.read_bytes())]
    assert not bad


def test_sidebar_lists_every_notebook():
    listed = []

    def walk(items):
        for item in items:
            if isinstance(item, str):
                listed.append(item)
            elif "contents" in item:
                walk(item["contents"])
            else:
                listed.append(item["href"])

    for bar in yaml.safe_load((ROOT / "nbs/sidebar.yml").read_text())["website"]["sidebar"]:
        walk(bar["contents"])
    assert sorted(listed) == sorted(str(b.relative_to(ROOT / "nbs")) for b in BOOKS)
