#!/usr/bin/env bash
# skl2onnx converts scikit-learn's `TunedThresholdClassifierCV` without the tuned threshold: the graph's labels are those of the plain classifier inside. (Its sibling
# `FixedThresholdClassifier` is refused, so one would take the accepted one for supported.)
#
# Versions: skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.31.1.
# Cost: the threshold is the only thing this estimator adds. On the rare class below the tuned model finds most positives, the converted one falls back to 0.5 and
#   misses them; scores and shapes are right.
# Instead: keep `best_threshold_` beside the graph and compare the probability of the positive class with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q skl2onnx==1.20.0 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime, skl2onnx, sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

print("skl2onnx", skl2onnx.__version__, "| scikit-learn", sklearn.__version__, "| onnxruntime", onnxruntime.__version__)
rng = np.random.default_rng(0)
y = (rng.random(4000) < 0.06).astype(int)
X = (rng.normal(size=(4000, 6)) + 0.6 * y[:, None]).astype(np.float32)
train, test = slice(0, 3000), slice(3000, None)

model = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy", random_state=0).fit(X[train], y[train])
graph = skl2onnx.to_onnx(model, X[:1])
session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
labels, scores = session.run(None, {session.get_inputs()[0].name: X[test]})
positive = np.array([row[1] for row in scores]) if isinstance(scores, list) else scores[:, 1]
want, plain = model.predict(X[test]), model.estimator_.predict(X[test])
by_hand = (positive >= model.best_threshold_).astype(int)

print(f"tuned threshold {model.best_threshold_:.3f}; {y[test].sum()} positives in {len(want)} rows")
for name, p in [("scikit-learn", want), ("ONNX labels", labels), ("plain LogisticRegression", plain), ("ONNX scores + threshold", by_hand)]:
    print(f"  {name:24} says yes {p.sum():4} times, finds {recall_score(y[test], p):.2f} of the positives")
try:
    skl2onnx.to_onnx(FixedThresholdClassifier(LogisticRegression(), threshold=0.1).fit(X[train], y[train]), X[:1])
    sibling = "converted"
except Exception as e:
    sibling = type(e).__name__
print("FixedThresholdClassifier:", sibling)

ok = bool((labels == plain).all() and (labels != want).mean() > 0.1 and (by_hand == want).mean() > 0.99 and sibling != "converted")
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
