"""The house is a grid: a room's number says its floor and its column, and columns never import each other."""
import dataclasses
import inspect
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from grid import COLUMNS, FLOORS, Room, breaches, cycle, exported_imports, read_rooms

ROOT = Path(__file__).parent.parent
ROOMS = read_rooms(ROOT / "nbs")
ALIASES = {"export/predict.py", "export/captions.py", "models/clip.py"}  # old import paths that saved model cards print


def test_no_breach():
    found = list(breaches(ROOMS))
    assert len(ROOMS) > 80 and not found, "\n".join(found)


def test_no_cycle():
    assert not cycle(ROOMS), " -> ".join(cycle(ROOMS))


@pytest.mark.parametrize("file, module, source, what", [
    ("11_classifier.data.ipynb", "classifier.data", "from cockatoo.captioner.data import load", "another column"),
    ("11_classifier.data.ipynb", "classifier.data", "def f():\n    import cockatoo.captioner.data", "another column"),
    ("11_classifier.data.ipynb", "classifier.data", "from cockatoo.captioner import data", "another column"),
    ("11_classifier.data.ipynb", "classifier.data", 'x = "cockatoo.captioner.data:load"', "another column"),
    ("10_data.ipynb", "data.core", "from cockatoo.classifier.data import load", "another column"),
    ("10_data.ipynb", "data.core", 'SOURCES = {"demo": "cockatoo.classifier.data:load"}', "another column"),
    ("10_data.ipynb", "data.core", "from cockatoo.models.core import freeze", "higher floor"),
    ("11_classifier.data.ipynb", "classifier.data", "from cockatoo.classifier.model import build", "higher floor"),
    ("01_classifier.types.ipynb", "classifier.types", "from cockatoo.classifier.model import build", "higher floor"),
    ("21_classifier.model.ipynb", "classifier.model", "from cockatoo.models.core import _secret", "private"),
    ("21_classifier.model.ipynb", "classifier.model", "from cockatoo.models.core import nothing\nimport cockatoo.gone", "no room exports"),
    ("21_classifier.oops.ipynb", "captioner.oops", "1", "column 1 is another family's"),
    ("30_oops.ipynb", "training.oops", "1", "another package"),
    ("39_oops.ipynb", "oops", "1", "no room of column 9")])
def test_a_planted_breach_is_found(file, module, source, what):
    modules = {"captioner.data": "13_captioner.data", "classifier.data": "11_classifier.data", "models.core": "20_models",
               "classifier.model": "21_classifier.model"}
    others = [Room(f"{name}.ipynb", m, []) for m, name in modules.items() if m != module]
    found = list(breaches([*others, Room(file, module, [source])]))
    assert len(found) == 1 and what in found[0], found


def test_what_is_allowed():
    rooms = [Room("01_classifier.types.ipynb", "classifier.types", ['F = Family(build="cockatoo.classifier.model:build")']),
             Room("21_classifier.model.ipynb", "classifier.model", ["from cockatoo.models.core import freeze"]),
             Room("20_models.ipynb", "models.core", []), Room("09_families.ipynb", "families", ["from cockatoo.classifier.types import F"])]
    assert not list(breaches(rooms)) and not cycle(rooms)
    circle = [Room("20_models.ipynb", "models.core", ["#| export\nfrom cockatoo.models.tiny import a"]),
              Room("20_models.tiny.ipynb", "models.tiny", ["#| export\nfrom cockatoo.models.core import b"])]
    assert cycle(circle) == ["models.core", "models.tiny", "models.core"]


def test_packages_follow():
    "Nothing stands loose at the top but the assembly, and every package is a floor or a family."
    top = {path.name for path in (ROOT / "cockatoo").iterdir() if path.name != "__pycache__"}
    assert top == {*FLOORS, *COLUMNS, "__init__.py", "_modidx.py", "py.typed", "families.py", "cli.py"}


def test_old_paths():
    "What saved model cards print can be imported, and holds nothing but what moved."
    from cockatoo.export.captions import CaptionPredictor, image_files
    from cockatoo.export.predict import Predictor
    import cockatoo.captioner.predict as captions
    import cockatoo.classifier.predict as labels
    import cockatoo.models.clip as clip

    assert (Predictor, CaptionPredictor, image_files) == (labels.Predictor, captions.CaptionPredictor, captions.image_files)
    assert clip.CLIPClassifier.__module__ == "cockatoo.classifier.clip"
    for name in ALIASES:
        code = re.sub(r'""".*?"""', "", (ROOT / "cockatoo" / name).read_text(), flags=re.S)
        other = [line for line in code.splitlines() if line.strip() and not re.match(r"from cockatoo\.|__all__ = ", line)]
        assert not other, (name, other)


def slots():
    from cockatoo.core.registry import SLOTS, families

    return [(family, slot) for family in families() for slot in SLOTS]


@pytest.mark.parametrize("family, slot", slots(), ids=lambda value: getattr(value, "name", value))
def test_slots_resolve_with_their_signature(family, slot):
    from cockatoo.core.registry import SLOTS, ConfigError

    if getattr(family, slot) is None:
        with pytest.raises(ConfigError, match="cannot do this yet"):
            family.slot(slot)
        return
    value, text = family.slot(slot), SLOTS[slot]
    if text.startswith("class"):
        needs = [p for p in inspect.signature(value).parameters.values() if p.default is inspect.Parameter.empty]
        members = value if needs else value()
        for name in re.findall(r"`(\w+)", text):
            assert hasattr(members, name), f"{value} has no {name}"
        return
    wanted = re.match(r"\((.*?)\)", text)[1]
    own = list(inspect.signature(value).parameters.values())
    for number, parameter in enumerate(filter(None, wanted.split(", "))):
        name, _, default = parameter.partition("=")
        assert own[number].name == name, f"{value.__module__}.{value.__name__}{inspect.signature(value)}: expected ({wanted})"
        assert not default or own[number].default == eval(default)
    extra = [p.name for p in own[len(wanted.split(", ")):] if p.default is inspect.Parameter.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert not extra, f"{value}: {extra} must have defaults"


def test_every_slot_is_a_field():
    from cockatoo.core.registry import SLOTS, Family

    assert set(SLOTS) <= {field.name for field in dataclasses.fields(Family)}


def test_the_sidebar_is_in_the_order_of_imports():
    "Within a place of the grid a room imports only rooms above it in the sidebar; places stand in the order of their numbers."
    import yaml

    items, order = [each for bar in yaml.safe_load((ROOT / "nbs/sidebar.yml").read_text())["website"]["sidebar"] for each in bar["contents"]], []

    def walk(contents):
        for item in contents:
            if isinstance(item, str):
                order.append(item)
            elif "contents" in item:
                walk(item["contents"])

    walk(items)
    order = [name for name in order if re.match(r"\d\d_", name)]
    assert [name[0] for name in order] == sorted(name[0] for name in order), "the floors are not in order"
    wrong = [f"{room.file} imports {target.file}, which stands below it" for room, targets in exported_imports(ROOMS)
             for target in targets if target.file[:2] == room.file[:2] and order.index(target.file) > order.index(room.file)]
    assert not wrong, "\n".join(wrong)
