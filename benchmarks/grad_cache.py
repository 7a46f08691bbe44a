#!/usr/bin/env python
"""Gradient caching (GradCache): a contrastive batch of 512 pairs in one go, and in chunks that keep their vectors only.

Each way runs in a process of its own, which states its peak memory over what the loaded model takes. Targets: gradients
within 1e-5, a quarter of the memory.

    python benchmarks/grad_cache.py --data ../shared/data/debian --json
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = {"in one go": {}, "gradients cached": {"chunk_tokens": 2048, "cached": True}}


def resident_megabytes(name="VmHWM"):
    "Peak (`VmHWM`) or present (`VmRSS`) resident memory of this process."
    return next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))


def compute(options, way, file):
    "One batch forwards and backwards; its gradients go to a file, its figures to standard output."
    import torch

    from cockatoo.core.config import resolve
    from cockatoo.embedder.batches import PairCollator
    from cockatoo.embedder.data import load_pairs
    from cockatoo.embedder.losses import info_nce
    from cockatoo.embedder.model import build, normalized
    from cockatoo.embedder.texts import PairTokens

    config = resolve("minilm-embed", overrides={
        "data.source": options.data, "data.query_column": options.query_column, "data.document_column": options.document_column,
        "data.max_samples": options.batch_size, "model.max_length": options.max_length, "embedding.principal_axes": False,
        "model.freeze_embeddings": False, "model.frozen_layers": 0})
    data = load_pairs(config.data)
    model, tokenizer, _ = build(config, data)
    tokens = PairTokens(data.splits["train"], tokenizer, options.max_length, model.recipe.prefixes, Path(options.cache))
    rows = tokens.dataset()
    batch = PairCollator(tokens, tokenizer.pad_token_id)([rows[i] for i in range(len(rows))])
    model.train()
    before, start = resident_megabytes("VmRSS"), time.perf_counter()
    vectors = normalized(model(batch["input_ids"], batch["attention_mask"], **WAYS[way]))
    queries, documents = vectors[batch["query"]], vectors[batch["document"]]
    right = torch.arange(len(queries))
    info_nce(queries, documents, right, torch.zeros(len(queries), len(documents), dtype=torch.bool), .05).mean().backward()
    took, peak = time.perf_counter() - start, resident_megabytes()
    torch.save({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, file)
    print(json.dumps({"way": way, "seconds": round(took, 1), "megabytes": round(peak - before), "peak_megabytes": round(peak), "rows": len(queries)}))


def main():
    "Run both ways, print a table (or, with --json, one JSON object); exit status 1 when a target is missed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", default=str(Path(__file__).resolve().parents[2]/"shared"/"data"/"debian"))
    parser.add_argument("--query-column", default="title")
    parser.add_argument("--document-column", default="text")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--way", choices=sorted(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--gradients", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not Path(options.data).exists():
        print(f"{options.data}: no such data; name it with --data", file=sys.stderr)
        return 2
    if options.way: return compute(options, options.way, options.gradients)
    import torch

    rows, gradients = [], []
    with tempfile.TemporaryDirectory() as home:
        for way in WAYS:
            file = f"{home}/{len(rows)}.pt"
            done = subprocess.run([sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--way", way, "--gradients", file, "--cache", home], capture_output=True, text=True)
            if done.returncode: raise SystemExit(done.stderr)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            gradients.append(torch.load(file, weights_only=True))
    whole, cached = gradients
    difference = max(float((whole[name] - cached[name]).abs().max()) for name in whole)
    share = rows[1]["megabytes"] / rows[0]["megabytes"]
    result = {"benchmark": "grad_cache", "rows": rows, "largest_difference": difference, "memory_ratio": round(share, 3),
              "max_length": options.max_length, "within": difference <= 1e-5 and share <= .25 and whole.keys() == cached.keys()}
    if options.save: Path(options.save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(result))
    else:
        for row in rows: print("{way:20}{megabytes:9,} MB over the model {seconds:9.1f} s".format(**row))
        print(f"largest difference of a gradient {difference:.1e}; {share:.2f} of the memory")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
