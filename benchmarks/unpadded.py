#!/usr/bin/env python
"""What padding costs ModernBERT: tokens per second for rows of many lengths against full rows, padded and packed.

The workload is that of ModernBERT's own paper (arXiv:2412.13663, table 2): lengths drawn from N(256, 64), clamped to
16-512, against rows of 512 tokens. Only real tokens are counted. The ratio of the two says what padding costs, on any
machine: a padded model comes to about one half, one that leaves padding out should reach 0.95. On a machine that others use too, the same
ratio in seconds of the processor (last column) is the steadier one.

    python benchmarks/unpadded.py                                   # a minute or two on two cores
    python benchmarks/unpadded.py --json                            # the same as one JSON object
    python benchmarks/unpadded.py --save benchmarks/results/unpadded.json
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time

TARGET = 0.95
MEAN, DEVIATION, SHORTEST, LONGEST = 256, 64, 16, 512
SIZES = {  # layers, width, inner width, heads
    "middle": (6, 384, 576, 6), "base": (22, 768, 1152, 12), "large": (28, 1024, 2624, 16)}


def build(options):
    "A ModernBERT classifier with fresh weights; they do not change how long it takes."
    import torch
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    layers, width, inner, heads = SIZES[options.size]
    torch.manual_seed(0)
    config = ModernBertConfig(vocab_size=8192, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
                              num_attention_heads=heads, num_labels=28, classifier_pooling="mean", pad_token_id=0,
                              cls_token_id=1, bos_token_id=1, sep_token_id=2, eos_token_id=2)
    config._attn_implementation = options.attention
    model = ModernBertForSequenceClassification(config).to(options.device).train()
    if options.checkpointing:
        model.activation_checkpointing_enable()
    return model


def batches(options, lengths):
    "Rows of random ids, right-padded to 512 as the reference system pads them, and their masks."
    import torch

    out = []
    for start in range(0, len(lengths), options.batch_size):
        mask = (torch.arange(LONGEST) < lengths[start:start + options.batch_size, None]).long()
        ids = torch.randint(3, 8192, mask.shape) * mask
        out.append({"input_ids": ids.to(options.device), "attention_mask": mask.to(options.device)})
    return out


def longest_only(inputs):
    "The same batch, padded to its own longest row."
    width = int(inputs["attention_mask"].sum(1).max())
    return {name: x[:, :width] for name, x in inputs.items()}


def seconds(options, model, work):
    "Time of one forward and backward pass over all batches: by the clock, and of the processor (on a GPU the same)."
    import torch

    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    wait()
    start, busy = time.perf_counter(), time.process_time()
    for inputs in work:
        model.zero_grad(set_to_none=True)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
            loss = model(**inputs).logits.float().square().mean()
        loss.backward()
    wait()
    took = time.perf_counter() - start
    return took, took if options.device == "cuda" else time.process_time() - busy


def measure(options):
    "Alternate all six in one process, so that drift of the machine hits all alike; medians over the rounds."
    import contextlib

    import torch

    from cockatoo.models.packed import unpadded

    model = build(options)
    torch.manual_seed(1)
    drawn = torch.empty(options.rows).normal_(MEAN, DEVIATION).round().clamp(SHORTEST, LONGEST).long()
    full = torch.full((max(1, options.rows // 2),), LONGEST)
    fixed, variable = batches(options, full), batches(options, drawn)
    shorter = [longest_only(inputs) for inputs in variable]
    work = {("padded", "fixed"): fixed, ("padded", "variable"): variable, ("padded to the longest", "variable"): shorter,
            ("unpadded", "fixed"): fixed, ("unpadded", "variable"): variable}
    tokens = {key: int(sum(x["attention_mask"].sum() for x in inputs)) for key, inputs in work.items()}
    speeds, busy = {key: [] for key in work}, {key: [] for key in work}
    for round_ in range(options.rounds + 1):
        for key, inputs in work.items():
            with unpadded(model) if key[0] == "unpadded" else contextlib.nullcontext():
                took = seconds(options, model, inputs if round_ else inputs[:1])
            if round_:
                speeds[key].append(tokens[key] / took[0])
                busy[key].append(tokens[key] / took[1])
        print(f"round {round_}/{options.rounds}", file=sys.stderr, flush=True)
    speed = {key: statistics.median(values) for key, values in speeds.items()}
    work_speed = {key: statistics.median(values) for key, values in busy.items()}
    ratio = speed["unpadded", "variable"] / speed["unpadded", "fixed"]
    rows = [{"model": key[0], "lengths": key[1], "tokens_per_second": round(value), "lowest": round(min(speeds[key])),
             "highest": round(max(speeds[key])),
             "ratio_to_fixed": round(value / speed[key[0].split()[0], "fixed"], 3),
             "processor_ratio": round(work_speed[key] / work_speed[key[0].split()[0], "fixed"], 3)}
            for key, value in speed.items()]
    layers, width, _, heads = SIZES[options.size]
    return {"benchmark": "unpadded", "layers": layers, "width": width, "heads": heads, "batch_size": options.batch_size,
            "rows_variable": options.rows, "rounds": options.rounds, "device": options.device,
            "attention": options.attention, "precision": options.precision, "checkpointing": options.checkpointing,
            "threads": torch.get_num_threads(), "cores": os.cpu_count(), "torch": torch.__version__, "rows": rows,
            "unpadded_variable_to_padded_fixed": round(speed["unpadded", "variable"] / speed["padded", "fixed"], 3),
            "target_ratio": TARGET, "within": ratio >= TARGET}


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when the ratio is below the target."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--size", choices=SIZES, default="middle", help="shape of the model (default middle: 6 x 384)")
    parser.add_argument("--rows", type=int, default=16, help="rows of many lengths a round (default 16)")
    parser.add_argument("--batch-size", type=int, default=16, help="rows in a batch (default 16)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds measured after the warming one (default 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--attention", choices=("sdpa", "flash_attention_2"), default="sdpa")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    result = measure(options)
    if options.save:
        with open(options.save, "w", encoding="utf-8") as out:
            out.write(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{'':24}{'lengths':10}{'tokens/s':>10}{'lowest':>9}{'highest':>9}{'to fixed':>10}{'processor':>11}")
        for row in result["rows"]:
            print(f"{row['model']:24}{row['lengths']:10}{row['tokens_per_second']:10,}{row['lowest']:9,}"
                  f"{row['highest']:9,}{row['ratio_to_fixed']:10.2f}{row['processor_ratio']:11.2f}")
        print(f"unpadded, variable to fixed: at least {TARGET}; reached: {'yes' if result['within'] else 'NO'}")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
