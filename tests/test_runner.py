"""The runner goes red when it should: a broken notebook, a dying process, a hang, nothing to run, an attempt to use the network."""
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

RUN = Path(__file__).parent / "run.py"
SETTINGS = "[DEFAULT]\nlib_name=x\nlib_path=x\nnbs_path=nbs\nrepo=x\nuser=x\ntst_flags=slow\n"


@pytest.fixture
def project(tmp_path):
    "A repository with the given notebooks, each of one cell."
    def make(*options, **cells):
        (tmp_path / "settings.ini").write_text(SETTINGS)
        (tmp_path / "nbs").mkdir()
        for name, source in cells.items():
            nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
            nbformat.write(nb, tmp_path / "nbs" / f"{name}.ipynb")
        result = subprocess.run([sys.executable, RUN, tmp_path, *options], capture_output=True, text=True)
        return result.returncode, result.stdout, result.stdout.strip().splitlines()[-1]
    return make


def test_all_good(project):
    assert project(a="assert True", b="#| slow\nassert False")[::2] == (0, "2 passed, 0 failed")


def test_red(project):
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    look = "import socket; socket.getaddrinfo('example.org', 80)"
    spawn = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {look!r}], check=True)"
    status, out, last = project(good="1", broken="assert 1 == 2, 'one is not two'", dies="import os; os._exit(0)",
                                killed="import os; os.kill(os.getpid(), 9)", reach=reach, look=look, spawn=spawn)
    assert (status, last) == (1, "1 passed, 6 failed"), out
    for word in ("one is not two", "FAILED nbs/dies.ipynb", "SIGKILL"):
        assert word in out, (word, out)
    assert out.count("network blocked") >= 3, out


def test_hang(project):
    status, out, last = project("--timeout", "5", hangs="import time; time.sleep(60)")
    assert (status, last) == (1, "0 passed, 1 failed") and "stopped after 5 s" in out


def test_guards(project, tmp_path):
    (tmp_path / "tests").mkdir()
    guards = {"passes": "def test_a(): pass\ndef test_b(): pass", "fails": "def test_c(): assert 1 == 2, 'one is not two'", "breaks": "import nothing_like_it",
              "dies": "import os\nos._exit(3)", "skips": "import pytest\npytest.importorskip('nothing_like_it', reason='not here')"}
    for name, source in guards.items():
        (tmp_path / "tests" / f"test_{name}.py").write_text(source)
    status, out, last = project(good="1")
    assert (status, last) == (1, "3 passed, 3 failed, 1 skipped"), out
    for name in "fails", "breaks", "dies":
        assert f"FAILED tests/test_{name}.py" in out, out
    assert "one is not two" in out and "passed tests/test_skips.py" in out and "not here" in out, out


def test_nothing_to_run(project):
    status, out, last = project()
    assert (status, last) == (1, "0 passed, 1 failed") and "no notebook was found" in out


def test_the_guards_cannot_reach_the_network():
    import socket

    with pytest.raises(OSError, match="network blocked"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # loopback is open
        socket.create_connection(server.getsockname()).close()
