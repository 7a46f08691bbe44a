#!/usr/bin/env bash
# transformers' Trainer makes an optimiser step too many when a run with `max_steps` is resumed from the checkpoint of its last step, and one more with each further resume.
#
# Versions: transformers 5.23.0, torch 2.13.0, accelerate 1.14.0.
# Cost: job queues resume from the last checkpoint whether or not the job had ended. `global_step` then exceeds `max_steps`, and with a constant learning rate the weights change each time:
#   a finished model is not the one that was evaluated. With epochs instead of steps, and where `max_steps` ends with an epoch, nothing is trained again.
# Instead: before `train(resume_from_checkpoint=...)`, compare `global_step` in the checkpoint's trainer_state.json with `max_steps`, and only load the weights where it is reached.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 accelerate==1.14.0 numpy==2.4.6
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import hashlib, logging
import torch, transformers
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

transformers.utils.logging.set_verbosity_error()
rows = [{"input_ids": [i % 30, 1 + i % 7, 2], "attention_mask": [1, 1, 1], "labels": i % 2} for i in range(40)]

def resumed(folder, **length):
    "Steps and weights of a run, and of the same run resumed twice from its last checkpoint."
    found = []
    for _ in range(3):
        torch.manual_seed(0)
        model = BertForSequenceClassification(BertConfig(
            vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2))
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=4, save_strategy="steps", save_steps=1, logging_strategy="no", lr_scheduler_type="constant",
            learning_rate=1e-3, use_cpu=True, report_to="none", disable_tqdm=True, **length)
        trainer = Trainer(model, arguments, train_dataset=rows)
        try: last = get_last_checkpoint(folder)
        except FileNotFoundError: last = None
        trainer.train(resume_from_checkpoint=last)
        weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
        found.append((trainer.state.global_step, hashlib.sha256(weights).hexdigest()[:8]))
    return found

print("transformers", transformers.__version__, "| torch", torch.__version__)
found = {"max_steps=7": resumed("steps", max_steps=7), "max_steps=10, an epoch": resumed("whole", max_steps=10), "one epoch": resumed("epoch", num_train_epochs=1)}
for name, runs in found.items(): print(f"{name:23}: " + ", ".join(f"step {step} ({digest})" for step, digest in runs))
steps = {name: [step for step, _ in runs] for name, runs in found.items()}
ok = (steps["max_steps=7"] == [7, 8, 9] and len(set(found["max_steps=7"])) == 3
      and all(len(set(runs)) == 1 for name, runs in found.items() if name != "max_steps=7"))
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
