#!/usr/bin/env python
"""The latent model with pretrained weights: trains the size small on pairs of a text and its title, and keeps quality, baselines and minutes.

    python benchmarks/latent_quality.py --run runs/latent --save benchmarks/results/latent_quality.json
    python benchmarks/latent_quality.py --run runs/latent -- --training.seed 1"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from goemotions import machine

STRONGEST = ("prompted", "first_sentence", "first_words")  # The baselines to beat
LIMIT = 60  # Minutes of the stages on two cores
EXAMPLES = 8


def minutes(log):
    "Minutes of all processes of a run up to the last evaluation of its last stage; the baselines come after it."
    total, born, last = 0., None, 0.
    for line in log:
        if line["event"] == "start" and line["born"] != born: total, born = total + (max(0., last - born) if born else 0.), line["born"]
        if line["event"] in ("train", "evaluate"): last = line["time"]
    return (total + max(0., last - born)) / 60  # A process that only makes the report has no such line


def rows_of(report):
    "ROUGE-L of the model and of each baseline, with the model's lead over it on the same rows."
    low, high = report["intervals"]["rouge_l"]
    rows = [{"text by": "the model", "rouge_l": report["rouge_l"], "lowest": low, "highest": high}]
    for name, each in report["baselines"].items():
        lead = each["difference"]["rouge_l"]
        low, high = lead["interval"]
        rows.append({"text by": name, "rouge_l": each["rouge_l"], "lead": lead["difference"], "lowest": low, "highest": high})
    return rows


def main():
    "Train, unless the run is there; print the table; exit status 1 where a baseline is not beaten or the time is over."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/debian"), help="folder or file with `text` and `title`")
    parser.add_argument("--run", type=Path, default=Path("runs/latent"), help="folder of the run; a finished one is only read")
    parser.add_argument("--save", metavar="FILE", type=Path, help="also write the JSON object to this file")
    parser.add_argument("settings", nargs="*", help="further settings of the run, after --")
    options = parser.parse_args()
    if not (options.run / "metrics.json").is_file():
        subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "latent", "--size", "small", "--data", str(options.data),
                        "--data.source-column", "text", "--data.target-column", "title", "--output-dir", str(options.run), *options.settings], check=True)
    report = json.loads((options.run / "metrics.json").read_text(encoding="utf-8"))["validation"]
    log = [json.loads(line) for line in (options.run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [json.loads(line) for line in (options.run / "texts" / "validation.jsonl").read_text(encoding="utf-8").splitlines()[:EXAMPLES]]
    rows, took = rows_of(report), minutes(log)
    met = took <= LIMIT and all(report["baselines"][name]["difference"]["rouge_l"]["interval"][0] > 0 for name in STRONGEST)
    training = json.loads((options.run / "data.json").read_text(encoding="utf-8"))["splits"]["train"]["rows"]
    setup = {"rows": training, "settings": options.settings, "minutes": round(took, 1), "cores": os.cpu_count(), "machine": machine()}
    for row in rows: print(*(f"{name} {value:.3f}" if isinstance(value, float) else value for name, value in row.items()), sep=", ")
    print(f"{took:.1f} minutes on {os.cpu_count()} cores")
    found = {
        "benchmark": "latent_quality", "machine": machine(), "setup": setup, "rows": rows, "validation": report, "met": met,
        "examples": [{name: line[name] for name in ("reference", "text")} for line in lines]}
    if options.save: options.save.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(not met)


if __name__ == "__main__": sys.exit(main())
