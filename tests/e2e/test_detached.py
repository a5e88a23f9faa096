"""A run that outlives the terminal: listed, followed, steered and stopped from other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.command_line import SMALL, vgrad_tui
from tests.waiting import until

from vgrad.store.folder import RunFolder


def listed(folder: RunFolder) -> dict[str, object]:
    rows = json.loads(vgrad_tui("runs", "--json").stdout)
    return next(row for row in rows if row["name"] == folder.name)


def test_it_is_listed_steered_followed_and_stopped_from_other_processes(run: RunFolder) -> None:
    row = listed(run)
    assert row["status"] == "alive" and row["pid"] == run.pid()
    assert {"name", "pid", "status", "step", "loss", "verdict", "host", "size"} <= row.keys()
    applied = vgrad_tui("send", run.name, "clip", "norm:1")
    assert applied.returncode == 0 and applied.stdout.startswith("clip norm 1 @ ")
    refused = vgrad_tui("send", run.name, "skip", "on")
    assert refused.returncode == 4 and refused.stderr.startswith("refused: ")
    assert vgrad_tui("send", run.name, "clip", "nonsense").returncode == 2
    assert vgrad_tui("send", run.name, "pause").returncode == 0
    follower = subprocess.Popen(
        [sys.executable, "-c", "from vgrad_tui.cli import main; main()", "tail", run.name, "--follow"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert vgrad_tui("send", run.name, "resume", "--no-wait").returncode == 0
    assert vgrad_tui("send", run.name, "stop").returncode == 0
    text, _ = follower.communicate(timeout=120)
    for words in ("clip norm 1", "skip", "pause", "resume", "stopped"):
        assert words in text
    assert run.pid() is None
    assert listed(run)["status"] == "stopped"
    late = vgrad_tui("send", run.name, "pause", "--json")
    assert late.returncode == 5 and "is not alive" in late.stderr
    answer = json.loads(late.stdout)
    assert answer["kind"] == "NotAlive" and answer["run"] == run.name and answer["reason"] in late.stderr
    assert "clip norm 1" in vgrad_tui("tail", run.name).stdout
    events = [
        json.loads(line) for line in vgrad_tui("tail", run.name, "--json", "--steps").stdout.splitlines()
    ]
    steps = [event["step"] for event in events if event["kind"] == "Step"]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) == listed(run)["step"]
    assert vgrad_tui("runs", "rm", run.name).returncode == 0
    assert not run.path.exists()


def test_a_gradient_check_is_waited_for_and_what_it_found_is_printed(run: RunFolder) -> None:
    checked = vgrad_tui("send", run.name, "check")
    assert checked.returncode == 0
    answer, found = checked.stdout.splitlines()
    assert answer.startswith("gradient check @ ") and "entries agree, the worst to" in found
    answered = json.loads(vgrad_tui("send", run.name, "check", "--json").stdout)
    assert answered["kind"] == "CommandApplied"


def test_neither_a_hang_up_nor_ctrl_c_where_it_was_started_reaches_it(run: RunFolder) -> None:
    pid = run.pid()
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0), "it has a session of its own"
    os.kill(pid, signal.SIGHUP)
    before = listed(run)["step"]
    assert isinstance(before, int)
    until(lambda: int(str(listed(run)["step"])) > before)
    assert run.pid() == pid


def test_sigterm_ends_it_cleanly(run: RunFolder) -> None:
    pid = run.pid()
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    until(lambda: run.pid() is None)
    assert listed(run)["status"] == "stopped"
    until(lambda: run.log.read_text().endswith("}\n"))  # printed when the record has ended
    summary = json.loads(run.log.read_text().splitlines()[-1])
    assert summary["outcome"] == "stopped" and summary["steps"] == listed(run)["step"]


def test_what_is_alive_is_not_removed(run: RunFolder) -> None:
    removed = vgrad_tui("runs", "rm", run.name)
    assert removed.returncode == 2 and "alive" in removed.stderr
    assert run.pid() is not None


def test_a_run_that_cannot_start_says_why_and_leaves_nothing(own_home: Path) -> None:
    started = vgrad_tui("run", "charlm-rnn", "--detach", "--text", "no-such-file.txt")
    assert started.returncode == 2 and "no-such-file.txt" in started.stderr
    assert started.stdout == ""
    assert not list((own_home / "runs").iterdir())


def test_its_summary_is_written_when_it_ends(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    short = ("run", "charlm-rnn", *SMALL, "--detach", "--steps", "5")
    assert vgrad_tui(*short, "--summary", str(tmp_path / "nowhere" / "a.json")).returncode == 2
    assert vgrad_tui(*short, "--summary", str(summary)).returncode == 0
    until(summary.exists)
    assert json.loads(summary.read_text())["steps"] == 5


def test_a_run_that_is_not_to_be_recorded_is_not(own_home: Path) -> None:
    refused = vgrad_tui("run", "charlm-rnn", "--detach", "--no-record", *SMALL)
    assert refused.returncode == 2 and "--detach goes without --no-record" in refused.stderr
    done = vgrad_tui("run", "charlm-rnn", "--headless", "--steps", "3", "--no-record", *SMALL)
    assert done.returncode == 0 and not own_home.exists()
    done = vgrad_tui("run", "charlm-rnn", "--headless", "--steps", "3", *SMALL)
    assert done.returncode == 0
    [row] = json.loads(vgrad_tui("runs", "--json").stdout)
    assert (row["status"], row["step"]) == ("finished", 3)
