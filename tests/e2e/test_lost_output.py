"""Streams that fail under a real process: training goes on, the summary file and the exit code are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.command_line import SMALL
from tests.engine.store.recorded import record

from vgrad.store.folder import RunFolder

PROGRAM = str(Path(sys.executable).with_name("vgrad-tui"))


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in bash; $VGRAD is the program; a pipeline fails where a part of it does."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        env={**os.environ, "VGRAD": PROGRAM},
    )


STDOUT_FAILS = {
    "full": (">/dev/full", "No space left on device"),
    "closed": (">&-", "closed"),
    "no reader": ("| true", "Broken pipe"),
}
STDERR_FAILS = {"full": "2>/dev/full", "closed": "2>&-", "no reader": "2> >(true)"}
BOTH_FAIL = {"full": ">/dev/full 2>&1", "closed": ">&- 2>&- <&-", "no reader": "2>&1 | true"}


def train(redirection: str, summary: Path) -> subprocess.CompletedProcess[str]:
    # Steps enough to have something to say after a reader has gone away.
    flags = " ".join(("--headless --steps 60 --eval-every 10", *SMALL))
    return shell(f'"$VGRAD" run charlm-rnn {flags} --summary {summary} {redirection}')


def whole(summary: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads(summary.read_text())
    assert (values["outcome"], values["steps"]) == ("done", 60)
    return values


@pytest.mark.parametrize("how", STDOUT_FAILS)
def test_a_lost_stdout_costs_nothing_but_its_line(how: str, tmp_path: Path) -> None:
    redirection, reason = STDOUT_FAILS[how]
    result = train(redirection, tmp_path / "run.json")
    assert result.returncode == 0
    whole(tmp_path / "run.json")
    [line] = [line for line in result.stderr.splitlines() if "stdout" in line]
    assert line == f"stdout could not be written: {reason}; the JSON summary is lost there"
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize("how", STDERR_FAILS)
def test_a_lost_stderr_costs_nothing_but_the_progress(how: str, tmp_path: Path) -> None:
    result = train(STDERR_FAILS[how], tmp_path / "run.json")
    assert result.returncode == 0
    assert json.loads(result.stdout) == whole(tmp_path / "run.json")  # one line of JSON, as ever


@pytest.mark.parametrize("how", BOTH_FAIL)
def test_with_both_lost_the_file_and_the_exit_code_remain(how: str, tmp_path: Path) -> None:
    result = train(BOTH_FAIL[how], tmp_path / "run.json")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    whole(tmp_path / "run.json")


@pytest.mark.parametrize("redirection", [*BOTH_FAIL.values(), *STDERR_FAILS.values()])
def test_bad_usage_keeps_its_exit_code(redirection: str) -> None:
    assert shell(f'"$VGRAD" run no-such-recipe {redirection}').returncode == 2
    assert shell(f'"$VGRAD" run --headless {redirection}').returncode == 2


def test_a_file_opened_later_never_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    report = (
        "import os; print([os.path.realpath(f'/proc/self/fd/{n}') for n in range(3)], file=open(PATH, 'w'))"
    )
    code = (
        f"import vgrad_tui.cli as cli; PATH = {str(tmp_path / 'report')!r}\n"
        f"cli._occupy_closed_descriptors()\n{report}"
    )
    (tmp_path / "script.py").write_text(code)
    shell(f'"{sys.executable}" {tmp_path / "script.py"} <&- >&- 2>&-')
    assert (tmp_path / "report").read_text() == f"{['/dev/null'] * 3}\n"


def test_a_command_whose_purpose_is_its_output_says_that_it_failed() -> None:
    result = shell('"$VGRAD" recipes >/dev/full')
    assert result.returncode == 1
    assert result.stderr == "error: [Errno 28] No space left on device\n"


def test_following_a_run_ends_at_once_where_nothing_can_be_printed() -> None:
    folder = record(RunFolder.create("alive"), 20, ("a",))
    folder.lock()
    try:
        done = shell(f'"$VGRAD" tail {folder.name} --follow >&-')
    finally:
        folder.unlock()
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr
