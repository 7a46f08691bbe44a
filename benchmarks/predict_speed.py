#!/usr/bin/env python
"""Prediction speed: pipeline("text-classification", batch_size=32) and cockatoo on the same fine-tuned MiniLM and texts, in turns.

A MiniLM is trained shortly on GoEmotions (or taken from --run), exported as int8, and all contestants label the validation texts. Targets: 3 times the
pipeline with scores within 1e-4 (fp32, the default), 4 times within 1e-3 (bf16, where the processor has it), 10 times at a macro-F1 within .005 (int8 ONNX),
and 600 MB for the whole command on 50,000 rows.

    python benchmarks/predict_speed.py --data ../shared/data/goemotions
    python benchmarks/predict_speed.py --run runs/goemotions --texts 2000 --rounds 3 --json
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGETS = {"fp32": (3.0, "score", 1e-4), "bf16": (4.0, "score", 1e-3), "int8": (10.0, "f1", .005)}  # Ratio, what is compared, its limit
MEMORY = 600  # MB of the whole command


def train(data, folder, samples):
    "A run of MiniLM, one epoch on some rows."
    subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "minilm", "--data", str(data), "--output-dir", str(folder), "--data.max-samples", str(samples),
                    "--data.max-validation-samples", "2000", "--training.num-epochs", "1"], check=True, stdout=subprocess.DEVNULL)


def export(run, folder):
    "The int8 graph; kept as well where it is worse than its limits, which the benchmark then shows."
    from cockatoo.export.exporting import export_model

    return export_model(run, folder, "int8", force=True)


def contestants(run, exported):
    "Name -> function (texts) -> scores (texts, labels), in the order of the model's labels."
    import numpy as np
    from transformers import pipeline

    from cockatoo.classifier.predict import Predictor
    from cockatoo.core.hardware import detect

    exact = Predictor.load(run, device="cpu")
    stock, labels = pipeline("text-classification", model=str(Path(run)/"model"), device="cpu", top_k=None, truncation=True), list(exact.labels)

    def stock_scores(texts):
        found = [{each["label"]: each["score"] for each in answer} for answer in stock(texts, batch_size=32)]
        return np.array([[answer[name] for name in labels] for answer in found])

    found = {"pipeline": stock_scores, "cockatoo fp32": exact.scores}
    if detect().native_bf16: found["cockatoo bf16"] = Predictor.load(run, device="cpu", precision="bf16").scores
    return found | {"cockatoo int8": Predictor.load(exported).scores}, exact.thresholds


def alternate(found, texts, rounds):
    "Seconds by the clock and of the processor, of each contestant in each round, the first, short one dropped; and the scores."
    took, scores, names = {name: [] for name in found}, {}, list(found)
    for round_ in range(rounds + 1):
        for name in names[::1 if round_ % 2 else -1]:
            start, busy = time.perf_counter(), time.process_time()
            scores[name] = found[name](texts if round_ else texts[:200])
            if round_: took[name].append((time.perf_counter() - start, time.process_time() - busy))
        print(f"round {round_}/{rounds}", file=sys.stderr, flush=True)
    return took, scores


def macro_f1(scores, targets, thresholds):
    "Macro-F1 with the thresholds of the model."
    from sklearn.metrics import f1_score

    return float(f1_score(targets, scores >= thresholds, average="macro", zero_division=0))


MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(status)"""


def peak_memory(command, **settings):  # `settings` as for `subprocess.run`
    "Peak memory of a command in MB, and its seconds; `CalledProcessError` if it fails."
    start = time.perf_counter()  # From a small process: on Linux a child begins with the peak of the process that starts it
    done = subprocess.run([sys.executable, "-c", MEASURE, *map(str, command)], check=True, stdout=subprocess.PIPE, text=True, **settings)
    return float(done.stdout), time.perf_counter() - start


