"""Which loss, which rates, which optimiser? One recipe a line, on GoEmotions rows that nothing has seen; every result is kept, the bad ones too.

Rows are set aside as in `goemotions.py`. All recipes start from the same weights, see the same `--samples` rows in the same order and are judged on the same 5,427
rows, so the difference to the first has a paired interval. A recipe that is finished is not run again.

    python benchmarks/recipes.py --samples 6000 --output-dir /tmp/recipes --jobs 2
"""
import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from goemotions import HERE, SHARED, carve, machine

BASE = {"model.freeze-embeddings": "true", "model.frozen-layers": 2, "model.dropout": 0, "training.layerwise-learning-rate-decay": 1,
        "training.head-learning-rate-multiplier": 1}  # written out, so that the table stays true when the preset changes
RECIPES = {
    "base: ASL 4 / 1 / .05, two layers frozen, one rate": {},
    "base, another seed": {"training.seed": 1},
    "base, a third seed": {"training.seed": 2},
    "base, biases begin at zero": {"loss.prior-bias": "false"},
    "layer-wise decay .8": {"training.layerwise-learning-rate-decay": .8},
    "rate of the new head times 10": {"training.head-learning-rate-multiplier": 10},
    "rate 4e-4": {"training.learning-rate": 4e-4},
    "dropout .1": {"model.dropout": .1},
    "ASL 4 / 0 / .05": {"loss.gamma-pos": 0},
    "ASL 2 / 0 / 0": {"loss.gamma-neg": 2, "loss.gamma-pos": 0, "loss.clip": 0},
    "binary cross-entropy": {"loss.name": "bce"},
    "binary cross-entropy, biases begin at zero": {"loss.name": "bce", "loss.prior-bias": "false"},
    "focal loss, gamma 2, both sides alike": {"loss.name": "focal"},
    "focal loss, biases begin at zero": {"loss.name": "focal", "loss.prior-bias": "false"},
    "8-bit AdamW": {"training.optimizer": "adamw_8bit"},
    "nothing frozen": {"model.freeze-embeddings": "false", "model.frozen-layers": 0},
    "nothing frozen, dropout .1, layer-wise decay .9": {"model.freeze-embeddings": "false", "model.frozen-layers": 0, "model.dropout": .1,
                                                        "training.layerwise-learning-rate-decay": .9},
    "rare labels weigh more (class_weights)": {"loss.class-weights": "effective_number"},
    "binary cross-entropy, rare positives weigh more (pos_weight)": {"loss.name": "bce", "loss.pos-weight": "inverse_frequency"},
    "rare rows repeated": {"data.rebalance": "oversample"},
}


def main():
    "Run what is missing; rewrite the table after each recipe."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000, help="training rows (default 6000)")
    parser.add_argument("--output-dir", required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, each with its share of the cores (default 1)")
    options = parser.parse_args()
    if not (SHARED / "data/goemotions").exists():
        sys.exit(f"{SHARED / 'data/goemotions'}: not there; set COCKATOO_SHARED to the folder that holds data/goemotions")
    from cockatoo.training.compare import compare
    from cockatoo.training.run import Run

    runs, rows = Path(options.output_dir), []
    data = runs / "data"
    data.mkdir(parents=True, exist_ok=True)
    carve(SHARED / "data/goemotions", data)  # the same files each time
    environment = {"OMP_NUM_THREADS": str(max(1, os.cpu_count() // options.jobs)), **os.environ}

    def trained(item):
        name, changes = item
        run = Run(runs / re.sub(r"\W+", "-", name))
        if run.status != "finished":
            settings = {"data.max-samples": options.samples, "training.eval-strategy": "no", **BASE, **changes}  # judged once, after the third epoch
            words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
            subprocess.run([sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "minilm", "--data", str(data), "--output-dir", str(run.path),
                            "--overwrite", *words], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return name, changes, run

    first = None
    for name, changes, run in ThreadPoolExecutor(options.jobs).map(trained, RECIPES.items()):
        first = first or run
        test, end = run.metrics["test"], run.last("end")
        row = {"recipe": name, "changes": {key.replace("-", "_"): value for key, value in changes.items()},
               **{key: round(test[key], 4) for key in ("f1_macro", "f1_macro_at_0.5", "average_precision_macro", "ece")},
               "validation_average_precision_macro": round(run.metrics["validation"]["average_precision_macro"], 4),
               "interval": [round(x, 4) for x in test["intervals"]["f1_macro"]], "seconds": end["seconds"]}
        if run is not first:
            found = compare(first.path, run.path, split="test").to_dict()["metrics"]
            paired = next(each for each in found if each["metric"] == "f1_macro")
            row |= {"difference": round(paired["difference"], 4), "difference_interval": [round(x, 4) for x in paired["interval"]],
                    "exceeds_noise": paired["exceeds_noise"]}
        rows.append(row)
        result = {"description": f"GoEmotions, {options.samples:,} training rows, three epochs, thresholds from validation, judged on 5,427 rows set aside",
                  "machine": machine(), "samples": options.samples, "rows": rows}
        (HERE / "results/recipes.json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name:60} {row['f1_macro']:.4f} {row['interval']} AP {row['average_precision_macro']:.4f} {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
