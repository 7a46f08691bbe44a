#!/usr/bin/env python
"""The four stages of a decoder in one command, with the texts that every machine has: minutes, and what each stage gains over the checkpoint before.

    python benchmarks/decoder_stages.py --run runs/stages --save benchmarks/results/decoder_stages.json"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

from goemotions import machine

STAGES = ("language", "code", "tools", "preference")
LIMIT = 30  # Minutes on two cores


def main():
    "Train, unless the run is there; print the table; exit status 1 where a stage gains nothing or the time is over."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--run", type=Path, default=Path("runs/stages"), help="folder of the run; a finished one is only read")
    parser.add_argument("--save", metavar="FILE", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    if not (options.run / "metrics.json").is_file():
        subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "decoder", "--size", "tiny", "--stages", ",".join(STAGES),
                        "--output-dir", str(options.run)], check=True)
    log = [json.loads(line) for line in (options.run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = []
    for stage in STAGES:
        own = [line for line in log if line.get("stage") == stage]
        losses = [line["loss"] for line in own if line["event"] == "evaluate"]
        rows.append({"stage": stage, "loss_before": losses[0], "loss_after": losses[-1],
                     "minutes": round((own[-1]["time"] - own[0]["time"]) / 60, 1)})
    minutes = ((options.run / "metrics.json").stat().st_mtime - log[0]["born"]) / 60
    result = {"description": "decoder, tiny, four stages: validation loss in nats per token, of a pair in the last stage", "rows": rows,
              "minutes": round(minutes, 1), "machine": machine(), "within": minutes <= LIMIT and all(
                  row["loss_after"] < row["loss_before"] for row in rows)}
    print(json.dumps(result, indent=2))
    if options.save: options.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
