"""The latent model: what a step of adapter training costs beside the frozen decoder alone, epochs with and without cached states, and reading a cache."""
# Three comparisons on one machine, alternating so that a busy machine slows all of them alike.
#   step    a training step of the adapter (states from the cache, projection, middle, adapter, decoder, AdamW) against forward and backward of the
#           frozen decoder alone on inputs of the same shape; target: at most 1.2 times
#   epoch   training steps over all rows with states from the cache against steps that run the encoder, of a stage between latents (target: 3 times
#           faster) and of a stage of the decoder, where the decoder is most of the work either way (no target)
#   read    a pooled vector of 768 numbers from JSON Lines as document 002 writes them against the imported arrays; targets: 20 times, 900 bytes
import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from goemotions import machine


def timed(work):
    "Seconds of a call."
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternating(contestants, rounds):
    "Name -> median seconds, each contestant once a round."
    seconds = {name: [] for name in contestants}
    for name, work in contestants.items(): work()
    for _ in range(rounds):
        for name, work in contestants.items(): seconds[name].append(timed(work))
    return {name: statistics.median(found) for name, found in seconds.items()}


TARGETS = {"step": 1.2, "epoch": 3.0, "read": 20.0, "bytes": 900}


def prepared(size, rows):
    "The training of a small data set."
    from cockatoo.core.config import resolve
    from cockatoo.latent.training import LatentTraining

    settings = {"data.source": "demo", "data.max_samples": rows, "latent.eval_rows": 0, "training.eval_strategy": "no"}
    return LatentTraining(resolve("latent", size=size, overrides=settings)).prepare()


def stage_of(training, name):
    "A stage by its name, and how it trains on one batch."
    import torch

    plan = next(plan for plan in training.plans if plan.name == name)
    stage, model = training.stage(plan), training.model.train()
    optimizer = stage.optimizer(model)

    def step(batch):
        inputs = {name: value for name, value in batch.items() if name != "rows"}
        with torch.autocast("cpu", torch.bfloat16, enabled=training.lowered): loss, count = stage.loss_sum(model, inputs)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()

    return plan, stage, step


def step_seconds(training, rounds):
    "A training step of the adapter, and the decoder's forward and backward pass alone."
    import torch

    model = training.model
    _, stage, step = stage_of(training, "finetune_adapter")
    chosen = [stage.dataset[i] for i in range(min(31, len(stage.dataset)))]
    ids = stage.collate(chosen)["target_ids"]
    prefix = torch.randn(len(ids), model.settings.prefix_len, model.settings.decoder_hidden_dim, requires_grad=True)

    def decoder():
        with torch.autocast("cpu", torch.bfloat16, enabled=training.lowered): logits = model.target_logits(prefix, ids)
        logits.float().logsumexp(-1).mean().backward()

    return alternating({"step": lambda: step(stage.collate(chosen)), "decoder alone": decoder}, rounds)


def epoch_seconds(training, name, rounds):
    "Training steps over all rows of a stage: states from the cache, or from the encoder."
    from cockatoo.latent.inputs import LiveStates

    plan, stage, step = stage_of(training, name)
    rows, inputs = training.data.splits["train"], training.inputs
    columns = ("source", "target") if plan.loss == "latents" else ("source",)
    live = {column: LiveStates(inputs.tokens(rows[column][:]), inputs.encode) for column in columns}
    order = sorted(range(len(stage.dataset)), key=stage.dataset["length"][:].__getitem__)
    parts = [[stage.dataset[i] for i in order[start:start + 32]] for start in range(0, len(order), 32)]

    def epoch(collate):
        for part in parts: step(collate(part))

    encoder = dataclasses.replace(stage.collate, **live)
    return alternating({f"{name}, cached": lambda: epoch(stage.collate), f"{name}, encoder": lambda: epoch(encoder)}, rounds)


def read_seconds(rows):
    "(seconds to read all vectors once, bytes a vector), as JSON Lines and as arrays."
    import numpy as np
    from cockatoo.latent.states import ImportedVectors, import_jsonl

    here, random = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    with open(here / "cache.jsonl", "w") as file:
        for vector in random.normal(size=(rows, 768)):
            step = float(np.abs(vector).max()) / 127
            values = np.rint(vector / step).astype(int).tolist()
            file.write(json.dumps({"target_ids": [1] * 256, "target_attention_mask": [1] * 256, "embedding_q": values, "embedding_scale": step}) + "\n")
    folder = import_jsonl(here / "cache.jsonl", here / "arrays")
    size = {"jsonl": (here / "cache.jsonl").stat().st_size / rows, "arrays": sum((folder / f"{n}.npy").stat().st_size for n in ("values", "scales")) / rows}
    vectors, order = ImportedVectors(folder), random.permutation(rows)

    def as_json():
        for line in open(here / "cache.jsonl"):
            record = json.loads(line)
            np.asarray(record["embedding_q"], np.float32) * record["embedding_scale"]

    def as_arrays():
        for start in range(0, rows, 32): vectors(order[start:start + 32])

    return alternating({"jsonl": as_json, "arrays": as_arrays}, 3), size


def measure(options):
    "The rows of the table, and whether the targets are met."
    training = prepared(options.size, options.rows)
    steps = step_seconds(training, options.rounds)
    latents, decoder = (epoch_seconds(training, name, options.rounds) for name in ("finetune_middle", "finetune_adapter"))
    reads, size = read_seconds(2000)

    def row(name, seconds, ratio, target): return {"comparison": name, "seconds": seconds, "ratio": ratio, "target": target}

    def gain(found): return list(found.values())[1] / list(found.values())[0]

    rows = [
        row("step", steps, steps["step"] / steps["decoder alone"], TARGETS["step"]),
        row("epoch between latents", latents, gain(latents), TARGETS["epoch"]),
        row("epoch of the decoder", decoder, gain(decoder), None),
        row("read", reads, reads["jsonl"] / reads["arrays"], TARGETS["read"])]
    met = rows[0]["ratio"] <= TARGETS["step"] and rows[1]["ratio"] >= TARGETS["epoch"] and rows[3]["ratio"] >= TARGETS["read"]
    return rows, size, met and size["arrays"] <= TARGETS["bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", default="small", help="small (MiniLM and SmolLM2) or tiny")
    parser.add_argument("--rows", type=int, default=512, help="dialogues of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    import torch

    rows, size, met = measure(options)
    setup = {"size": options.size, "rows": options.rows, "rounds": options.rounds, "machine": machine(), "threads": torch.get_num_threads()}
    found = {"name": "latent_cache", "setup": setup, "rows": rows, "bytes_per_vector": size, "targets": TARGETS, "met": met}
    if options.output: options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(found))
    else:
        for row in rows:
            seconds = ", ".join(f"{name} {value:.4f} s" for name, value in row["seconds"].items())
            print(f"{row['comparison']:22}{row['ratio']:7.2f}  (target {row['target'] or '–'})  {seconds}")
        print(f"{size['arrays']:.0f} bytes a vector (JSON Lines {size['jsonl']:.0f}, target {TARGETS['bytes']})")
    return int(not met)


if __name__ == "__main__": sys.exit(main())
