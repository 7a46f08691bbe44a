#!/usr/bin/env bash
# What torch's ONNX exporter refuses, the older one (`dynamo=False`) may accept and get wrong: `torch.cdist` with p = 1 or 3 leaves out the absolute value, so distances become
# NaN, and `index_put(..., accumulate=True)` with an index that occurs twice adds only one of the two rows. Nothing is said but that this exporter is deprecated.
#
# Versions: torch 2.13.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.31.1.
# Cost: `dynamo=False` is the usual way out when the default exporter fails, as it does for cdist. Nearest neighbours by L1 distance are then chosen among NaN; counts and sums
#   per group, the usual reason for `accumulate=True`, miss every repeated member. With p = 2, or without repeats in the example, the graph is right.
# Instead: write L1 as `(a[:, None] - b[None]).abs().sum(-1)` and sums per group as `index_add` with the default exporter; both are exact (shown below).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import contextlib, io, logging, warnings
logging.disable(logging.CRITICAL)
import numpy as np, onnx, onnxruntime, torch

class Call(torch.nn.Module):
    def __init__(self, fn): super().__init__(); self.fn = fn
    def forward(self, *xs): return self.fn(*xs)

def both(fn, *xs, dynamo):
    model = Call(fn)
    with warnings.catch_warnings(record=True) as said, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            torch.onnx.export(model, xs, "m.onnx", dynamo=dynamo, verbose=False, external_data=False)
        except Exception as e:
            return None, type(e).__name__, []
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    out = session.run(None, {i.name: x.numpy() for i, x in zip(session.get_inputs(), xs)})[0]
    return model(*xs).numpy(), out, [str(w.message)[:90] for w in said if any(k in str(w.message) for k in ("cdist", "index_put", "accumulate", "duplicate"))]

rows = torch.tensor([[1.0, 2.0], [4.0, 6.0], [0.0, -1.0]])
group = torch.tensor([0, 0, 1])
def cdist(p): return lambda a: torch.cdist(a, a, p=p)
def put(a, i): return torch.zeros(2, 2).index_put((i,), a, accumulate=True)
def l1(a): return (a[:, None] - a[None]).abs().sum(-1)
def add(a, i): return torch.zeros(2, 2).index_add(0, i, a)

print("torch", torch.__version__, "| onnx", onnx.__version__, "| onnxruntime", onnxruntime.__version__)
seen = {}
for name, fn, args, dynamo in [("cdist p=1", cdist(1.0), (rows,), False), ("cdist p=3", cdist(3.0), (rows,), False), ("cdist p=2", cdist(2.0), (rows,), False),
                               ("cdist p=1", cdist(1.0), (rows,), True), ("index_put accumulate", put, (rows, group), False),
                               ("index_put accumulate", put, (rows, group), True), ("abs and sum", l1, (rows,), True), ("index_add", add, (rows, group), True)]:
    t, o, said = seen[name, dynamo] = both(fn, *args, dynamo=dynamo)
    print(f"\n{name}, dynamo={dynamo}")
    if t is None: print("  refused:", o)
    else: print(f"  torch       {np.round(t, 3).tolist()}\n  onnxruntime {np.round(o, 3).tolist()}\n  warnings about it: {said}")

right = lambda key: np.allclose(seen[key][0], seen[key][1], atol=1e-3)
ok = (all(np.isnan(seen[k, False][1]).any() and not seen[k, False][2] for k in ("cdist p=1", "cdist p=3")) and right(("cdist p=2", False))
      and seen["cdist p=1", True][0] is None and not right(("index_put accumulate", False)) and not seen["index_put accumulate", False][2]
      and all(right(k) for k in (("index_put accumulate", True), ("abs and sum", True), ("index_add", True))))
print("\nas described" if ok else "\nCHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
