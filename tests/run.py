"""Every test of the repository: the guards in tests/ by pytest, and each notebook by nbdev_test.

Each file gets a process of its own, two at a time. So one that dies, hangs or leaks takes no other with it, and is named.
The last line counts guards and notebooks: `N passed, M failed[, K skipped]`."""
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
    "Every notebook under nbs/, whatever nbdev thinks of its name; tutorials take longest and come first."
    found = (p for p in (root / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    return sorted(found, key=lambda p: (p.parent.name != "tutorials", p))


def guards(root):
    "The files of the guards."
    return sorted((root / "tests").glob("test_*.py"))


def run(command, root, env, timeout):
    "Run a command; returns (its output, the reason why it failed or None)."
    worker = subprocess.Popen(command, cwd=root, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output, _ = worker.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        return worker.communicate()[0], f"stopped after {timeout} s"
    if worker.returncode < 0:
        return output, f"the process died: {signal.Signals(-worker.returncode).name}"
    return output, f"exit status {worker.returncode}" if worker.returncode else None


def run_notebook(path, root, env, flags, timeout):
    "Run one notebook; returns (passed, failed, skipped, output)."
    output, problem = run([BIN / "nbdev_test", "--path", path.relative_to(root), "--flags", flags], root, env, timeout)
    if not problem and output.strip().splitlines()[-1:] != ["Success."]:
        problem = "nothing was eligible"
    return (0, 1, 0, f"{output}\n{problem}") if problem else (1, 0, 0, "")


def run_guard(path, root, env, timeout):
    "Run one file of guards by pytest; returns (passed, failed, skipped, output)."
    report = Path(env["HF_HOME"]) / f"{path.stem}.xml"
    output, problem = run([sys.executable, "-m", "pytest", "-q", "-rs", path.relative_to(root), f"--junitxml={report}"], root, env, timeout)
    suite = xml.parse(report).getroot().find("testsuite") if report.exists() else {}
    total, failed, errors, skipped = (int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
    all_skipped = problem == "exit status 5" and skipped  # pytest's status where nothing was run
    bad = failed + errors or int(problem is not None and not all_skipped)  # a crash of pytest itself counts as one
    said = "\n".join(line for line in output.splitlines() if line.startswith("SKIPPED"))
    return max(0, total - bad - skipped), bad, skipped, f"{output}\n{problem}" if bad else said


def run_all(root, env, flags="", timeout=600, workers=2):
    "Run every guard and every notebook under `root`; returns their counts, the notebooks that were executed, and the files that failed."
    counts, executed, broken = [0, 0, 0], 0, []
    slow = dict(env, COCKATOO_TEST_SLOW="1" if flags else "")
    with ThreadPoolExecutor(workers) as pool:
        def timed(path):
            start = time.monotonic()
            found = run_guard(path, root, slow, 4 * timeout) if path.suffix == ".py" else run_notebook(path, root, env, flags, timeout)
            return path, found, time.monotonic() - start

        for future in as_completed([pool.submit(timed, p) for p in guards(root) + notebooks(root)]):
            path, (*found, output), seconds = future.result()
            name = path.relative_to(root)
            print(f"{'FAILED' if found[1] else 'passed'} {name} ({seconds:.0f} s)", flush=True)
            if output.strip():
                print(f"----- {name}\n{output.strip()}\n-----", flush=True)
            counts = [a + b for a, b in zip(counts, found)]
            executed += path.suffix == ".ipynb"
            if found[1]:
                broken.append(str(name))
    return counts, executed, broken


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=HERE.parent, help="the repository")
    parser.add_argument("--slow", action="store_true", help="run the cells marked slow, too")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one notebook; four times as many for a file of guards")
    parser.add_argument("--workers", type=int, default=2, help="files at a time")
    args = parser.parse_args(argv)
    root, flags = args.root.resolve(), ""
    if args.slow:
        args.timeout *= 5
        flags = "slow cuda" if any(Path("/dev").glob("nvidia[0-9]*")) else "slow"
    with tempfile.TemporaryDirectory() as home:
        (passed, failed, skipped), executed, broken = run_all(root, environment(home), flags, args.timeout, args.workers)
    found = len(notebooks(root))
    print(f"\n{executed} of {found} notebooks executed")
    for name in broken:
        print("FAILED", name)
    if not found or found != executed:
        failed += 1
        print("FAILED: not every notebook was executed" if found else "FAILED: no notebook was found")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
