"""The guards run with the network blocked, here and in every process they start."""
import importlib.util
import os
import sys
from pathlib import Path

NETWORK = str(Path(__file__).parent / "network")
if NETWORK not in os.environ.get("PYTHONPATH", "").split(os.pathsep):  # tests/run.py has set it already
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [NETWORK, os.environ.get("PYTHONPATH")]))
    spec = importlib.util.spec_from_file_location("sitecustomize", Path(NETWORK) / "sitecustomize.py")
    sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
