"""Where the time of a training step goes: matrix products, attention, normalisation, copies, the optimiser, batches, and what is outside of PyTorch."""
import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

WARM_UP = 10  # Steps before the ones that are measured
KINDS = {  # Part of the name of an operation -> what it is; the first that fits
    "bmm": "attention", "softmax": "attention", "scaled_dot_product": "attention", "attention": "attention", "layer_norm": "normalisation", "rms_norm": "normalisation",
    "mm": "matrix products", "linear": "matrix products", "matmul": "matrix products", "onednn": "matrix products", "mkldnn": "matrix products",
    "vector_norm": "optimiser", "foreach": "optimiser",  # Clipping of the gradients
    "copy": "copies and casts", "gelu": "activation functions", "relu": "activation functions", "silu": "activation functions", "DataLoader": "batches from the data"}


def kind_of(event):
    "The kind of an operation; what the optimiser calls belongs to it."
    parent = event
    while parent is not None:
        if parent.name.startswith("Optimizer.step"): return "optimiser"
        parent = parent.cpu_parent
    return next((kind for part, kind in KINDS.items() if part in event.name), "other operations")


def profiled(steps):
    "A callback of the Trainer that profiles some steps."
    import torch
    from transformers import TrainerCallback

    class Profiled(TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            if state.global_step == WARM_UP:
                self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
                self.profiler.start()
                self.start = time.perf_counter()
            if state.global_step == WARM_UP + steps:
                self.seconds = time.perf_counter() - self.start
                self.profiler.stop()
                control.should_training_stop = True

    return Profiled()


def measure(options):
    "Train some steps with the preset; one row for each kind."
    import torch
    from goemotions import machine

    from cockatoo import resolve, train

    steps = WARM_UP + options.steps + 2
    with tempfile.TemporaryDirectory() as folder:
        config = resolve(options.model_type, size=options.size, overrides={
            "data.source": options.data, "training.eval_strategy": "no", "training.early_stopping_patience": 0, "training.max_steps": steps,
            "training.gradient_accumulation_steps": 1, "thresholds.bootstrap_resamples": 0, "data.cache_dir": f"{folder}/cache"})
        config = config.with_(**{"data.max_samples": max(1000, steps * config.training.batch_size)})
        watch = profiled(options.steps)
        train(config, Path(folder) / "run", callbacks=[watch], progress=False)
    seconds = Counter()
    for event in watch.profiler.events(): seconds[kind_of(event)] += event.self_cpu_time_total / 1e6
    seconds["outside of PyTorch"] = max(0., watch.seconds - sum(seconds.values()))
    shown = [{"kind": kind, "ms_per_step": round(1000 * value / options.steps, 2), "share": round(value / watch.seconds, 3)} for kind, value in seconds.most_common()]
    return {
        "benchmark": "step_time", "description": __doc__, "machine": machine(), "model_type": options.model_type, "batch_size": config.training.batch_size, "threads": torch.get_num_threads(),
        "precision": config.training.precision, "steps": options.steps, "ms_per_step": round(1000 * watch.seconds / options.steps, 2), "rows": shown}


def main():
    "Measure, and print the table (or, with --json, one JSON object)."
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", default="demo", help="training rows: a file, a folder or demo (default demo)")
    parser.add_argument("--model-type", default="minilm", help="a classifier (default minilm)")
    parser.add_argument("--size", default=None, help="`tiny` for a quick look without real weights")
    parser.add_argument("--steps", type=int, default=40, help="steps that are measured (default 40)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    found = measure(options)
    if options.json: return print(json.dumps(found))
    print(f"{found['ms_per_step']:.1f} ms a step of {found['batch_size']} rows, {found['precision']}, {found['machine']}")
    for row in found["rows"]: print(f"{row['kind']:20}{row['ms_per_step']:9.2f} ms{row['share']:8.1%}")


if __name__ == "__main__": sys.exit(main())
