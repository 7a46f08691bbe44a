"""Quality and time of the `minilm` preset on GoEmotions: train, tune on validation, judge on rows that nothing has seen.

The official test split is not in this repository. So 5,427 training rows, as many as the official test has, are set aside by a hash of their text before
anything else happens: they are neither trained on nor used for thresholds or for the choice of the best epoch. Further arguments go to `cockatoo train`:

    python benchmarks/goemotions.py --seeds 0 1 2
    python benchmarks/goemotions.py --name goemotions_unfrozen --model.freeze-embeddings false --model.frozen-layers 0
"""
import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
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


def swapped(run):
    "Macro-F1 on validation with thresholds from the rows set aside: the same question asked the other way round."
    import numpy as np

    from cockatoo.classifier.thresholds import choose_thresholds, probabilities
    from cockatoo.classifier.metrics import classification_report

    validation, aside = (np.load(run.path / f"scores/{split}.npz") for split in ("validation", "test"))
    thresholds = choose_thresholds(run.config.thresholds, run.data["labels"], probabilities(aside["logits"]), aside["targets"], aside["mask"], "test")
    return classification_report(validation["logits"], validation["targets"], validation["mask"], thresholds)["f1_macro"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="goemotions", help="name of the result file in benchmarks/results")
    parser.add_argument("--output-dir", help="keep the runs here, one folder a seed; a finished one is not trained again. Default: a temporary folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training a seed (default: 0)")
    args, more = parser.parse_known_args()
    if not (SHARED / "data/goemotions").exists():
        sys.exit(f"{SHARED / 'data/goemotions'}: not there; set COCKATOO_SHARED to the folder that holds data/goemotions")
    from cockatoo.training.run import Run

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.output_dir or temporary)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows, runs = carve(SHARED / "data/goemotions", folder / "data"), []
        for seed in args.seeds:
            run = Run(folder / f"seed-{seed}")
            if run.status != "finished":
                subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "minilm", "--data", str(folder / "data"), "--output-dir", str(run.path),
                                "--overwrite", "--training.seed", str(seed), *more], check=True)
            metrics = run.metrics
            runs.append({"seed": seed, "train_seconds": round(run.last("end")["seconds"], 1), "f1_macro_swapped": swapped(run),
                         **{split: {key: value for key, value in metrics[split].items() if not isinstance(value, dict)} for split in ("test", "validation")}})
            if seed == args.seeds[0]: first = metrics
            write(args, more, rows, runs, first)


def write(args, more, rows, runs, first):
    "Rewrite the result after each training and say it."
    result = {
        "description": f"GoEmotions, {rows['train']:,} rows to train on, thresholds from the {rows['validation']:,} validation rows, "
                       f"judged on {rows['test']:,} training rows that were set aside before.",
        "machine": machine(), "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())), "arguments": more, "rows": rows,
        "runs": runs, "test": first["test"], "validation": first["validation"]}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / f"results/{args.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    t = runs[-1]["test"]
    print(f"{args.name}, seed {runs[-1]['seed']}: macro-F1 {t['f1_macro']:.4f} (swapped {runs[-1]['f1_macro_swapped']:.4f}; at 0.5 {t['f1_macro_at_0.5']:.4f}), "
          f"average precision {t['average_precision_macro']:.4f}, {runs[-1]['train_seconds'] / 60:.1f} minutes on {result['machine']}", flush=True)


if __name__ == "__main__":
    main()
