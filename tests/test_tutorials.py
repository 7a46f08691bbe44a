"""A tutorial can be copied and run: its visible cells need nothing of the hidden ones."""
import builtins
import json
import os
import re
import subprocess
import sys
import symtable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "nbs/tutorials").glob("*.ipynb"))
SLOW = bool(os.environ.get("COCKATOO_TEST_SLOW"))
QUICK = {"moderation", "recipes"}  # some seconds each; the others train for minutes
GIVEN = {*dir(builtins), "__name__", "__file__", "display", "get_ipython"}


def visible(cells):
    "The source of the code cells that a reader sees, with whether they are slow."
    for cell in cells:
        source = "".join(cell["source"])
        directives = re.findall(r"^#\|\s*(.+?)\s*$", source, re.M)
        hidden = {"hide", "hide_input", "echo: false", "include: false"} & {re.sub(r"\s+", " ", d) for d in directives}
        if cell["cell_type"] == "code" and source.strip() and not hidden:
            yield source, "slow" in directives


def needs(table):
    "Names that a piece of code takes from outside of it."
    for symbol in table.get_symbols():
        outer = table.get_type() == "module" or symbol.is_global()
        if outer and symbol.is_referenced() and not (table.get_type() == "module" and (symbol.is_assigned() or symbol.is_imported())):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from needs(inner)


def gives(table):
    return {symbol.get_name() for symbol in table.get_symbols()
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()}


def undefined(cells):
    "Names that visible cells use and no visible cell before them defines."
    known, missing = set(GIVEN), {}
    for number, (source, _) in enumerate(visible(cells)):
        table = symtable.symtable(source, "cell", "exec")
        defined = gives(table)
        for name in needs(table):
            if name not in known | defined:
                missing[name] = number
        known |= defined
    return missing


def cells_of(book):
    return json.loads(book.read_text(encoding="utf-8"))["cells"]


def each(books):
    return pytest.mark.parametrize("book", books, ids=lambda p: p.stem)


def test_there_are_tutorials():
    assert len(TUTORIALS) >= 5 and QUICK <= {book.stem for book in TUTORIALS}


@each(TUTORIALS)
def test_what_is_visible_is_enough(book):
    assert undefined(cells_of(book)) == {}


@each([book for book in TUTORIALS if SLOW or book.stem in QUICK])
def test_the_visible_cells_run(book, tmp_path):
    "In a process of its own, as when they are copied; cells marked slow only with `make test-slow`."
    program = tmp_path / "copied.py"
    program.write_text("\n\n".join(source for source, slow in visible(cells_of(book)) if SLOW or not slow), encoding="utf-8")
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": found, "TMPDIR": str(tmp_path), "COCKATOO_CACHE": str(tmp_path / "cache"),
                   "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, program], cwd=book.parent, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]


def test_what_is_missing_is_seen():
    def page(*sources):
        return [{"cell_type": "code", "source": source} for source in sources]

    assert undefined(page("#| hide\nimport json", "json.dumps(1)")) == {"json": 0}
    assert undefined(page("import json", "def f(x):\n    return [json.dumps(y + z) for y in x]")) == {"z": 1}
    assert undefined(page("print(a)", "a = 1")) == {"a": 0}
    assert undefined(page("#| echo: false\na = 1", "class B:\n    c = a\n", "B.c")) == {"a": 0}
    assert undefined(page("import os.path as p\nfrom sys import argv\nwith open(p) as f: g = [h for h in argv]\nprint(f, g, p)")) == {}
    assert undefined(page("try:\n    1/0\nexcept ValueError as error:\n    print(error)\nfor i, j in {}: print(i, j, __name__)")) == {}
