#!/usr/bin/env python
"""Encoding speed: SentenceTransformer.encode(batch_size=32) and cockatoo on the same weights and texts, in turns.

Short texts (GoEmotions) and long ones (descriptions of software packages), real MiniLM. Targets: 1.8 times in fp32 with
vectors within 1e-5, and 3 times at a cosine of at least .999 in bf16, where the processor has it (AVX512-BF16, AMX);
elsewhere there is no such row. Peak memory is that of a process of its own for each.

    python benchmarks/encode_speed.py --data ../shared/data        # folders goemotions and debian with train.jsonl
    python benchmarks/encode_speed.py --json --texts 2000 --documents 300 --rounds 3
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

TARGETS = {"fp32": 1.8, "bf16": 3.0}
CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"


def rows(file, count):
    "The first texts of a JSON Lines file."
    texts = []
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            texts.append(json.loads(line)["text"])
            if len(texts) == count:
                break
    return texts


def contestants():
    "The names; sentence-transformers first."
    from cockatoo.core.hardware import detect

    return ["sentence-transformers", "cockatoo fp32", *(["cockatoo bf16"] if detect().native_bf16 else [])]


def contestant(name, folder):
    "Function (texts) -> vectors."
    if name == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        theirs = SentenceTransformer(str(folder), device="cpu")
        return lambda texts: theirs.encode(texts, batch_size=32)
    from cockatoo.embedder.predict import Embedder

    return Embedder.load(folder, device="cpu", precision=name.split()[-1]).encode


def alternate(found, texts, rounds):
    "Seconds by the clock and of the processor, of each contestant in each round; the first round is dropped. And the vectors."
    took, vectors = {name: [] for name in found}, {}
    for round_ in range(rounds + 1):
        for name, encode in found.items():
            start, busy = time.perf_counter(), time.process_time()
            vectors[name] = encode(texts if round_ else texts[:200])
            if round_:
                took[name].append((time.perf_counter() - start, time.process_time() - busy))
        print(f"round {round_}/{rounds}", file=sys.stderr, flush=True)
    return took, vectors


def table(found, corpora, rounds):
    "A row for each contestant and corpus."
    import numpy as np

    made = []
    for corpus, texts in corpora.items():
        took, vectors = alternate(found, texts, rounds)
        stock = vectors["sentence-transformers"]
        for name in found:
            clock, busy = (statistics.median(times) for times in zip(*took[name]))
            base = [statistics.median(times) for times in zip(*took["sentence-transformers"])]
            precision = name.split()[-1]
            ratio, target = base[0] / clock, TARGETS.get(precision)
            cosine = float((vectors[name] * stock).sum(1).min())
            difference = float(np.abs(vectors[name] - stock).max())
            exact = difference <= 1e-5 if precision == "fp32" else cosine >= .999
            made.append({"texts": corpus, "encoder": name, "texts_per_second": round(len(texts) / clock, 1), "ratio": round(ratio, 2),
                         "processor_ratio": round(base[1] / busy, 2), "target": target, "lowest_cosine": round(cosine, 6),
                         "largest_difference": difference, "within": target is None or bool(ratio >= target and exact)})
    return made


def peak(name, folder, files):
    "Peak memory of a process that encodes with one contestant, in MB; `None` where the system does not tell."
    code = ("import json, re, sys; sys.path.insert(0, sys.argv[1]); import encode_speed; encode = encode_speed.contestant(sys.argv[3], sys.argv[2])\n"
            "for file in sys.argv[4:]: encode(json.load(open(file)))\n"
            "print(int(re.search('VmHWM:\\\\s*(\\\\d+)', open('/proc/self/status').read())[1]) // 1024)")
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(folder), name, *map(str, files)], capture_output=True, text=True)
    return int(done.stdout.split()[-1]) if done.stdout.split() else None


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when a target is missed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", default=str(Path(__file__).resolve().parents[2]/"shared"/"data"), help="holds goemotions/ and debian/")
    parser.add_argument("--texts", type=int, default=20_000, help="short texts (default 20,000)")
    parser.add_argument("--documents", type=int, default=3_000, help="long texts (default 3,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds measured after the warming one (default 3)")
    parser.add_argument("--no-memory", action="store_true", help="do not measure peak memory")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    files = {"goemotions": options.texts, "debian": options.documents}
    missing = [name for name in files if not (Path(options.data)/name/"train.jsonl").is_file()]
    if missing:
        print(f"{options.data}: no {missing[0]}/train.jsonl; name the folder with --data", file=sys.stderr)
        return 2
    import torch

    from cockatoo.core.hardware import detect
    from cockatoo.models.checkpoints import find_checkpoint

    folder, corpora = find_checkpoint(CHECKPOINT), {name: rows(Path(options.data)/name/"train.jsonl", count) for name, count in files.items()}
    found = {name: contestant(name, folder) for name in contestants()}
    result = {"benchmark": "encode_speed", "threads": torch.get_num_threads(), "cores": os.cpu_count(), "native_bf16": detect().native_bf16,
              "torch": torch.__version__, "rounds": options.rounds, "rows": table(found, corpora, options.rounds)}
    within = all(row["within"] for row in result["rows"])
    if not options.no_memory:
        with tempfile.TemporaryDirectory() as home:
            kept = []
            for name, texts in corpora.items():
                kept.append(Path(home)/f"{name}.json")
                kept[-1].write_text(json.dumps(texts))
            result["peak_megabytes"] = {name: peak(name, folder, kept) for name in found}
    result["within"] = within
    if options.save:
        Path(options.save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(result))
    else:
        for row in result["rows"]:
            print("{texts:12}{encoder:24}{texts_per_second:10,.1f} texts/s{ratio:7.2f} ×  processor {processor_ratio:5.2f} ×  cosine ≥ {lowest_cosine:.6f}".format(**row))
        print(result.get("peak_megabytes", ""), "targets reached:", "yes" if within else "NO")
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
