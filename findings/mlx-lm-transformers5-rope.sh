#!/usr/bin/env bash
# transformers 5 writes a Llama's rope base and scaling only into "rope_parameters" of config.json. mlx-lm's Llama reads the older "rope_theta" and "rope_scaling" at the
# top, finds neither, and computes with a base of 10,000 and no scaling, without a word.
#
# Versions: transformers 5.23.0 (writer), mlx-lm 0.32.2 with mlx 0.32.4 (reader), torch 2.13.0.
# Cost: each Llama with another base (500,000 for the Llama 3 family) that was fine-tuned or only re-saved with transformers 5 answers otherwise under mlx-lm;
#   the error is small at the start of a text and grows with the position. A model with the base 10,000 and no scaling shows nothing.
# Instead: write `rope_theta` (and `rope_scaling`) at the top of config.json as well. transformers' own logits stay the same, mlx-lm's become right (shown below).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 mlx-lm==0.32.2 'mlx[cpu]==0.32.4' numpy==2.4.6
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import json, logging
from importlib.metadata import version
from pathlib import Path
logging.disable(logging.CRITICAL)
import mlx.core as mx, numpy as np, torch
from mlx_lm.utils import load_model
from transformers import LlamaConfig, LlamaForCausalLM

ids = torch.randint(3, 64, (1, 400), generator=torch.Generator().manual_seed(1))

def save(name, **rope):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                             max_position_embeddings=1024, tie_word_embeddings=False, rope_parameters=rope)).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2: p.mul_(6)                               # random weights, large enough for attention to matter
    model.save_pretrained(name)
    return Path(name)

def by_transformers(folder):
    with torch.no_grad(): return LlamaForCausalLM.from_pretrained(folder).eval()(ids).logits[0].numpy()

def by_mlx(folder):
    model, _ = load_model(folder)
    return np.array(model(mx.array(ids.numpy())).astype(mx.float32))[0]

print(" | ".join(f"{p} {version(p)}" for p in ("transformers", "mlx-lm", "mlx", "torch")))
ok = True
for name, rope, top in [("base10k", dict(rope_type="default", rope_theta=10000.0), {}),
                        ("base500k", dict(rope_type="default", rope_theta=500000.0), {"rope_theta": 500000.0}),
                        ("linear4", dict(rope_type="linear", rope_theta=10000.0, factor=4.0), {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}})]:
    folder = save(name, **rope)
    config = json.loads((folder / "config.json").read_text())
    written = sorted(k for k in config if k.startswith("rope"))
    hf = by_transformers(folder)
    before = np.abs(by_mlx(folder) - hf)
    (folder / "config.json").write_text(json.dumps({**config, **top}))
    after, hf_after = np.abs(by_mlx(folder) - hf).max(), np.abs(by_transformers(folder) - hf).max()
    print(f"{name:8} keys written {written}: mlx-lm off by {before.max():.4f} (first four tokens {before[:4].max():.4f}); "
          f"with the keys at the top too: mlx-lm {after:.4f}, transformers {hf_after:.4f}")
    wrong = before.max() > 0.3
    ok &= written == ["rope_parameters"] and wrong == (name != "base10k") and after < 1e-2 and hf_after == 0
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
