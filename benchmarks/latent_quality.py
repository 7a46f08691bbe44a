"""The latent model with pretrained weights: trains the size small on pairs of a text and its title, and keeps quality, baselines and cost."""
# One run of `cockatoo train --model-type latent --size small`, in a process of its own. Beside the metrics of the validation split stand the minutes that have
# passed and the processor minutes that were used: on a shared machine only the second can be compared. Settings after `--` are passed on, a run
# that was stopped goes on with `--resume`, and its minutes are those of all its parts.
import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from goemotions import machine

EXAMPLES = 8


def train(options):
    "Run the command to its end; its wall and processor minutes, with those of the parts before."
    spent = options.run.with_name(f"{options.run.name}.minutes.json")
    before = json.loads(spent.read_text()) if options.resume and spent.is_file() else {"wall": 0., "processor": 0.}
    command = [sys.executable, "-m", "cockatoo.cli", "train", "--output-dir", str(options.run)]
    if options.resume: command += ["--resume"]
    else:
        command += ["--model-type", "latent", "--size", "small", "--data", str(options.data), "--data.source-column", "text", "--data.target-column", "title"]
        command += options.settings
    started = time.perf_counter()
    status = subprocess.run(command).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "wall": before["wall"] + (time.perf_counter() - started) / 60, "processor": before["processor"] + (used.ru_utime + used.ru_stime) / 60}
    spent.write_text(json.dumps(found))
    if status: sys.exit(status)
    return found


def summary(options, minutes):
    "What is kept of a finished run."
    report = json.loads((options.run / "metrics.json").read_text())["validation"]
    data = json.loads((options.run / "data.json").read_text())
    lines = [json.loads(line) for line in (options.run / "texts" / "validation.jsonl").read_text().splitlines()[:EXAMPLES]]
    setup = {
        "rows": data["splits"]["train"]["rows"], "settings": options.settings, "wall_minutes": minutes["wall"],
        "processor_minutes": minutes["processor"], "cores": os.cpu_count(), "machine": machine()}
    names = ("prompted", "first_sentence", "first_words")
    met = all(report["baselines"][name]["difference"]["rouge_l"]["interval"][0] > 0 for name in names)
    examples = [{name: line[name] for name in ("reference", "text")} for line in lines]
    return {"name": "latent_quality", "setup": setup, "validation": report, "examples": examples, "met": met}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/debian"), help="folder or file with `text` and `title`")
    parser.add_argument("--run", type=Path, default=Path("runs/latent_quality"), help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--output", type=Path, help="also write the JSON object to this file")
    parser.add_argument("settings", nargs="*", help="settings of the run, after --")
    options = parser.parse_args()
    found = summary(options, train(options))
    if options.output: options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(found))
    else:
        report = found["validation"]
        print("model {:.3f} [{:.3f}, {:.3f}]".format(report["rouge_l"], *report["intervals"]["rouge_l"]))
        for name, each in report["baselines"].items():
            gap = each["difference"]["rouge_l"]
            print("{:16}{:.3f}, the model {:+.3f} [{:+.3f}, {:+.3f}]".format(name, each["rouge_l"], gap["difference"], *gap["interval"]))
    return int(not found["met"])


if __name__ == "__main__": sys.exit(main())
