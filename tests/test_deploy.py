"""The examples in `deploy`: their commands are those of this version, they copy files that exist, and what they wait for fits the limits of the service.

hadolint and systemd-analyze check them too, where they are installed."""
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCKERFILE, UNIT = ROOT / "deploy/Dockerfile", ROOT / "deploy/cockatoo@.service"


def served(words):
    "The options of a command line `cockatoo serve ...`."
    import cockatoo.cli  # fills the table of commands
    from cockatoo.core.arguments import build_parser

    assert Path(words[0]).name == "cockatoo" and words[1] == "serve"
    return build_parser("serve", words[2:]).read(words[2:])


def entrypoint(): return json.loads(re.search(r"^ENTRYPOINT (.+)$", DOCKERFILE.read_text(), re.M)[1])
def exec_start(): return shlex.split(re.search(r"^ExecStart=(.+)$", UNIT.read_text(), re.M)[1].replace("${PORT}", "8000"))


@pytest.mark.parametrize("words, host", [(entrypoint(), "0.0.0.0"), (exec_start(), "127.0.0.1")])
def test_commands(words, host):
    options = served(words)
    assert (options.host, options.port, options.require_token) == (host, 8000, True)


def test_dockerfile_copies_what_exists():
    sources = [name for line in re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.M) for name in line.split()[:-1] if "$" not in name]
    assert sources
    for name in sources: assert (ROOT / name).exists(), name


def test_accepted_requests_have_time_to_be_answered():
    from cockatoo.export.service import ServiceLimits

    waits = [int(found) for file, pattern in ((DOCKERFILE, r"--stop-timeout (\d+)"), (UNIT, r"TimeoutStopSec=(\d+)")) for found in re.findall(pattern, file.read_text())]
    assert len(waits) == 2 and all(wait > ServiceLimits().seconds for wait in waits)


def check(program, *words):
    "Run a checker; the test is skipped where it is not installed."
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if not found: pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *map(str, words)], capture_output=True, text=True)
    assert not done.returncode and not done.stderr, done.stdout + done.stderr


def test_hadolint(): check("hadolint", DOCKERFILE)


def test_systemd(tmp_path):
    "The program of the unit is replaced by one that exists here."
    unit = tmp_path / "cockatoo@posts.service"
    unit.write_text(UNIT.read_text().replace("/opt/cockatoo/bin/cockatoo", sys.executable))
    check("systemd-analyze", "verify", unit)
