"""Print how the notebooks are written: `make style`. A report, not a limit; CONTRIBUTING.md has fastcore's figures beside ours.

An exported cell is one that goes into the package and holds more than imports. Its lines are counted without directives."""
import ast
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDE = 100


def exported_cells(notebook):
    "Lines and syntax tree of every exported cell."
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and re.match(r"#\|\s*exports?\b", source):
            yield [line for line in source.split("\n") if not line.startswith("#|")], ast.parse(source)


def is_definition(node):
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def private_imports(tree):
    "Private names that are imported from another room."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cockatoo"):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def percentile(values, share):
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def measure(notebooks):
    "The figures of some notebooks, or None where nothing is exported."
    lengths, several, several_public, private, wide, total = [], 0, 0, 0, 0, 0
    for lines, tree in (cell for notebook in notebooks for cell in exported_cells(notebook)):
        total += len(lines)
        wide += sum(len(line) > WIDE for line in lines)
        private += len(list(private_imports(tree)))
        if all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body):
            continue
        definitions = [node for node in tree.body if is_definition(node)]
        lengths.append(len(lines))
        several += len(definitions) > 1
        several_public += sum(node.name[0] != "_" for node in definitions) > 1
    if not lengths:
        return None
    return {"cells": len(lengths), "median": statistics.median(lengths), "p90": percentile(lengths, .9),
            "several": several / len(lengths), "several_public": several_public / len(lengths), "wide": wide / max(total, 1),
            "private": private, "lines": total}


def line(name, found):
    return (f"{name:34}{found['cells']:6}{found['median']:8g}{found['p90']:6}{found['several_public']:10.0%}{found['several']:9.0%}"
            f"{found['wide']:8.1%}{found['private']:9}{found['lines']:8}")


def main(names):
    books = [Path(name) for name in names] or sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
    print(f"{'':34}{'cells':>6}{'median':>8}{'p90':>6}{'public>1':>10}{'defs>1':>9}{'wide':>8}{'private':>9}{'lines':>8}")
    for book in books:
        if (found := measure([book])):
            print(line(book.stem, found))
    whole = measure(books)
    print(line("all", whole))
    return whole


if __name__ == "__main__":
    main(sys.argv[1:])
