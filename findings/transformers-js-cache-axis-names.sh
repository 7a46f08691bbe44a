#!/usr/bin/env bash
# transformers.js 4 makes the empty key-value cache of the first step from the NAMES of the free axes in the ONNX file: the axis called "batch_size" gets the number of rows,
# and an axis with any other name gets the length 0. A decoder whose axes are called "batch" and "past", which are valid names, fails in its first step, inside a Reshape.
#
# Versions: @huggingface/transformers 4.3.2 (npm), transformers 5.23.0, torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2.
# Cost: a graph that onnxruntime runs, with the right file names, inputs and outputs, cannot generate in Node or the browser, and the message speaks of neither name nor cache.
# Instead: name the axes "batch_size" and "past_sequence_length" when exporting, or rename them in the file (dim_param), as below.
set -euo pipefail
command -v node > /dev/null && command -v npm > /dev/null || { echo "needs node and npm"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q torch==2.13.0 transformers==5.23.0 onnx==1.23.2 onnxscript==0.7.2
npm install --silent --no-fund --no-audit --ignore-scripts @huggingface/transformers@4.3.2 2> err.txt || { status=$?; tail -n 5 err.txt; exit "$status"; }
HF_HUB_OFFLINE=1 env/bin/python - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
from pathlib import Path
import onnx, torch
from transformers import DynamicCache, GenerationConfig, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(vocab_size=90, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, initializer_range=.3,
                     bos_token_id=1, eos_token_id=2, pad_token_id=0)
model = LlamaForCausalLM(config).eval()

class WithPast(torch.nn.Module):
    def __init__(self): super().__init__(); self.model = model
    def forward(self, input_ids, attention_mask, position_ids, key, value):
        cache = DynamicCache(ddp_cache_data=[(key, value)])
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True)
        return out.logits, out.past_key_values.layers[0].keys, out.past_key_values.layers[0].values

names = "input_ids", "attention_mask", "position_ids", "past_key_values.0.key", "past_key_values.0.value"
example = torch.ones(2, 2, dtype=torch.long), torch.ones(2, 5, dtype=torch.long), torch.arange(3, 5).repeat(2, 1), torch.randn(2, 2, 3, 16), torch.randn(2, 2, 3, 16)
axes = {0: "batch", 1: "sequence"}, {0: "batch", 1: "total"}, {0: "batch", 1: "sequence"}, {0: "batch", 2: "past"}, {0: "batch", 2: "past"}
with torch.no_grad():
    program = torch.onnx.export(WithPast().eval(), example, dynamic_shapes=axes, input_names=names, output_names=("logits", "present.0.key", "present.0.value"), verbose=False)
found = program.model_proto
for folder in "batch", "batch_size":
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0).save_pretrained(folder)
    for tensor in found.graph.input:
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_param == "batch" and folder == "batch_size": dim.dim_param = "batch_size"
    Path(folder, "onnx").mkdir()
    onnx.save(found, Path(folder, "onnx", "model.onnx"))
ids = model.generate(torch.tensor([[1, 7, 9]]), attention_mask=torch.ones(1, 3), max_new_tokens=5, do_sample=False)
Path("expected.txt").write_text(",".join(map(str, ids[0].tolist())))
PY
cat > write.cjs <<'JS'
const {env, AutoModelForCausalLM, Tensor} = require("@huggingface/transformers"), fs = require("fs");
env.allowRemoteModels = false; env.localModelPath = "./";
console.error = console.warn = () => {};
const write = async folder => {
  const model = await AutoModelForCausalLM.from_pretrained(folder, {dtype: "fp32"});
  const inputs = {input_ids: new Tensor("int64", [1n, 7n, 9n], [1, 3]), attention_mask: new Tensor("int64", [1n, 1n, 1n], [1, 3])};
  try { return (await model.generate({...inputs, max_new_tokens: 5, do_sample: false})).tolist()[0].join(","); }
  catch (error) { return "error: " + String(error.message).replace(/\s+/g, " ").slice(0, 110); }
};
(async () => {
  console.log("transformers.js", env.version);
  const expected = fs.readFileSync("expected.txt", "utf8"), found = {};
  for (const folder of ["batch", "batch_size"]) { found[folder] = await write(folder); console.log(`  axis named ${folder}: ${found[folder]}`); }
  console.log("  transformers in Python:", expected);
  const ok = found.batch.startsWith("error") && found.batch_size === expected;
  console.log(ok ? "as described" : "CHANGED: this finding is out of date");
  process.exit(ok ? 0 : 1);
})();
JS
node write.cjs
