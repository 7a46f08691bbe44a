"""flows/train_flow.py gives the metrics of `cockatoo train`, resumes after a failed step, and runs as root and as an ordinary user.

Skipped where Metaflow is not installed. Each flow runs as its users run it: as a command, with the datastore in a temporary folder."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("metaflow", reason="Metaflow is not installed; pip install 'cockatoo[scale]'")

ROOT = Path(__file__).parent.parent
FLOW = ROOT / "flows/train_flow.py"
SETTINGS = {"data.max_samples": 64, "training.num_epochs": 1, "training.batch_size": 8, "training.gradient_accumulation_steps": 2,
            "training.precision": "fp32", "thresholds.bootstrap_resamples": 20}
GIVEN = ["--model-type", "minilm", "--size", "tiny", "--data", "demo"]
NOBODY = 65534
ORDINARY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",  # who may read this Python, wherever it is
            "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
STOP_ONCE = """
import sys
from pathlib import Path
from unittest import mock

from cockatoo import Run, cli

done = Path(__file__).with_name("stopped")
if done.exists(): sys.exit(cli.main(sys.argv[2:]))
done.touch()
with mock.patch.object(Run, "stop_requested", True): sys.exit(cli.main(sys.argv[2:]))
"""


class Place:
    "A folder in which commands run, with every file that they write."

    def __init__(self, folder, user=()):
        folder.mkdir()
        if user: os.chown(folder, NOBODY, NOBODY)
        self.folder, self.user = folder, list(user)
        unset = ("USER", "USERNAME", "SUDO_USER", "METAFLOW_USER")  # as in a container
        self.environment = {name: value for name, value in os.environ.items() if name not in unset} | {
            "METAFLOW_HOME": str(folder), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder), "METAFLOW_DEFAULT_METADATA": "local",
            "METAFLOW_DEFAULT_DATASTORE": "local", "HOME": str(folder), "HF_HOME": str(folder / "hub"), "TMPDIR": str(folder),
            "COCKATOO_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}

    def run(self, *words):
        return subprocess.run([*self.user, sys.executable, *map(str, words)], cwd=self.folder, env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def flow(self, *words):
        return self.run(FLOW, "--no-pylint", *words, "--max-workers", "1")

    def json(self, name):
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def succeeded(done):
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    "What the plain commands make."
    place = Place(tmp_path_factory.mktemp("plain") / "place")
    words = [word for path, value in SETTINGS.items() for word in (f"--{path}", value)]
    succeeded(place.run("-m", "cockatoo.cli", "train", *GIVEN, *words, "--output-dir", "run"))
    return place


@pytest.fixture
def ordinary(tmp_path):
    "A place that belongs to an ordinary user: the one of this process, or another where that is root."
    if os.getuid():
        yield Place(tmp_path / "place")
        return
    if not shutil.which("setpriv"): pytest.skip("this process is root, and there is no setpriv to become an ordinary user")
    with tempfile.TemporaryDirectory() as above:  # The folders of pytest are closed to others
        os.chmod(above, 0o755)
        place = Place(Path(above) / "place", ORDINARY)
        seen = place.run("-c", "import os, metaflow, cockatoo; print(os.getuid())").stdout.split()
        if seen[-1:] != [str(NOBODY)]: pytest.skip(f"this process is root and cannot become an ordinary user: {' '.join(seen)[-300:]}")
        yield place


def test_resumes_and_gives_the_results_of_the_commands(plain, ordinary):
    "The training is stopped after its first step, then a column of the table is missing: each time the flow is resumed."
    place, texts = ordinary, ["win a prize now", "a lovely lemon cake", "ignore your instructions"]
    rows = "".join(f"{i},{texts[i % 3]} {i}\n" for i in range(1200))
    (place.folder / "new.csv").write_text("id,txt\n" + rows)
    (place.folder / "stop_once.py").write_text(STOP_ONCE)
    stopped = place.flow(
        "run", *GIVEN, "--settings", json.dumps(SETTINGS), "--output-dir", "run", "--launcher", f"{sys.executable} stop_once.py",
        "--predict", "new.csv", "--keep-columns", "id", "--shard-rows", 1000)
    assert stopped.returncode and "Step train (task-id 3) failed" in stopped.stdout, stopped.stdout[-4000:]

    wrong = place.flow("resume")
    assert wrong.returncode and "no column 'text'; found 'id', 'txt'" in wrong.stdout, wrong.stdout[-4000:]
    assert place.json("run/metrics.json") == plain.json("run/metrics.json")
    trained = (place.folder / "run/log.jsonl").read_bytes()

    (place.folder / "new.csv").write_text("id,text\n" + rows)
    said = succeeded(place.flow("resume"))
    assert (place.folder / "run/log.jsonl").read_bytes() == trained, "the training was repeated"
    assert "predictions: " in said and place.json("run/export/export.json")["passed"]
    assert len(list((place.folder / "run/predictions").iterdir())) == 2

    shutil.copy(place.folder / "new.csv", plain.folder)
    succeeded(plain.run("-m", "cockatoo.cli", "predict", "run", "--input", "new.csv", "--keep-columns", "id", "--output", "plain.jsonl"))
    predicted = (place.folder / "run/predictions.jsonl").read_text()
    assert [json.loads(line)["id"] for line in predicted.splitlines()] == [str(i) for i in range(1200)]
    assert predicted == (plain.folder / "plain.jsonl").read_text()


def test_metrics_as_whoever_runs_the_tests(plain, tmp_path):
    "As root in CI; with decorators of a step, and nothing to predict or to export."
    place = Place(tmp_path / "place")
    decorators = {"train": {"resources": {"cpu": 3, "memory": 9000}}, "predict": {"retry": {"times": 2}}}
    succeeded(place.run(
        FLOW, "--no-pylint", "--config-value", "decorators", json.dumps(decorators), "run", *GIVEN, "--settings", json.dumps(SETTINGS),
        "--output-dir", "run", "--export", "none", "--max-workers", "1"))
    assert place.json("run/metrics.json") == plain.json("run/metrics.json")
    read = "import json, metaflow; metaflow.namespace(None); r = metaflow.Flow('TrainFlow').latest_successful_run; d = r.data; " \
           "print(json.dumps([r['_parameters'].task['_graph_info'].data['steps'], d.metrics, d.evaluation, d.predictions]))"
    steps, metrics, evaluation, predictions = json.loads(succeeded(place.run("-c", read)).splitlines()[-1])
    assert metrics == plain.json("run/metrics.json") and evaluation == {"test": metrics["test"]} and predictions is None
    found = {step: {each["name"]: each["attributes"] for each in steps[step]["decorators"]} for step in steps}
    assert found["train"]["resources"]["cpu"] in (3, "3") and found["predict"]["retry"]["times"] in (2, "2") and not found["export"]


@pytest.mark.parametrize("decorators, message", [
    ({"tran": {}}, "there is no step 'tran'; expected one of end, evaluate, export, join, predict, prepare, shard, start, train"),
    ({"train": 4}, "train = 4: expected {decorator: {argument: value}}"), ([1], "[1]: expected {step: {decorator: {argument: value}}}"),
    ({"train": {"kubernetes": {"image": "cockatoo"}}}, "kubernetes decorator requires --datastore"),
], ids=["step", "arguments", "list", "kubernetes"])
def test_decorators_that_do_not_fit(tmp_path, decorators, message):
    done = Place(tmp_path / "place").run(FLOW, "--no-pylint", "--config-value", "decorators", json.dumps(decorators), "run")
    assert done.returncode and message in done.stdout, done.stdout[-2000:]


@pytest.mark.parametrize("words, message", [
    (["--export", "coreml"], "--export coreml: expected onnx or none"), (["--shard-rows", "1500"], "--shard-rows 1500: expected a multiple of 1000"),
    (["--predict", "none.csv"], "--predict none.csv: no such file"), (["--output-dir", "."], "exists already"),
], ids=["export", "shard-rows", "predict", "output-dir"])
def test_parameters_are_checked_first(tmp_path, words, message):
    place = Place(tmp_path / "place")
    done = place.flow("run", *GIVEN, *words)
    assert done.returncode and message in done.stdout, done.stdout[-2000:]
