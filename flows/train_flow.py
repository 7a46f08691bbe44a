"""A Metaflow flow that trains, evaluates, exports and predicts: `cockatoo train` and what follows it, as steps that can be resumed.

    python flows/train_flow.py run --model-type minilm --data posts.csv --output-dir runs/flow --predict new.csv
    python flows/train_flow.py resume                # after a failure: finished steps are not repeated

`nbs/guide/cluster.ipynb` describes its parameters, and how its steps run on Kubernetes. It needs `pip install 'cockatoo[scale,onnx]'`."""
import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# Metaflow takes the user's name from these variables. It refuses to run where none is set, as in a container, and as root.
if {os.environ.get(name) for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")} <= {None, "", "root"}:
    os.environ["METAFLOW_USER"] = f"uid{os.getuid()}" if hasattr(os, "getuid") else "user"

from metaflow import Config, FlowMutator, FlowSpec, IncludeFile, JSONType, Parameter, current, step  # noqa: E402
from metaflow.exception import MetaflowException  # noqa: E402

logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # warns of a missing 4-bit kernel that is not used
BLOCK = 1000  # Rows that a predictor computes together: shards of whole blocks give the numbers of a single command
TYPED = {"default": None, "type": str}


class StepDecorators(FlowMutator):
    "Add the decorators of the configuration `decorators` to the steps: `{step: {decorator: {argument: value}}}`."

    def pre_mutate(self, mutable_flow):
        steps, wanted = dict(mutable_flow.steps), dict(mutable_flow.configs)["decorators"] or {}
        if not isinstance(wanted, dict): raise MetaflowException(f"decorators = {wanted!r}: expected {{step: {{decorator: {{argument: value}}}}}}")
        for name, decorators in wanted.items():
            if name not in steps: raise MetaflowException(f"decorators: there is no step {name!r}; expected one of {', '.join(sorted(steps))}")
            if not isinstance(decorators, dict): raise MetaflowException(f"decorators: {name} = {decorators!r}: expected {{decorator: {{argument: value}}}}")
            for decorator, arguments in decorators.items():
                steps[name].add_decorator(decorator, deco_kwargs=dict(arguments or {}), duplicates=steps[name].OVERRIDE)


def setting_words(settings):
    "Settings as the words of a command line: `--training.num-epochs 2`."
    words = []
    for path, value in settings.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{path}", *(each if isinstance(each, str) else json.dumps(each) for each in values)]
    return words


def shard_bounds(rows, shard_rows):
    "`(number, first row, rows)` of each shard; a single empty one where there are no rows."
    starts = range(0, max(rows, 1), shard_rows)
    return [(number, start, min(shard_rows, rows - start)) for number, start in enumerate(starts)]


@StepDecorators
class TrainFlow(FlowSpec):
    "Train a model as `cockatoo train` does, evaluate it, export it, and predict the rows of a file."

    decorators = Config("decorators", default_value={}, parser="yaml.safe_load", plain=True,
                        help="YAML: decorators of steps, {step: {decorator: {argument: value}}}, such as resources and kubernetes")
    model_type = Parameter("model-type", help="as for cockatoo train", **TYPED)
    size = Parameter("size", help="as for cockatoo train", **TYPED)
    data = Parameter("data", help="as for cockatoo train", **TYPED)
    settings_file = IncludeFile("settings-file", default=None, required=False, help="a YAML file of settings, as --config of cockatoo train")
    settings = Parameter("settings", default={}, type=JSONType, help='more settings, as JSON: {"training.num_epochs": 2}')
    output_dir = Parameter("output-dir", help="the new folder of the run, on a disk that every step reaches (default: runs/ and the model type)", **TYPED)
    launcher = Parameter("launcher", default="", help="starts several processes in the step train, such as 'torchrun --nproc-per-node 4 --no-python'")
    export_format = Parameter("export", default="onnx", help="onnx, or none")
    quantize = Parameter("quantize", help="as for cockatoo export", **TYPED)
    force = Parameter("force", default=False, type=bool, help="as for cockatoo export: keep an export that is worse than the limits")
    predict_file = Parameter("predict", help="a table or a .txt file whose rows are predicted; absolute, if steps run on other machines", **TYPED)
    text_column = Parameter("text-column", default="text", help="as for cockatoo predict")
    image_column = Parameter("image-column", help="as for cockatoo predict", **TYPED)
    keep_columns = Parameter("keep-columns", help="as for cockatoo predict", **TYPED)
    windows = Parameter("windows", help="as for cockatoo predict", **TYPED)
    shard_rows = Parameter("shard-rows", default=50 * BLOCK, type=int, help=f"rows of a shard, a multiple of {BLOCK}")

    def overrides(self):
        "The settings that were given as parameters."
        return ({} if self.data is None else {"data.source": self.data}) | (self.settings or {})

    def config(self, hardware=True):
        "The configuration, as `cockatoo train` resolves it; `hardware`: for the machine of this step."
        from cockatoo import resolve

        return resolve(self.model_type, self.size, overrides=self.overrides(), file=self.settings_file, hardware=hardware)

    @step
    def start(self):
        "Check the parameters, before anything is computed."
        from cockatoo.core.errors import ConfigError
        from cockatoo.core.registry import family_of
        from cockatoo.export.core import kept_columns
        from cockatoo.training.train import open_run

        config = self.config(hardware=False)
        self.folder = str(Path(self.output_dir or Path("runs") / config.model_type).absolute())
        open_run(config, self.folder)  # Raises where the folder exists
        if self.export_format not in ("onnx", "none"): raise ConfigError(f"--export {self.export_format}: expected onnx or none")
        if self.export_format == "onnx": self.check_export(family_of(config.model_type))
        if self.shard_rows < 1 or self.shard_rows % BLOCK: raise ConfigError(f"--shard-rows {self.shard_rows}: expected a multiple of {BLOCK}")
        self.table = self.predict_file and str(Path(self.predict_file).absolute())
        if self.table and not Path(self.table).is_file(): raise ConfigError(f"--predict {self.predict_file}: no such file")
        kept_columns(self.keep_columns, self.table)
        self.next(self.prepare)

    def check_export(self, family):
        "Raise an error where the family, or this environment, cannot export."
        from cockatoo.export.onnx import check_exporter, check_quantization

        check_quantization(self.quantize, family.slot("exporter").quantizations)
        check_exporter()

    @step
    def prepare(self):
        "Read the data and report on them, as `cockatoo data` does; the cache keeps what was read for the step train."
        from cockatoo.core.registry import family_of

        config = self.config(hardware=False)
        report, _ = family_of(config.model_type).slot("check_data")(config)
        self.data_report = report.report
        print(report)
        self.next(self.train)

    @step
    def train(self):
        "Train, or continue a training that was interrupted."
        from cockatoo import Run, train
        from cockatoo.core.errors import CockatooError

        begun = (Path(self.folder) / "config.yaml").is_file()
        resume = begun and bool(current.retry_count or current.origin_run_id)  # The folder of another run is not touched
        if self.launcher: self.launch(resume)
        else: train(None if resume else self.config(), self.folder, resume=resume)
        run = Run(self.folder)
        if run.status != "finished": raise CockatooError(f"{self.folder}: {run.status}; continue it with: resume")
        self.metrics = run.metrics
        self.next(self.evaluate)

    def launch(self, resume):
        "Train in the processes that a launcher starts."
        words = ["train", "--output-dir", self.folder]
        with tempfile.TemporaryDirectory() as place:
            if resume: words.append("--resume")
            else:
                for name, value in (("--model-type", self.model_type), ("--size", self.size)): words += [name, value] * (value is not None)
                if self.settings_file is not None:
                    (Path(place) / "settings.yaml").write_text(self.settings_file, encoding="utf-8")
                    words += ["--config", str(Path(place) / "settings.yaml")]
                words += setting_words(self.overrides())
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
            subprocess.run([*shlex.split(self.launcher), "cockatoo", *words], check=True, env={**os.environ, "PATH": path})

    @step
    def evaluate(self):
        "Evaluate the saved model on the test rows, or on the validation rows where there are none."
        from cockatoo import evaluate
        from cockatoo.cli import results_table

        split = "test" if "test" in self.metrics else "validation"
        self.evaluation = {split: evaluate(self.folder, split=split)}
        print(results_table(self.config(hardware=False).model_type, self.metrics))
        self.next(self.export)

    @step
    def export(self):
        "Export the model, and compare the export with it; the step fails if it is worse than the limits."
        from cockatoo.export.exporting import export_model

        self.exported = None
        if self.export_format == "onnx":
            exported = export_model(self.folder, quantize=self.quantize, force=self.force, overwrite=True)
            self.exported = str(exported.folder)
            print(exported.table)
        self.next(self.shard)

    @step
    def shard(self):
        "Divide the rows to predict into shards."
        from cockatoo.data.inputs import read_texts
        from cockatoo.export.core import kept_columns, predictor_class

        self.shards = shard_bounds(0, self.shard_rows)
        if self.table and predictor_class(self.folder).reads != "texts": self.shards = [(0, 0, None)]
        elif self.table:
            kept = kept_columns(self.keep_columns, self.table)
            rows = sum(1 for _ in read_texts(self.table, self.text_column, self.image_column, kept))
            self.shards = shard_bounds(rows, self.shard_rows)
        self.next(self.predict, foreach="shards")

    @step
    def predict(self):
        "Predict the rows of a shard; an interrupted shard is continued."
        self.number, first, self.rows = self.input
        self.part = self.rows != 0 and self.table and self.predict_shard(first)
        self.next(self.join)

    def predict_shard(self, first):
        "Write the answers of a shard, and return the name of their file."
        from cockatoo.export.core import GrowingFile, PredictRequest, kept_columns, predictor_class

        predictor, table = predictor_class(self.folder), Path(self.table).stat()
        state = {"table": [self.table, table.st_size, table.st_mtime_ns], "first": first, "rows": self.rows, "windows": self.windows,
                 "columns": [self.text_column, self.image_column, self.keep_columns], "model": self.metrics}
        file = Path(self.folder) / "predictions" / f"part-{self.number:05d}.jsonl"
        file.parent.mkdir(exist_ok=True)
        growing = GrowingFile(file, state if getattr(predictor, "resumable", False) else None)
        request = PredictRequest(
            file=self.table, text_column=self.text_column, image_column=self.image_column, windows=self.windows,
            keep_columns=kept_columns(self.keep_columns, self.table), skip=first + growing.rows,
            take=None if self.rows is None else self.rows - growing.rows)
        growing.write(json.dumps(answer, ensure_ascii=False) + "\n" for answer in predictor.stream(self.folder, request))
        return str(file)

    @step
    def join(self, inputs):
        "Put the answers of all shards together, in the order of the rows."
        self.merge_artifacts(inputs, include=["folder", "metrics", "evaluation", "exported", "data_report", "table"])
        parts = [each.part for each in sorted(inputs, key=lambda each: each.number) if each.part]
        self.predictions = self.join_parts(parts) if self.table else None
        self.next(self.end)

    def join_parts(self, parts):
        "Write one file from the files of the shards, and return its name."
        whole = Path(self.folder) / "predictions.jsonl"
        partial = whole.with_name(f".{whole.name}.partial")
        with open(partial, "wb") as file:
            for part in parts:
                with open(part, "rb") as lines:
                    while block := lines.read(2**20): file.write(block)
        partial.replace(whole)
        return str(whole)

    @step
    def end(self):
        "Name what was made."
        for name, made in (("run", self.folder), ("export", self.exported), ("predictions", self.predictions)):
            if made: print(f"{name}: {made}")


if __name__ == "__main__":
    TrainFlow()
