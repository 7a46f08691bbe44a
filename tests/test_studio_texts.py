"""The panel and its three texts say the same: panel -> YAML -> command line -> panel is the identity for random valid settings,
and every setting of every type can be reached in the panel."""
import math
import random
import shlex

import pytest

from cockatoo.cli import build_parser
from cockatoo.core.arguments import config_from_options
from cockatoo.core.config import Config
from cockatoo.core.registry import specs
from cockatoo.core.settings import fields_table
from cockatoo.panels.choices import Choices, Panel, choices_of, train_arguments
from cockatoo.panels.settings import MOST_FOUND, SettingsView, find_settings, settings_of
from cockatoo.panels.texts import choices_from_text, python_code, run_text

TYPES = [str(each.name) for each in specs()]
WORDS = ["text", "a b", "é, ü", "it's", 'say "x"', "yes", "1e5", "12", "#3", "a: b", "- x", "[1]", "{a}", "-5", "--seed", "true", "ctrl\\n", "$HOME", "*", "a=b"]


def a_number(field, rng):
    low = field["minimum"] if field["minimum"] is not None else -2
    high = field["maximum"] if field["maximum"] is not None else max(low, 0) * 3 + 5
    if field["type"] == "integer":
        return rng.randint(math.ceil(low) + field["exclusive_minimum"], math.floor(high) - field["exclusive_maximum"])
    value = rng.choice([rng.uniform(low, high), round(rng.uniform(low, high), 3), high / 3 + low * 2 / 3])
    return value if low < value < high else (low + high) / 2


def a_value(field, rng):
    "A value that the field's own bounds and choices allow."
    if field["optional"] and rng.random() < .15:
        return None
    if field["choices"]:
        return rng.choice(field["choices"])
    if field["type"] == "boolean":
        return rng.random() < .5
    if field["type"] == "array":
        return rng.sample(WORDS, rng.randint(1, 3))
    return rng.choice(WORDS) if field["type"] == "string" else a_number(field, rng)


def random_choices(seed):
    "Valid choices with several random overrides: what contradicts the others is left out."
    rng = random.Random(seed)
    row = next(each for each in specs() if each.name == TYPES[seed % len(TYPES)])
    fields = [field for section in row.sections for field in fields_table(section) if field["path"] != "data.source"]
    choices = Choices(row.name, rng.choice(list(row.sizes)), rng.choice(["demo", "my posts.csv", "folder/of splits", "owner/name"]),
                      runs=f"runs of {seed}")
    for field in rng.sample(fields, rng.randint(1, 5)):
        choices.set(field["path"], a_value(field, rng))
        if choices.errors:
            choices.reset(field["path"])
    assert choices.config and not choices.errors, choices.errors
    return choices


@pytest.mark.parametrize("part", range(4))
def test_panel_yaml_command_panel(part):
    "Panel -> YAML -> `cockatoo config` -> command line -> `cockatoo train` -> panel."
    changed = 0
    for seed in range(part * 50, part * 50 + 50):
        first = random_choices(seed)
        from_yaml = choices_of(Config.from_yaml(run_text(first, "YAML")), first.runs)
        assert (from_yaml.config, from_yaml.source, from_yaml.size) == (first.config, first.source, first.size), seed
        assert from_yaml.used.items() <= first.used.items(), (seed, "shown as changed, and was not")
        words = train_arguments(from_yaml)
        assert shlex.split(run_text(from_yaml, "Command").replace("\\\n", " "))[1:] == words, seed
        config = config_from_options(build_parser("train", words[1:]).read(words[1:]))  # the real command's own reading
        last = choices_of(config, first.runs)
        assert (last.config, last.used, last.source) == (from_yaml.config, from_yaml.used, from_yaml.source), seed
        if not seed % 5:
            pasted = choices_from_text(run_text(first, "Command"), first.runs)
            assert (pasted.config, pasted.used, pasted.output_dir) == (last.config, last.used, last.output_dir), seed
        made = {}
        exec(python_code(first).partition("run =")[0].replace(", train", ""), made)
        assert made["config"].flat() == first.config.flat(), seed
        changed += len(first.used)
    assert changed > 100, "hardly anything was changed: the test shows nothing"


@pytest.mark.parametrize("model_type", {each.family: str(each.name) for each in specs()}.values())
def test_every_setting_is_in_the_panel(model_type):
    "Each stands in the group of its section, is found by its name, and can be changed and reset."
    panel = Panel(Choices(model_type))
    view = panel.add(SettingsView(panel))
    panel.refresh()
    wanted = [path for path in panel.choices.base.flat() if path != "data.source"]
    assert len(wanted) > 80
    shown = []
    for section in panel.choices.spec.sections:
        view.group.value = section
        assert [view.field(path).widget for path in view.shown] == list(view.grid.children)
        shown += view.shown
    assert sorted(shown) == sorted(wanted)
    fields = settings_of(panel.choices.spec)
    for path in wanted:
        assert path in find_settings(fields, path)[:MOST_FOUND], path
    view.search.value = "training.seed"
    view.field("training.seed").input.value = "7"
    assert list(panel.choices.used) == ["training.seed"] and panel.choices.config.training.seed == 7
    view.field("training.seed").back.click()
    assert panel.choices.used == {}
