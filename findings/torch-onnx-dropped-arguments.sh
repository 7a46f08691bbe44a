#!/usr/bin/env bash
# `torch.onnx.export` drops arguments that change the result, without an error or a warning: `scatter_reduce(..., "mean")` is written as a plain scatter (the last
# row wins, nothing is averaged), `F.cross_entropy(label_smoothing=...)` without the smoothing, `F.avg_pool2d(divisor_override=...)` without the divisor.
#
# Versions: torch 2.13.0 (dynamo exporter, the default), onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.31.1.
# Cost: a model that pools tokens, chunks or graph nodes by segment gives the vector of one member instead of the mean; a loss in an exported training or
#   scoring graph is another loss. Shapes and types are right, so only a comparison of the numbers shows it.
# Instead: write the mean as `index_add` of the rows divided by `index_add` of ones (exported rightly, shown below), smooth the targets yourself, multiply the
#   pooled value; and compare torch with the exported graph for each model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging, warnings
logging.disable(logging.CRITICAL)
import numpy as np, onnx, onnxruntime, torch
import torch.nn.functional as F

class Call(torch.nn.Module):
    def __init__(self, fn): super().__init__(); self.fn = fn
    def forward(self, *xs): return self.fn(*xs)

def both(fn, *xs):
    model = Call(fn)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.onnx.export(model, xs, "m.onnx", verbose=False, external_data=False)
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    feeds = {i.name: x.numpy() for i, x in zip(session.get_inputs(), xs)}
    about = [str(w.message)[:100] for w in said if any(k in str(w.message) for k in ("scatter", "smooth", "divisor", "reduc"))]
    return model(*xs).numpy(), session.run(None, feeds)[0], about

rows = torch.tensor([[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]])
segment = torch.tensor([0, 0, 1])
wide = segment[:, None].expand(3, 2).contiguous()
logits, target = torch.tensor([[4.0, 0.0, -1.0]]), torch.tensor([0])
image = torch.arange(16.0).reshape(1, 1, 4, 4)

def pooled(r, s): return torch.zeros(2, 2).scatter_reduce(0, s, r, "mean", include_self=False)
def by_hand(r, s): return torch.zeros(2, 2).index_add(0, s, r) / torch.zeros(2).index_add(0, s, torch.ones(3))[:, None]

print("torch", torch.__version__, "| onnx", onnx.__version__, "| onnxruntime", onnxruntime.__version__)
seen = {}
for name, fn, args in [("mean of rows by segment, scatter_reduce", pooled, (rows, wide)),
                       ("mean of rows by segment, index_add", by_hand, (rows, segment)),
                       ("cross_entropy(label_smoothing=0.2)", lambda a, b: F.cross_entropy(a, b, label_smoothing=0.2), (logits, target)),
                       ("cross_entropy()", F.cross_entropy, (logits, target)),
                       ("avg_pool2d(2, divisor_override=1)", lambda a: F.avg_pool2d(a, 2, divisor_override=1), (image,))]:
    t, o, about = both(fn, *args)
    seen[name] = t, o, about
    print(f"\n{name}\n  torch       {t.ravel()}\n  onnxruntime {o.ravel()}\n  warnings about it: {about}")

scatter, index_add, smooth, plain, pool = seen.values()
ok = (np.allclose(scatter[1], [[3, 30], [8, 80]]) and np.allclose(scatter[0], [[2, 20], [8, 80]]) and np.allclose(index_add[0], index_add[1])
      and not np.allclose(smooth[0], smooth[1], rtol=0.1) and np.allclose(smooth[1], plain[0], rtol=1e-4)
      and np.allclose(pool[0], 4 * pool[1]) and not any(s[2] for s in seen.values()))
print("\nas described" if ok else "\nCHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
