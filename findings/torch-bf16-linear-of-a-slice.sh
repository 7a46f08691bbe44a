#!/usr/bin/env bash
# On a processor, the output layer of a frozen language model in bfloat16 is ten times slower or more if only the logits of the last n positions are asked for by `logits_to_keep=n`.
#
# Versions: transformers 5.23.0, torch 2.13.0 (CPU).
# Cost: where the decoder is frozen (adapters, prefixes, reward and vision front ends), asking for fewer logits to save time makes a step slower: the integer becomes a slice along the sequence, and
#   torch takes a non-contiguous 3-D input of a linear layer whose weight needs no gradient through one product a row of the batch (aten::bmm) instead of one for all (aten::mm). float32 loses a factor
#   of about two. The results are equal; nothing warns. With a weight that is trained, or under autocast, it does not happen.
# Instead: give the positions as a tensor, `logits_to_keep=torch.arange(length - n, length)`, or call `.contiguous()` before a linear layer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 numpy==2.4.6
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import statistics, time
import torch, transformers
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
torch.set_num_threads(1)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=4096, hidden_size=576, intermediate_size=64, num_hidden_layers=1, num_attention_heads=9, num_key_value_heads=3)).eval().requires_grad_(False)
ids = torch.randint(0, 4096, (32, 24))
ways = {"logits_to_keep=12": 12, "logits_to_keep=arange(12, 24)": torch.arange(12, 24)}

@torch.inference_mode()
def measured(kept, dtype):
    "Seconds of a forward pass (median of 5), the operators that multiply, and the logits."
    model.to(dtype)
    logits, times = model(ids, logits_to_keep=kept, use_cache=False).logits, []
    for _ in range(5):
        start = time.perf_counter()
        model(ids, logits_to_keep=kept, use_cache=False)
        times.append(time.perf_counter() - start)
    states = model.model(ids, use_cache=False).last_hidden_state
    states = states[:, -kept:] if isinstance(kept, int) else states[:, kept]
    with profile(activities=[ProfilerActivity.CPU]) as record: model.lm_head(states)
    used = sorted({event.key for event in record.key_averages()} & {"aten::mm", "aten::addmm", "aten::bmm"})
    return statistics.median(times), used, logits

print("transformers", transformers.__version__, "| torch", torch.__version__)
found = {dtype: {name: measured(kept, dtype) for name, kept in ways.items()} for dtype in (torch.bfloat16, torch.float32)}
for dtype, rows in found.items():
    for name, (seconds, used, _) in rows.items(): print(f"{str(dtype):15} {name:30} {seconds * 1000:8.1f} ms   {', '.join(used)}")
slow, fast = found[torch.bfloat16].values()
ok = slow[0] > 3 * fast[0] and "aten::bmm" in slow[1] and "aten::bmm" not in fast[1] and torch.allclose(slow[2].float(), fast[2].float(), atol=1e-2)
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
