"""The sixth family that CONTRIBUTING.md shows is a whole one: registered, trained, evaluated and predicted without a change in a shared room."""
import csv
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = dict(re.findall(r"```python\n# (rater/\w+\.py)[^\n]*\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S))
WORDS = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "superb": 5}
PROGRAM = """
import sys
from cockatoo import register_family
from cockatoo.cli import main
from rater.types import RATER

register_family(RATER)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "A folder with the package, a program that registers it, and reviews with one bad row."
    here = tmp_path_factory.mktemp("family")
    for name, source in MODULES.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(source, encoding="utf-8")
    (here / "rate.py").write_text(PROGRAM)
    draw = random.Random(0)
    with open(here / "reviews.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "rating"])
        for number in range(600):
            word = draw.choice(sorted(WORDS))
            rows.writerow([f"the soup number {number} was {word} today", WORDS[word]])
        rows.writerow(["no stars here", "many"])
    return here


def run(here, *words):
    return subprocess.run([sys.executable, "rate.py", *map(str, words)], cwd=here, capture_output=True, text=True)


def test_the_family_is_whole(here):
    assert set(MODULES) == {f"rater/{name}.py" for name in ("types", "data", "model", "training", "predict")}
    trained = run(here, "train", "--model-type", "minilm-rater", "--size", "tiny", "--data", "reviews.csv", "--output-dir", "run", "--training.num-epochs", 30,
                  "--training.learning-rate", 1e-3, "--data.cache-dir", "cache", "--json")
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads(trained.stdout)["metrics"]["test"]
    assert metrics["rmse"] < 1, metrics  # always the mean: 1.4
    rejected = [json.loads(line) for line in (here / "run/rejected.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in rejected] == ["the rating is no number: 'many'"]
    again = run(here, "evaluate", "run", "--json")
    assert json.loads(again.stdout)["rmse"] == pytest.approx(metrics["rmse"], rel=1e-3), again.stderr
    rated = run(here, "predict", "run", "the soup was superb today", "the soup was awful today")
    superb, awful = (json.loads(line)["rating"] for line in rated.stdout.splitlines())
    assert superb > awful + 1
    assert "text to a number" in run(here, "models").stdout
    assert (here / "run/model/README.md").read_text().startswith("---\n") and (here / "run/model/cockatoo.json").exists()


def test_what_is_missing_is_said(here):
    shutil.copytree(here / "run", here / "twin")
    compared = run(here, "compare", "run", "twin")
    assert compared.returncode and "two runs are not compared" in compared.stderr, compared.stderr
    wrong = run(here, "train", "--model-type", "minilm-ratr", "--data", "reviews.csv")
    assert "did you mean 'minilm-rater'" in wrong.stderr