def whole_commands(run, exported, texts, count, home):
    "Memory and seconds of `cockatoo predict` on a file of so many rows."
    file, found = Path(home)/"rows.jsonl", {}
    with open(file, "w", encoding="utf-8") as rows:
        for i in range(count): rows.write(json.dumps({"text": texts[i % len(texts)]}) + "\n")
    for name, model in ("cockatoo fp32", run), ("cockatoo int8", exported):
        predict = [sys.executable, "-m", "cockatoo.cli", "predict", model, "--input", file, "--output", Path(home)/"answers.jsonl"]
        megabytes, seconds = peak_memory(predict, stderr=subprocess.DEVNULL)
        found[name] = {"rows": count, "peak_megabytes": round(megabytes), "seconds": round(seconds, 1), "within": megabytes <= MEMORY}
    return found


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when a target is missed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", default=str(Path(__file__).resolve().parents[2]/"shared"/"data"/"goemotions"), help="holds train.jsonl and validation.jsonl")
    parser.add_argument("--run", help="a finished run of a text classifier on these labels (default: one is trained shortly)")
    parser.add_argument("--exported", help="an int8 export of it (default: one is made)")
    parser.add_argument("--samples", type=int, default=20_000, help="rows of the short training (default 20,000)")
    parser.add_argument("--texts", type=int, default=5_426, help="texts to label (default 5,426: all of the validation split)")
    parser.add_argument("--rows", type=int, default=50_000, help="rows of the file whose prediction may not take much memory; 0: not measured")
    parser.add_argument("--rounds", type=int, default=5, help="rounds measured after the warming one (default 5)")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    source = Path(options.data)/"validation.jsonl"
    if not source.is_file():
        print(f"{options.data}: no validation.jsonl; name the folder with --data", file=sys.stderr)
        return 2
    import numpy as np
    import torch

    rows = [json.loads(line) for line in open(source, encoding="utf-8")][:options.texts]
    texts = [row["text"] for row in rows]
    with tempfile.TemporaryDirectory() as home:
        run, exported = options.run or Path(home)/"run", options.exported or Path(home)/"int8"
        if not options.run: train(options.data, run, options.samples)
        if not options.exported: export(run, exported)
        accepted = json.loads((Path(exported)/"export.json").read_text(encoding="utf-8"))["passed"]
        found, chosen = contestants(run, exported)
        targets = np.array([[name in row["labels"] for name in chosen] for row in rows])
        took, scores = alternate(found, texts, options.rounds)
        memory = whole_commands(run, exported, texts, options.rows, home) if options.rows else {}
    f1 = {name: macro_f1(values, targets, np.array(list(chosen.values()))) for name, values in scores.items()}
    table = []
    for name in found:
        ratio, busy = (statistics.median(stock[k] / own[k] for stock, own in zip(took["pipeline"], took[name])) for k in (0, 1))
        row = {"contestant": name, "texts_per_second": round(len(texts) / statistics.median(clock for clock, _ in took[name]), 1), "ratio": round(ratio, 2), "processor_ratio": round(busy, 2),
               "largest_difference": float(np.abs(scores[name] - scores["pipeline"]).max()), "f1_macro": round(f1[name], 5),
               "rows_with_other_labels": int(((scores[name] >= np.array(list(chosen.values()))) != (scores["pipeline"] >= np.array(list(chosen.values())))).any(1).sum())}
        target = TARGETS.get(name.split()[-1])
        if target:
            least, what, limit = target
            change = row["largest_difference"] if what == "score" else f1["pipeline"] - f1[name]
            row |= {"target": least, "limit": f"{what} {limit}", "within": bool(ratio >= least and change <= limit)}
        table.append(row)
    within = all(row.get("within", True) for row in [*table, *memory.values()])
    from cockatoo.core.hardware import detect

    result = {"benchmark": "predict_speed", "machine": detect().name, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "native_bf16": detect().native_bf16, "torch": torch.__version__,
              "texts": len(texts), "rounds": options.rounds, "int8_gate_passed": accepted, "rows": table, "memory": memory, "within": within}
    if options.save: Path(options.save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(result))
    else:
        for row in table: print("{contestant:16}{texts_per_second:10,.1f} texts/s{ratio:7.2f} ×  processor {processor_ratio:6.2f} ×  difference {largest_difference:.1e}  macro-F1 {f1_macro:.4f}".format(**row))
        for name, row in memory.items(): print("{:16}{rows:10,} rows: {peak_megabytes:,} MB, {seconds:,} s".format(name, **row))
        print("targets reached:", "yes" if within else "NO")
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
