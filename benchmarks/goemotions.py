"""Quality and time of the `minilm` preset on GoEmotions: train, tune on validation, judge on rows that nothing has seen.

The official test split is not in this repository. So 5,427 training rows, as many as the official test has, are set aside by a hash of their text before
anything else happens: they are neither trained on nor used for thresholds or for the choice of the best epoch. Further arguments go to `cockatoo train`:

    python benchmarks/goemotions.py
    python benchmarks/goemotions.py --name unfrozen --model.freeze-embeddings false --model.frozen-layers 0
"""
import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("COCKATOO_SHARED", HERE.parent.parent / "shared"))
HELD_OUT = 5_427


def carve(source, folder):
    "Write train, validation and test files; returns the number of rows of each."
    rows = [json.loads(line) for line in open(source / "train.jsonl", encoding="utf-8")]
    rows.sort(key=lambda row: hashlib.sha256(row["text"].encode()).hexdigest())
    parts = {"test": rows[:HELD_OUT], "train": sorted(rows[HELD_OUT:], key=lambda row: row["id"])}
    parts["validation"] = [json.loads(line) for line in open(source / "validation.jsonl", encoding="utf-8")]
    for name, part in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return {name: len(part) for name, part in parts.items()}


def machine():
    "The processor and the number of cores used, in words."
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), platform.processor())
    native = "with" if "avx512_bf16" in info or "amx_bf16" in info else "without"
    return f"{name}, {os.cpu_count()} cores, {native} native bf16"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="goemotions", help="name of the result file in benchmarks/results")
    parser.add_argument("--output-dir", help="keep the run here; default: a temporary folder")
    args, more = parser.parse_known_args()
    if not (SHARED / "data/goemotions").exists():
        sys.exit(f"{SHARED / 'data/goemotions'}: not there; set COCKATOO_SHARED to the folder that holds data/goemotions")
    with tempfile.TemporaryDirectory() as folder:
        rows = carve(SHARED / "data/goemotions", Path(folder))
        run = args.output_dir or f"{folder}/run"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "minilm", "--data", folder, "--output-dir", run, *more], check=True)
        seconds = time.perf_counter() - start
        metrics = json.loads(Path(run, "metrics.json").read_text())
    result = {
        "description": f"GoEmotions, {rows['train']:,} rows to train on, thresholds from the {rows['validation']:,} validation rows, "
                       f"judged on {rows['test']:,} training rows that were set aside before.",
        "machine": machine(), "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())), "arguments": more, "rows": rows, "train_seconds": round(seconds, 1),
        "test": metrics["test"], "validation": metrics["validation"]}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / f"results/{args.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    t = metrics["test"]
    print(f"{args.name}: macro-F1 {t['f1_macro']:.4f} (at 0.5: {t['f1_macro_at_0.5']:.4f}), average precision "
          f"{t['average_precision_macro']:.4f}, {seconds / 60:.1f} minutes on {result['machine']}")


if __name__ == "__main__":
    main()
