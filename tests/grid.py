"""The grid of the house: floors by columns, and the rules of imports between its rooms.

A room is a notebook whose file name begins with two digits, floor and column, and that exports a module."""
import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

FLOORS = {"core": 0, "data": 1, "models": 2, "metrics": 3, "training": 4, "export": 5, "panels": 6}  # shared package -> floor
COLUMNS = {"classifier": 1, "embedder": 2, "captioner": 3, "decoder": 4, "latent": 5}  # family's package -> column
ASSEMBLY = {"families": 0, "panels.studio": 6, "cli": 7}  # rooms of column 9 -> floor
SLOT = re.compile(r"cockatoo\.([\w.]+):\w+")


class Room(NamedTuple):
    file: str  # Name of the notebook
    module: str  # What it exports, without `cockatoo.`
    cells: list  # Sources of its code cells

    @property
    def floor(self):
        return int(self.file[0])

    @property
    def column(self):
        return int(self.file[1])


class Import(NamedTuple):
    room: Room
    cell: int
    module: str
    names: tuple  # Imported from it; empty for `import module` and for a string


def read_rooms(folder):
    "The rooms under nbs/, in the order of their file names."
    found = []
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        nb = json.loads(path.read_text(encoding="utf-8"))
        cells = ["".join(cell["source"]) for cell in nb["cells"] if cell["cell_type"] == "code"]
        modules = [re.search(r"^#\| *default_exp +(\S+)", source, re.M) for source in cells]
        found += [Room(path.name, match[1], cells) for match in modules if match]
    return found


def imports_of(room):
    "Everything that a room imports from this package: statements anywhere in it, and `module:attribute` strings."
    for number, source in enumerate(room.cells):
        code = "\n".join("" if re.match(r"\s*[%!]", line) else line for line in source.split("\n"))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cockatoo."):
                package, names = node.module[9:], tuple(alias.name for alias in node.names)
                if package in (*FLOORS, *COLUMNS):  # `from cockatoo.core import registry`
                    yield from (Import(room, number, f"{package}.{name}", ("*",)) for name in names)
                else:
                    yield Import(room, number, package, names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("cockatoo."):
                        yield Import(room, number, alias.name[9:], ())
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if (match := SLOT.fullmatch(node.value)):
                    yield Import(room, number, match[1], ())


def fills_slots(room):
    "A family's types and settings name what stands on higher floors, as text; that is what the slots are for."
    return room.floor == 0 and room.column not in (0, 9)


def misplaced(room):
    "What is wrong with the number of a room, or None."
    package, _, rest = room.module.partition(".")
    if room.column == 9:
        return None if ASSEMBLY.get(room.module) == room.floor else f"{room.module} is no room of column 9, floor {room.floor}"
    if room.column == 0:
        return None if FLOORS.get(package) == room.floor and rest else f"{room.module}: shared rooms of floor {room.floor} are in another package"
    return None if COLUMNS.get(package) == room.column and rest else f"{room.module}: column {room.column} is another family's"


def breaches(rooms):
    "Every breach of the import rules, as one line each."
    by_module = {room.module: room for room in rooms}
    for room in rooms:
        if (what := misplaced(room)):
            yield f"{room.file}: {what}"
        for found in imports_of(room):
            where = f"{room.file}, cell {found.cell}: imports {found.module}"
            target = by_module.get(found.module)
            if target is None:
                yield f"{where}, which no room exports"
            elif target is room:
                continue
            elif target.floor > room.floor and not (fills_slots(room) and target.column == room.column and not found.names):
                yield f"{where}, which is on a higher floor ({target.file})"
            if target and room.column != 9 and target.column not in (0, room.column):
                yield f"{where}, which is another column ({target.file})"
            for name in found.names:
                if name.startswith("_"):
                    yield f"{where}.{name}, which is private"


def exported_imports(rooms):
    "Room -> the rooms that its exported cells import when they are loaded."
    by_module = {room.module: room for room in rooms}
    for room in rooms:
        exported = Room(room.file, room.module, [source for source in room.cells if re.match(r"#\| *export", source)])
        targets = {found.module for found in imports_of(exported) if found.names}
        yield room, [by_module[module] for module in sorted(targets) if module in by_module and module != room.module]


def cycle(rooms):
    "Rooms that import each other in a circle, as a list of modules; empty if there are none."
    edges = {room.module: [target.module for target in targets] for room, targets in exported_imports(rooms)}
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module):] + [module]
        if module in done:
            return []
        path.append(module)
        for target in edges[module]:
            if (found := visit(target)):
                return found
        path.pop()
        done.add(module)
        return []

    return next((found for module in edges if (found := visit(module))), [])
