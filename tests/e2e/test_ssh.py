"""Over a real SSH connection: a run outlives the one that started it, and a second one attaches to it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.command_line import SMALL
from tests.e2e.terminal import Terminal
from tests.waiting import until

from vgrad.store.folder import RunFolder
from vgrad.store.listing import look

SSHD = "/usr/sbin/sshd"


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """The command that opens a connection to a server of our own on the loopback."""
    if not (Path(SSHD).exists() and shutil.which("ssh") and shutil.which("ssh-keygen")):
        pytest.skip("openssh-server is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd will not start as root without it
    for name in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "client.pub", "PidFile": "none", "StrictModes": "no",
        "UsePAM": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes",
    }  # fmt: skip
    config = tmp_path / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(lambda: answers() or server.poll() is not None)
    assert server.poll() is None, (tmp_path / "log").read_text()
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
    yield [
        "ssh", "-F", "none", "-i", str(tmp_path / "client"), "-p", str(port),
        *(part for option in options for part in ("-o", option)), f"{getpass.getuser()}@127.0.0.1",
    ]  # fmt: skip
    server.kill()
    server.wait()


def there(*words: str) -> str:
    """The command line of vgrad-tui on the far side, which has an environment of its own."""
    known = {name: os.environ[name] for name in ("VGRAD_HOME", "PYTHONPATH") if name in os.environ}
    settings = " ".join(f"{name}='{value}'" for name, value in known.items())
    code = "from vgrad_tui.cli import main; main()"
    return f"env TERM=xterm-256color LANG=C.UTF-8 {settings} {sys.executable} -c '{code}' {' '.join(words)}"


def test_a_run_outlives_its_connection_and_a_second_one_attaches(ssh: list[str]) -> None:
    started = subprocess.run(
        [*ssh, there("run", "charlm-rnn", "--detach", *SMALL)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    run = RunFolder.find(started.stdout.splitlines()[-1])
    try:
        with Terminal([*ssh, "-tt", there("attach", run.name)], columns=120, lines=36) as first:
            first.wait_for("● training")
            first.press("c")
            first.wait_for(r"clip +norm 1  @ [\d,]+")
            first.signal(signal.SIGKILL)  # the connection is cut: the far side sees a terminal that is gone
            first.wait()
        before = look(run)
        assert before.status == "alive"
        until(lambda: look(run).step > before.step)
        with Terminal([*ssh, "-tt", there("attach")], columns=80, lines=24) as second:
            second.wait_for("● training")
            second.wait_for(r"clip +norm 1  @ [\d,]+")
            second.press("q")
            assert second.wait() == 0
        sent = subprocess.run(
            [*ssh, there("send", run.name, "stop")], capture_output=True, text=True, timeout=120, check=False
        )
        assert sent.returncode == 0, sent.stderr
        until(lambda: run.pid() is None)
        told = subprocess.run(
            [*ssh, there("tail", run.name)], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        assert re.search(rf"clip norm 1 .* by {getpass.getuser()}@127\.0\.0\.1", told)
    finally:
        pid = run.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
