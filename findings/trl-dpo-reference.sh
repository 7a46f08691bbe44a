#!/usr/bin/env bash
# `DPOTrainer(model=..., ref_model=None)` reads the reference model anew from the folder or hub name that the policy once came from, not from the weights handed in. A policy
# that was changed in memory after loading (merged adapter, further training, averaged weights) is compared with its older self.
#
# Versions: trl 1.16.0, transformers 5.23.0, torch 2.13.0, accelerate 1.15.0, datasets 5.2.0.
# Cost: DPO starts with rewards other than 0 and pulls the policy back towards, or further from, weights nobody meant; no error, and losses of a plausible size.
#   The sign is the first logged loss: it must be ln 2 = 0.6931.
# Instead: save the changed model to a folder and load the policy from there, or pass `ref_model=copy.deepcopy(model)` (shown below).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 trl==1.16.0 transformers==5.23.0 tokenizers==0.23.3 accelerate==1.15.0 datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import copy, math
from importlib.metadata import version
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w0"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", pad_token="w0", bos_token="w1", eos_token="w2")
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                             pad_token_id=0, bos_token_id=1, eos_token_id=2)).save_pretrained("start")
pairs = Dataset.from_dict({"prompt": ["w3 w4", "w5 w6"] * 4, "chosen": [" w7 w8", " w9 w10"] * 4, "rejected": [" w11 w12", " w13 w14"] * 4})

def policy(changed):
    model = LlamaForCausalLM.from_pretrained("start")
    if changed:
        torch.manual_seed(1)
        with torch.no_grad():
            for p in model.parameters(): p.add_(0.3 * torch.randn_like(p))
    return model

def first_loss(model, ref_model=None):
    args = DPOConfig(output_dir="run", max_steps=1, per_device_train_batch_size=8, logging_steps=1, learning_rate=0.0, use_cpu=True, bf16=False, report_to="none",
                     disable_tqdm=True, save_strategy="no")
    trainer = DPOTrainer(model=model, ref_model=ref_model, args=args, train_dataset=pairs, processing_class=tokenizer)
    trainer.train()
    return next(entry for entry in trainer.state.log_history if "loss" in entry)

as_loaded, changed = first_loss(policy(False)), first_loss(policy(True))
model = policy(True)
given = first_loss(model, copy.deepcopy(model))
print("\n" + " | ".join(f"{p} {version(p)}" for p in ("trl", "transformers", "torch")), f"| ln 2 = {math.log(2):.4f}")
for name, e in [("policy as loaded, ref_model=None", as_loaded), ("policy changed in memory, ref_model=None", changed), ("the same, ref_model=deepcopy(policy)", given)]:
    print(f"  {name:42} first loss {e['loss']:.4f}, reward of the chosen answers {e['rewards/chosen']:+.4f}")
ln2 = lambda e: abs(e["loss"] - math.log(2)) < 1e-3
ok = ln2(as_loaded) and ln2(given) and not ln2(changed) and abs(changed["rewards/chosen"]) > 1e-2
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
