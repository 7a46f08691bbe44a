"""The latent model: what a step of adapter training costs beside the frozen decoder alone, epochs with and without cached states, and reading a cache."""
# Three comparisons on one machine, alternating so that a busy machine slows all of them alike.
#   step    a training step of the adapter (states from the cache, projection, middle, adapter, decoder, AdamW) against forward and backward of the
#           frozen decoder alone on inputs of the same shape; target: at most 1.2 times
#   epoch   batches of states from the cache against the encoder in each step, with the same projection behind both; target: 3 times faster
#   read    a pooled vector of 768 numbers from JSON Lines as document 002 writes them against the imported arrays; targets: 20 times, 900 bytes
import argparse
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


def prepared(size, rows, **changes):
    "The training of a small data set, up to its last stage."
    from cockatoo.core.config import resolve
    from cockatoo.latent.training import LatentTraining

    settings = {"data.source": "demo", "data.max_samples": rows, "latent.eval_rows": 0, "training.eval_strategy": "no"}
    training = LatentTraining(resolve("latent", size=size, overrides=settings | changes)).prepare()
    return training, training.stage(training.plans[-1])


def step_seconds(size, rounds):
    "A training step, and the decoder's forward and backward pass alone."
    import torch

    training, stage = prepared(size, 64)
    model, optimizer = training.model.train(), stage.optimizer(training.model)
    chosen = [stage.dataset[i] for i in range(min(31, len(stage.dataset)))]
    prefix = torch.randn(len(chosen) + 1, model.settings.prefix_len, model.settings.decoder_hidden_dim, requires_grad=True)
    fast = training.lowered

    def step():
        batch = {name: value for name, value in stage.collate(chosen).items() if name != "rows"}
        with torch.autocast("cpu", torch.bfloat16, enabled=fast): loss, count = stage.loss_sum(model, batch)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()

    ids = stage.collate(chosen)["target_ids"]

    def decoder():
        with torch.autocast("cpu", torch.bfloat16, enabled=fast): logits = model.target_logits(prefix, ids)
        logits.float().logsumexp(-1).mean().backward()

    return alternating({"step": step, "decoder alone": decoder}, rounds)


def epoch_seconds(size, rows, rounds):
    "All texts once: states from the cache, or from the encoder."
    import torch

    training, _ = prepared(size, rows)
    inputs, model = training.inputs, training.model.eval()
    texts = training.data.splits["train"]["source"][:]
    cached, tokens = inputs.states(texts), inputs.tokens(texts)
    parts = [list(range(start, min(start + 32, len(texts)))) for start in range(0, len(texts), 32)]

    @torch.no_grad()
    def epoch(states):
        for part in parts: model.latents(states(part))

    return alternating({"cached": lambda: epoch(cached), "encoder": lambda: epoch(lambda part: inputs.encode(*tokens.batch(part)))}, rounds)


def read_seconds(rows):
    "Seconds to read all vectors once, and bytes a vector, as JSON Lines and as arrays."
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small", help="small (MiniLM and SmolLM2) or tiny")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    steps, epochs = step_seconds(options.size, options.rounds), epoch_seconds(options.size, options.rows, options.rounds)
    reads, size = read_seconds(2000)
    rows = [
        ("training step of the adapter / decoder alone", steps["step"], steps["decoder alone"], steps["step"] / steps["decoder alone"], "<= 1.2"),
        ("epoch of the encoder / of cached states", epochs["encoder"], epochs["cached"], epochs["encoder"] / epochs["cached"], ">= 3"),
        ("2,000 vectors as JSON Lines / as arrays", reads["jsonl"], reads["arrays"], reads["jsonl"] / reads["arrays"], ">= 20"),
        ("bytes a vector of 768 as JSON Lines / as arrays", size["jsonl"], size["arrays"], size["jsonl"] / size["arrays"], "<= 900 bytes")]
    reached = rows[0][3] <= 1.2 and rows[1][3] >= 3 and rows[2][3] >= 20 and size["arrays"] <= 900
    names = "comparison", "first", "second", "ratio", "target"
    result = {"benchmark": "latent_cache", "description": __doc__, "machine": machine(), "size": options.size, "unit": "seconds, bytes in the last row",
              "rows": [dict(zip(names, row)) for row in rows], "reached": reached}
    if options.json: print(json.dumps(result))
    else:
        for comparison, first, second, ratio, target in rows: print(f"{comparison:50}{first:10.4g}{second:10.4g}{ratio:10.3g}   {target}")
    return 0 if reached else 1


if __name__ == "__main__": sys.exit(main())
