"""What the commands on recorded runs print, and how they refuse."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.e2e.command_line import vgrad_tui
from tests.engine.store.recorded import notices, record, run_info, steps, story

from vgrad.events.batch import Batch
from vgrad.events.notices import RunStarted
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.writer import Writer
from vgrad_tui.cli import cli

LOCK = """
import sys
from pathlib import Path
from vgrad.store.folder import RunFolder
RunFolder(Path(sys.argv[1])).lock()
print(flush=True)
input()
"""


def test_steps_of_other_parts_than_the_first_are_told_apart() -> None:
    folder = RunFolder.create("gan")
    with closing(open_to_write(folder.database)) as connection:
        started = notices([(0, RunStarted(run_info(("a",))))])
        Writer(connection).write(Batch((steps(1, 2, 1), steps(1, 2, 1, part=1)), started, {}))
    printed = CliRunner().invoke(cli, ["tail", folder.name, "--steps"]).output
    lines = [line for line in printed.splitlines() if "loss" in line]
    assert [line.partition("part ")[2] for line in lines] == ["", "1", "", "1"]


def test_the_beginning_of_a_name_removes_nothing_and_the_names_in_full_are_said() -> None:
    folder = record(RunFolder.create("kept"), 20, ("a",))
    done = vgrad_tui("runs", "rm", "kep")
    assert done.returncode == 2
    assert f"name it in full, {folder.name}" in done.stderr
    assert folder.path.exists()


def test_a_file_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    folder = record(RunFolder.create("exported"), 20, ("a",))
    out = tmp_path / "nowhere" / "run.csv"
    done = vgrad_tui("export", folder.name, "--out", str(out))
    assert (done.returncode, done.stderr) == (1, f"error: {out}: No such file or directory\n")


def test_a_place_of_runs_that_is_a_file_is_named_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGRAD_HOME", str(tmp_path / "file"))
    done = vgrad_tui("runs")
    reason = "cannot be listed: Not a directory; VGRAD_HOME can name another place"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: the runs in {tmp_path}/file/runs {reason}\n"


def test_tail_says_that_a_run_was_killed_whether_it_watched_or_came_later() -> None:
    folder = RunFolder.create("killed")
    lock = [sys.executable, "-c", LOCK, str(folder.path)]
    with subprocess.Popen(lock, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alive:
        assert alive.stdout is not None
        alive.stdout.readline()
        follow = subprocess.Popen(
            [sys.executable, "-c", "from vgrad_tui.cli import main; main()", "tail", folder.name, "--follow"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with follow:
            assert follow.stdout is not None
            record(folder, 20, ("a",))  # it has no record as tail begins to look, or has it
            assert "made-up started" in follow.stdout.readline()
            alive.kill()
            alive.wait()
            printed = follow.stdout.read()
    assert "step        20  run       failed: the process ended without giving a reason" in printed
    assert follow.returncode == 0
    later = vgrad_tui("tail", folder.name).stdout.splitlines()
    assert printed.splitlines() == later[1:]


def test_tail_of_a_run_that_said_how_it_ended_adds_nothing() -> None:
    folder = record(RunFolder.create("done"), 20, ("a",), bodies=story(20))
    for flags in ([], ["--follow"]):
        assert vgrad_tui("tail", folder.name, *flags).stdout.count("failed") == 0
