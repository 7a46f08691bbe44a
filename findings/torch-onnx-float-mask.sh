#!/usr/bin/env bash
# In torch a query whose keys are all masked gets zeros from `scaled_dot_product_attention`, with a bool mask and with a float mask of 0 and -inf alike. Exported to
# ONNX only the bool mask keeps that: with the float mask the row becomes NaN, and in the next layer NaN reaches every token of that text, the real ones too.
#
# Versions: torch 2.13.0 (dynamo exporter and the older one, `dynamo=False`), onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.31.1.
# Cost: a causal model whose texts are padded on the left answers NaN in onnxruntime for each padded text of a batch, and rightly for the longest one; torch, and
#   any test with a single text or with equal lengths, shows nothing.
# Instead: build the mask as bool, or fill with `torch.finfo(dtype).min` in place of -inf, before exporting; test the export with unequal lengths.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging, warnings
logging.disable(logging.CRITICAL); warnings.filterwarnings("ignore")
import numpy as np, onnx, onnxruntime, torch
from torch import nn
import torch.nn.functional as F

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
    def forward(self, x, mask):
        n, length, _ = x.shape
        q, k, v = (t.view(n, length, 2, 4).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x + self.out(a.transpose(1, 2).reshape(n, length, 8))

class Net(nn.Module):
    def __init__(self, fill):
        super().__init__()
        self.first, self.second, self.fill = Block(), Block(), fill
    def forward(self, x, is_text):
        keep = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() & is_text[:, None, None, :].bool()
        mask = keep if self.fill is None else torch.zeros(keep.shape).masked_fill(~keep, self.fill)
        return self.second(self.first(x, mask), mask)

print("torch", torch.__version__, "| onnx", onnx.__version__, "| onnxruntime", onnxruntime.__version__)
x = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
is_text = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])                 # the first text is padded by one on the left
real, answers, seen = is_text.bool().numpy(), [], {}
for name, fill in [("bool", None), ("0 and -inf", float("-inf")), ("0 and finfo.min", torch.finfo(torch.float32).min)]:
    torch.manual_seed(0)
    net = Net(fill).eval()
    t = net(x, is_text).detach().numpy()
    answers.append(t[real])
    for dynamo in (True, False):
        torch.onnx.export(net, (x, is_text), "m.onnx", dynamo=dynamo, verbose=False, external_data=False)
        session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
        o = session.run(None, {i.name: a.numpy() for i, a in zip(session.get_inputs(), (x, is_text))})[0]
        seen[name, dynamo] = o
        print(f"mask {name:16} dynamo={dynamo!s:5}  torch NaN: {np.isnan(t).any()}  onnxruntime NaN per token: {np.isnan(o).any(-1).tolist()}")

ok = all(np.allclose(a, answers[0], atol=1e-5) for a in answers)
for (name, dynamo), o in seen.items():
    if name == "0 and -inf":
        ok &= bool(np.isnan(o[0]).all() and np.isfinite(o[1]).all())
    else:
        ok &= np.allclose(o[real], answers[0], atol=1e-5)
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
