#!/usr/bin/env bash
# On a processor, onnxruntime's default optimisation makes the residual connections of a Transformer encoder slower: the operator that it puts in place of Add and LayerNormalization takes several times as long as the two.
#
# Versions: onnxruntime 1.31.1 (CPU).
# Cost: all graph optimisations are on by default. Any exported encoder with layer norms after the residual (BERT, MiniLM, RoBERTa, most embedders and rerankers) gets SkipLayerNormalization, whose
#   float32 kernel does not use vector instructions; of an int8 MiniLM it was a quarter of the time. Nothing in the log says that a fusion costs time, and the level that leaves it out (basic) also
#   leaves out the fusions that help, such as those of int8 products. Seen with AVX-512; the ratio differs between processors.
# Instead: `InferenceSession(..., disabled_optimizers=["SkipLayerNormFusion"])`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import collections, statistics, time
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

BLOCKS, WIDTH = 12, 384  # As of MiniLM with six layers
names = [f"states{i}" for i in range(BLOCKS + 1)]
nodes = []
for i in range(BLOCKS):
    nodes += [helper.make_node("Add", [names[i], "residual"], [f"sum{i}"]), helper.make_node("LayerNormalization", [f"sum{i}", "weight", "bias"], [names[i + 1]], epsilon=1e-12)]
free = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "tokens", WIDTH])
weights = [numpy_helper.from_array(np.ones(WIDTH, np.float32), "weight"), numpy_helper.from_array(np.zeros(WIDTH, np.float32), "bias")]
model = helper.make_model(helper.make_graph(nodes, "residuals", [free(names[0]), free("residual")], [free(names[-1])], weights), opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model)

def session(**how):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.optimized_model_filepath, options.log_severity_level = 1, "optimised.onnx", 3
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"], **how)
    return made, collections.Counter(node.op_type for node in onnx.load("optimised.onnx").graph.node)

found = {"as it comes": session(), "without SkipLayerNormFusion": session(disabled_optimizers=["SkipLayerNormFusion"])}
draw = np.random.default_rng(0)
inputs = {name: draw.standard_normal((32, 64, WIDTH), np.float32) for name in (names[0], "residual")}
times, outputs = collections.defaultdict(list), {}
for _ in range(11):
    for name, (made, _) in found.items():
        start = time.perf_counter()
        outputs[name], = made.run(None, inputs)
        times[name].append(time.perf_counter() - start)
print("onnxruntime", onnxruntime.__version__)
for name, (_, operators) in found.items(): print(f"{name:30} {1000 * statistics.median(times[name]):7.1f} ms   {dict(operators)}")
slow, fast = (statistics.median(each) for each in times.values())
same = np.allclose(*outputs.values(), atol=1e-4)
ok = same and slow > 1.5 * fast and set(found["as it comes"][1]) == {"SkipLayerNormalization"} and set(found["without SkipLayerNormFusion"][1]) == {"Add", "LayerNormalization"}
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
