#!/usr/bin/env python
"""The whole training command of this version and of an older one, in turns: seconds by the clock, peak memory, and the quality on rows set aside.

Both train the `minilm` preset on GoEmotions with the same Python packages. Each round is one training of each with another seed; both begin with the converted
checkpoint in their cache, and nothing else.

    git worktree add ../older 5e0fb8d
    python benchmarks/older_version.py --other ../older --rounds 3
    python benchmarks/older_version.py --other ../older --samples 8000 --epochs 1
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from goemotions import HERE, SHARED, carve, machine, swapped
from predict_speed import peak_memory

PROGRAM = "import sys; from cockatoo.cli import main; sys.exit(main())"
TARGETS = {"seconds": .5, "memory": .8}  # Ratio of this version to the older one
F1_LOSS = .003  # Of macro-F1, the mean over the rounds and both ways of choosing thresholds


def command(root, cache, arguments, log):
    "Run `cockatoo train` of a checkout; returns the peak memory in MB and seconds by the clock."
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])), "XDG_CACHE_HOME": str(cache)}
    with open(log, "a") as errors:
        try: return peak_memory([sys.executable, "-c", PROGRAM, "train", *arguments], env=environment, cwd=root, stderr=errors)
        except subprocess.CalledProcessError: sys.exit(f"{root}: the training failed:\n{Path(log).read_text()[-2000:]}")


def quality(folder):
    "Macro-F1 of a run on the rows set aside and, with the roles of the sets exchanged, on validation."
    from cockatoo.training.run import Run

    run = Run(folder)
    return run.metrics["test"]["f1_macro"], swapped(run), run.metrics["test"]["average_precision_macro"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--other", required=True, help="checkout of the older version")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each version, a seed each (default 3)")
    parser.add_argument("--samples", type=int, help="training rows (default: all)")
    parser.add_argument("--epochs", type=int, help="(default: as the preset says)")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    options = parser.parse_args()
    if not (SHARED / "data/goemotions").exists(): sys.exit(f"{SHARED / 'data/goemotions'}: not there; set COCKATOO_SHARED to the folder that holds data/goemotions")
    roots = {"this version": HERE.parent, "older version": Path(options.other).resolve()}
    found = {name: {"seconds": [], "memory": [], "quality": []} for name in roots}
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        (here / "data").mkdir()
        rows = carve(SHARED / "data/goemotions", here / "data")
        common = ["--model-type", "minilm", "--data", str(here / "data")]
        for name, root in roots.items():
            command(root, here / "warm" / name, [*common, "--output-dir", str(here / f"warm-{name}"), "--data.max-samples", "200", "--training.num-epochs", "1"], here / "log.txt")
        if options.samples: common += ["--data.max-samples", str(options.samples)]
        if options.epochs: common += ["--training.num-epochs", str(options.epochs)]
        for round_ in range(options.rounds):
            for name in list(roots)[::1 if round_ % 2 else -1]:
                cache, run = here / "cache", here / f"{name} {round_}"
                shutil.rmtree(cache, ignore_errors=True)
                for converted in (here / "warm" / name).glob("*/converted"): shutil.copytree(converted, cache / converted.relative_to(here / "warm" / name))
                memory, seconds = command(roots[name], cache, [*common, "--output-dir", str(run), "--training.seed", str(round_)], here / "log.txt")
                found[name]["seconds"].append(seconds)
                found[name]["memory"].append(memory)
                found[name]["quality"].append(quality(run))
                print(f"round {round_}, {name}: {seconds:.0f} s, {memory:.0f} MB, macro-F1 and average precision {found[name]['quality'][-1]}", file=sys.stderr, flush=True)
    shown, base = [], found["older version"]
    for name, values in found.items():
        f1, other, precision = map(statistics.mean, zip(*values["quality"]))
        shown.append({"version": name, "seconds": round(statistics.median(values["seconds"]), 1), "MB": round(statistics.median(values["memory"])), "f1_macro": f1, "f1_macro_exchanged": other,
                      "average_precision": precision, **{f"{key}_ratio": round(statistics.median(values[key]) / statistics.median(base[key]), 3) for key in TARGETS}})
    drop = sum(shown[1][key] - shown[0][key] for key in ("f1_macro", "f1_macro_exchanged")) / 2
    result = {"benchmark": "older_version", "description": __doc__, "machine": machine(), "data": rows, "samples": options.samples, "epochs": options.epochs, "rounds": options.rounds,
              "rows": shown, "each": found, "reached": all(shown[0][f"{key}_ratio"] <= most for key, most in TARGETS.items()) and drop <= F1_LOSS}
    if options.save: Path(options.save).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0 if result["reached"] else 1


if __name__ == "__main__": sys.exit(main())
