"""The package: generated from the notebooks, quick to import, and without a trace."""
import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PACKAGES = "classifier embedder captioner decoder latent core data models metrics training export panels".split()
BY_HAND = {"__init__.py", "py.typed", "export/predict.py", "export/captions.py", "models/clip.py", *(f"{name}/__init__.py" for name in PACKAGES)}
LIGHT = ["cockatoo", "cockatoo.core.registry", "cockatoo.core.config", "cockatoo.core.hardware", "cockatoo.families", "cockatoo.classifier.labels",
         "cockatoo.panels.studio", "cockatoo.cli"]
HEAVY = ["torch", "transformers", "datasets", "sklearn", "matplotlib", "pandas", "ipywidgets", "evaluate", "peft", "bitsandbytes"]
MODULES = sorted(".".join(("cockatoo", *p.relative_to(ROOT / "cockatoo").with_suffix("").parts))
                 for p in (ROOT / "cockatoo").rglob("*.py") if p.name[0] != "_")


def python(code, *args):
    "Run `code` in a fresh process and return what it printed."
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def copy(to):
    "A copy of what nbdev reads and writes."
    for name in ("nbs", "cockatoo"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("settings.ini", "_quarto.yml"):
        shutil.copy(ROOT / name, to / name)
    return to


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_export_leaves_no_difference(tmp_path):
    work = copy(tmp_path)
    for path in (work / "cockatoo").rglob("*"):
        if path.is_file() and str(path.relative_to(work / "cockatoo")) not in BY_HAND:
            path.unlink()
    subprocess.run([BIN / "nbdev_export"], cwd=work, check=True, capture_output=True)
    new, old = contents(work / "cockatoo"), contents(ROOT / "cockatoo")
    differ = sorted(n for n in {*new, *old} if new.get(n) != old.get(n))
    assert not differ, f"not what the notebooks export (run nbdev_export): {differ}"


def test_clean_leaves_no_difference(tmp_path):
    work = copy(tmp_path)
    subprocess.run([BIN / "nbdev_clean"], cwd=work, check=True, capture_output=True)
    new, old = contents(work / "nbs"), contents(ROOT / "nbs")
    assert not (differ := sorted(n for n in old if new.get(n) != old[n])), f"run nbdev_clean: {differ}"


def cpu(*command):
    "Processor seconds of a command: the least of five, since this machine may be busy."
    code = ("import resource, subprocess, sys\n"
            "r = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)\n"
            "assert not r.returncode, r.stderr\n"
            "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)")
    return min(float(python(code, *map(str, command))) for _ in range(5))


def test_import_budget():
    bare = cpu(sys.executable, "-c", "pass")
    assert cpu(sys.executable, "-c", "import cockatoo") - bare < 0.05
    assert cpu(BIN / "cockatoo", "--help") - bare < 0.5


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules(name):
    loaded = json.loads(python("import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(list(sys.modules)))", name))
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("command", [["models"], ["config", "--model-type", "modernbert"], ["--help"]], ids=" ".join)
def test_light_commands(command):
    code = ("import sys\nfrom cockatoo.cli import main\n"
            "try: status = main(sys.argv[1:])\nexcept SystemExit as stop: status = stop.code\n"
            "assert not status, status\n"
            "assert 'torch' not in sys.modules or any(__import__('pathlib').Path('/dev').glob('nvidia*')), 'torch was imported'")
    python(code, *command)


TRACES = """
import importlib, json, logging, os, random, sys, warnings
import numpy, torch, transformers, datasets, sklearn.metrics, matplotlib.pyplot, ipywidgets, evaluate, pydantic, yaml

def state():
    loggers = {n: (l.level, len(l.handlers)) for n, l in logging.root.manager.loggerDict.items() if isinstance(l, logging.Logger)}
    return {"environment": dict(os.environ), "warnings": [str(f) for f in warnings.filters], "random": random.getstate(),
            "numpy": str(numpy.random.get_state()), "torch": torch.get_rng_state().sum().item(),
            "dtype": str(torch.get_default_dtype()), "threads": torch.get_num_threads(), "grad": torch.is_grad_enabled(),
            "logging": (logging.root.level, len(logging.root.handlers), logging.root.manager.disable), "folder": os.getcwd(),
            "loggers": {n: v for n, v in loggers.items() if n in known}, "backend": matplotlib.get_backend(), "rc": str(matplotlib.rcParams)}

for name in ("transformers.Trainer", "transformers.AutoModelForSequenceClassification"):
    getattr(importlib.import_module("transformers"), name.split(".")[1])
known = set(logging.root.manager.loggerDict)
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
    after = state()
    changed = [k for k in before if before[k] != after[k]]
    assert not changed, f"importing {name} changed {changed}"
"""


def test_import_leaves_no_trace():
    python(TRACES, *MODULES)


def test_public_names():
    import cockatoo

    for name in cockatoo.__all__:
        assert getattr(cockatoo, name) is not None, name
    assert callable(cockatoo.train) and cockatoo.training.trainer  # the package and the function share the name


def test_imports_are_declared():
    "What the package imports is the standard library, a requirement or, inside a function, an extra."
    ini = configparser.ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini")
    alias = {"pyyaml": "yaml", "scikit_learn": "sklearn", "protobuf": "google", "pillow": "PIL", "iterative_stratification": "iterstrat", "faiss_cpu": "faiss"}
    def packages(key):
        names = (re.split(r"[<>=!~;\[]", r)[0].lower().replace("-", "_") for r in ini["DEFAULT"][key].split())
        return {alias.get(n, n) for n in names}
    required = packages("requirements") | set(sys.stdlib_module_names) | {"cockatoo"}
    extras = set().union(*(packages(k) for k in ini["DEFAULT"] if k.endswith("_requirements")))
    extras |= {"accelerate", "tokenizers", "huggingface_hub", "IPython", "pyarrow", "flash_attn", "packaging", "pydantic_core", "umap"}  # come with a requirement, or are used where they are installed
    for path in (ROOT / "cockatoo").rglob("*.py"):
        tree = ast.parse(path.read_text())
        top = {id(n) for n in tree.body}
        for node in ast.walk(tree):
            names = ([a.name for a in node.names] if isinstance(node, ast.Import)
                     else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
            for name in names:
                allowed = required if id(node) in top else required | extras
                assert name.split(".")[0] in allowed, f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"


def test_lint():
    "Undefined and unused names, and syntax that Python 3.10 does not know."
    done = subprocess.run([BIN / "ruff", "check", "--no-cache", "--isolated", "--target-version", "py310", "--select", "F,E9,B006",
                           "--ignore", "F401,F811", "cockatoo", "tests", "scripts", "setup.py"], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    "What `python -m build` makes: the sdist, and from it the wheel. Not isolated, because that would fetch setuptools."
    work = copy(tmp_path_factory.mktemp("archives"))
    for name in ("setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, work / name)
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check"], cwd=work, capture_output=True, text=True)
    assert not done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    return {path.suffix: path for path in (work / "dist").iterdir()}


def test_wheel_holds_the_package(archives):
    "`py.typed`, the extras and the long description reach the built package."
    from zipfile import ZipFile

    wheel = ZipFile(archives[".whl"])
    meta = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    assert "cockatoo/py.typed" in wheel.namelist() and "Provides-Extra: offline" in meta and "# cockatoo" in meta.lower()


INSTALLED = """
import importlib, pathlib, sys
from importlib.metadata import entry_points, version
import cockatoo

assert pathlib.Path(cockatoo.__file__).is_relative_to(sys.prefix), cockatoo.__file__
assert version("cockatoo") == cockatoo.__version__
assert "cockatoo.cli:main" in {e.value for e in entry_points(group="console_scripts", name="cockatoo")}
for name in sys.argv[1:]:
    importlib.import_module(name)
for name in cockatoo.__all__:
    getattr(cockatoo, name)
"""


@pytest.mark.parametrize("suffix", [".gz", ".whl"], ids=["sdist", "wheel"])
def test_archives_install(archives, suffix, tmp_path):
    """Each archive installs into an environment of its own, and every module imports there.

    Nothing is downloaded: a .pth file lets the new environment see the requirements of this one, but not this package."""
    import sysconfig

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "clean"], check=True)
    inside = next((tmp_path / "clean").rglob("site-packages"))
    (inside / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python, environment = tmp_path / "clean/bin/python", {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(ROOT / "tests/network")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--no-index", "--no-deps",
           "--no-build-isolation", "--ignore-installed", archives[suffix]]
    done = subprocess.run(pip, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    for command in ([python, "-c", INSTALLED, *MODULES], [tmp_path / "clean/bin/cockatoo", "models"]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert not done.returncode, done.stderr[-3000:]
