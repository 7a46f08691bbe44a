#!/usr/bin/env bash
# A multi-label `DecisionTreeClassifier` converted by skl2onnx has the right labels and wrong probabilities: each class that occurs in a leaf at all gets 1.0, so
# both "no" and "yes" of a label can be 1.0 at once and all grades between 0 and 1 are gone.
#
# Versions: skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.31.1.
# Cost: thresholds tuned on scikit-learn's probabilities, rankings and calibration mean nothing on the graph; a check of the labels, or a tree grown until its
#   leaves are pure, passes. A forest of the same trees is converted rightly.
# Instead: convert `RandomForestClassifier(n_estimators=1, bootstrap=False, max_features=None)`, or one tree per label.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q skl2onnx==1.20.0 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime, skl2onnx, sklearn
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
onnxruntime.set_default_logger_severity(3)

print("skl2onnx", skl2onnx.__version__, "| scikit-learn", sklearn.__version__, "| onnxruntime", onnxruntime.__version__)
X, Y = make_multilabel_classification(400, 6, n_classes=4, random_state=0)
X = X.astype(np.float32)

def both(model):
    model.fit(X, Y)
    graph = skl2onnx.to_onnx(model, X[:1], options={id(model): {"zipmap": False}})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, scores = session.run(None, {session.get_inputs()[0].name: X})
    return np.array(model.predict_proba(X)), np.array(scores), (labels == model.predict(X)).mean()

tree_t, tree_o, tree_labels = both(DecisionTreeClassifier(max_depth=3, random_state=0))
one_t, one_o, one_labels = both(RandomForestClassifier(1, bootstrap=False, max_features=None, max_depth=3, random_state=0))
print("first row, [no, yes] of each of the four labels")
print("  scikit-learn     ", np.round(tree_t[:, 0], 2).tolist())
print("  ONNX, tree       ", np.round(tree_o[:, 0], 2).tolist())
print("  ONNX, forest of 1", np.round(one_o[:, 0], 2).tolist())
print(f"labels equal: tree {tree_labels:.2f}, forest of one {one_labels:.2f}; values in the tree's ONNX probabilities: {np.unique(tree_o).tolist()}")
print(f"largest error of a probability: tree {np.abs(tree_t - tree_o).max():.2f}, forest of one {np.abs(one_t - one_o).max():.1e}")

ok = bool(tree_labels == one_labels == 1 and np.abs(tree_t - tree_o).max() > 0.5 and np.array_equal(tree_o, (tree_t > 0).astype(tree_o.dtype))
          and np.abs(one_t - one_o).max() < 1e-5)
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
