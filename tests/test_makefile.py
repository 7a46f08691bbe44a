"""The targets of document 004 do what it says, with a program in the place of `cockatoo` that prints its arguments."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = {  # of document 004 -> the arguments of `cockatoo`, or a part of what is printed
    "train": "train --model-type captioner --data flickr",
    "train DATASET=coco EPOCHS=5": "train --model-type captioner --data coco --training.num-epochs 5",
    "train DATASET='flickr coco' EPOCHS=5": "train --model-type captioner --data flickr coco --training.num-epochs 5",
    "train DATASET=validation SAMPLE=5 EPOCHS=1": "--data validation --training.num-epochs 1 --data.max-samples 5",
    "train DATASET=flickr ENCODER=google/siglip-so400m-patch14-384 DECODER=HuggingFaceTB/SmolLM-360M MAX_LENGTH=256 EPOCHS=10":
        "--data flickr --training.num-epochs 10 --model.max-length 256 --model.checkpoint google/siglip-so400m-patch14-384 "
        "--captioner.decoder-checkpoint HuggingFaceTB/SmolLM-360M",
    "train-premium": "--data flickr --size premium", "train-modern": "--data flickr --size modern",
    "train-large EPOCHS=2": "--data flickr --size modern-large --training.num-epochs 2",
    "train-legacy": "--data flickr --size legacy", "train-flickr": "--data flickr", "train-coco": "--data coco",
    "train-multi SAMPLE=7": "--data flickr coco --data.max-samples 7", "train-all": "--data all",
    "train MODEL_TYPE=minilm DATASET=demo SIZE=tiny RUN=runs/mine OPTIONS='--loss.name bce'":
        "train --model-type minilm --data demo --size tiny --output-dir runs/mine --loss.name bce",
    "list-models": "models", "quantize RUN=runs/mine": "export runs/mine --quantize int8"}
OTHERS = {"status": "doctor", "check-python": "python", "help": "make train-multi",
          "upload-hub": "MODEL_ID=owner/name"}


@pytest.fixture
def make(tmp_path):
    "Run a target in a virtual environment that is finished already, in a folder of its own."
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cockatoo").write_text('#!/bin/sh\necho "cockatoo $*"\n')
    (tmp_path / "bin/cockatoo").chmod(0o755)
    (tmp_path / ".ready").touch()
    os.utime(tmp_path / ".ready", (2e9, 2e9))  # newer than settings.ini

    def run(line):
        command = f"make --no-print-directory {line} VENV={tmp_path} PYTHON={sys.executable}"
        return subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("line, expected", TARGETS.items(), ids=list(TARGETS))
def test_targets_of_the_document(make, line, expected):
    from cockatoo.core.arguments import COMMANDS, build_parser, config_from_options
    from cockatoo.core.registry import spec
    import cockatoo.cli

    done = make(line)
    assert not done.returncode, done.stderr
    words = next(each for each in done.stdout.splitlines() if each.startswith("cockatoo ")).split()[1:]
    assert expected in " ".join(words)
    if words[0] != "train":
        assert words[0] in COMMANDS
        return
    options = build_parser("train", words[1:]).read(words[1:])
    if options.size and options.size not in spec(options.model_type).sizes:
        pytest.skip(f"there is no size {options.size} yet")
    config = config_from_options(options)
    assert config.data.source == " ".join(words[words.index("--data") + 1:]).split(" --")[0].replace(" ", ", ")


@pytest.mark.parametrize("line, expected", OTHERS.items(), ids=list(OTHERS))
def test_other_targets(make, line, expected):
    done = make(line)
    assert expected in done.stdout + done.stderr


def test_every_target_is_listed_or_explained(make):
    "Document 004 names these; each is there, or an erratum of the captioner says what took its place."
    from cockatoo.core.registry import spec

    document = ("install check-python status train train-quick train-modern train-premium train-legacy train-flickr train-coco train-multi "
                "train-all test quantize upload-hub list-models shell clean clean-all lint format help train-large").split()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(document) <= targets
    for name in ("test", "train-quick", "install", "format", "quantize", "upload-hub", "MAX_LENGTH"):  # which do something else here
        assert any(name in each.setting.split(", ") or f"make {name}" in each.setting.split(", ") for each in spec("captioner").errata), name
