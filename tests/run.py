"""Every test of the repository: the guards in tests/ by pytest, then each notebook by nbdev_test.

Each notebook gets a process of its own, two at a time. So a notebook that dies, hangs or leaks takes no other with it,
and is named. The last line counts guards and notebooks: `N passed, M failed[, K skipped]`."""
import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


def environment(home):
    "One thread a process, no network, no cache of the user's."
    path = os.pathsep.join(filter(None, [str(HERE.resolve() / "network"), os.environ.get("PYTHONPATH")]))
    return dict(os.environ, PYTHONPATH=path, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}", OMP_NUM_THREADS="1",
                TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HOME=str(home), COCKATOO_CACHE=str(Path(home) / "cockatoo"),
                MPLBACKEND="agg")


def notebooks(root):
    "Every notebook under nbs/, whatever nbdev thinks of its name."
    return sorted(p for p in (root / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def run_notebook(path, root, env, flags, timeout):
    "Run one notebook; returns None, or the reason why it failed."
    command = [BIN / "nbdev_test", "--path", path.relative_to(root), "--flags", flags]
    worker = subprocess.Popen(command, cwd=root, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output, _ = worker.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        return worker.communicate()[0] + f"\nstopped after {timeout} s"
    if worker.returncode < 0:
        return output + f"\nthe process died: {signal.Signals(-worker.returncode).name}"
    if worker.returncode or output.strip().splitlines()[-1:] != ["Success."]:  # also: nothing was eligible
        return output + f"\nexit status {worker.returncode}"


def run_notebooks(root, env, flags="", timeout=600, workers=2):
    "Run every notebook under `root`; returns the names of those that passed and of those that failed."
    passed, failed = [], []
    with ThreadPoolExecutor(workers) as pool:
        def timed(path):
            start = time.monotonic()
            return path, run_notebook(path, root, env, flags, timeout), time.monotonic() - start

        for future in as_completed([pool.submit(timed, p) for p in notebooks(root)]):
            path, problem, seconds = future.result()
            name = path.relative_to(root)
            print(f"{'FAILED' if problem else 'passed'} {name} ({seconds:.0f} s)", flush=True)
            if problem:
                print(f"----- {name}\n{problem.strip()}\n-----", flush=True)
            (failed if problem else passed).append(str(name))
    return passed, failed


def run_guards(root, env, slow):
    "Run pytest on tests/; returns how many passed, failed and were skipped."
    report = Path(env["HF_HOME"]) / "guards.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests", f"--junitxml={report}"]
    status = subprocess.run(command, cwd=root, env=dict(env, COCKATOO_TEST_SLOW="1" if slow else ""), stdin=subprocess.DEVNULL).returncode
    suite = xml.parse(report).getroot().find("testsuite") if report.exists() else {}
    total, failed, errors, skipped = (int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
    bad = failed + errors or int(status != 0)  # a crash of pytest itself counts as one
    return max(0, total - bad - skipped), bad, skipped


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=HERE.parent, help="the repository")
    parser.add_argument("--slow", action="store_true", help="run the cells marked slow, too")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one notebook")
    parser.add_argument("--workers", type=int, default=2, help="notebooks at a time")
    args = parser.parse_args(argv)
    root, flags = args.root.resolve(), ""
    if args.slow:
        args.timeout *= 5
        flags = "slow cuda" if any(Path("/dev").glob("nvidia[0-9]*")) else "slow"
    with tempfile.TemporaryDirectory() as home:
        env = environment(home)
        passed, failed, skipped = run_guards(root, env, args.slow) if (root / "tests").exists() else (0, 0, 0)
        ran, broken = run_notebooks(root, env, flags, args.timeout, args.workers)
    found = len(notebooks(root))
    print(f"\n{len(ran) + len(broken)} of {found} notebooks executed")
    for name in broken:
        print("FAILED", name)
    if not found or found != len(ran) + len(broken):
        broken.append("the count of notebooks")
        print("FAILED: not every notebook was executed" if found else "FAILED: no notebook was found")
    bad = failed + len(broken)
    print(f"{passed + len(ran)} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
