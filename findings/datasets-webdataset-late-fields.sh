#!/usr/bin/env bash
# `load_dataset("webdataset")` takes the columns, and the keys inside .json members, from the first five samples. A member or a key that first occurs in the sixth is dropped from
# all samples; among the first five a missing member is an error instead, so the same tar loads or fails by the order of its samples.
#
# Versions: datasets 5.2.0, webdataset 1.0.2 (the format's own reader, for comparison), pyarrow 26.0.1.
# Cost: optional parts (a second caption, a mask, a language tag in the json) vanish from training data without a word; the number of samples is right.
# Instead: pass `features=` with every column and key, write each part in each sample (empty where there is none), or read with webdataset.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pyarrow==26.0.1 webdataset==1.0.2
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
from importlib.metadata import version
from pathlib import Path
import datasets, webdataset

def write(name, order):
    with webdataset.TarWriter(name) as tar:
        for i in order:
            late = i >= 5                                            # samples 5, 6 and 7 have a mask and a language tag
            tar.write({"__key__": f"{i:03d}", "txt": f"text {i}", "json": {"id": i, **({"lang": "en"} if late else {})}, **({"mask.txt": "a mask"} if late else {})})

def load(name, **options):
    return datasets.load_dataset("webdataset", data_files={"train": name}, split="train", cache_dir=f"cache-{name}-{len(options)}", **options)

print(" | ".join(f"{p} {version(p)}" for p in ("datasets", "webdataset", "pyarrow")))
write("plain-first.tar", range(8)); write("mixed.tar", [0, 5, 1, 6, 2, 7, 3, 4])
own = [set(s) - {"__key__", "__url__", "__local_path__"} for s in webdataset.WebDataset("plain-first.tar", shardshuffle=False).decode()]
plain = load("plain-first.tar")
print("webdataset, last sample has", sorted(own[-1]))
print("datasets, columns", plain.column_names, "| json of the last sample", plain[-1]["json"], "| samples", len(plain))
try:
    mixed = f"loads with {load('mixed.tar').column_names}"
except Exception as e:
    mixed = f"{type(e.__cause__ or e).__name__}"
print("the same samples in another order:", mixed)
whole = datasets.Features({"txt": datasets.Value("string"), "mask.txt": datasets.Value("string"), "json": {"id": datasets.Value("int64"), "lang": datasets.Value("string")},
                           "__key__": datasets.Value("string"), "__url__": datasets.Value("string")})
given = load("plain-first.tar", features=whole)
print("with features=: first", given[0]["mask.txt"], given[0]["json"], "| last", given[-1]["mask.txt"], given[-1]["json"])
about = [l.strip() for l in Path("err.txt").read_text().splitlines() if "mask" in l or "lang" in l or "column" in l.lower()]
print("warnings about it:", about)
ok = ("mask.txt" in own[-1] and "mask.txt" not in plain.column_names and "lang" not in plain[-1]["json"] and len(plain) == 8 and not mixed.startswith("loads")
      and given[-1]["mask.txt"] == "a mask" and given[-1]["json"]["lang"] == "en" and not about)
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
