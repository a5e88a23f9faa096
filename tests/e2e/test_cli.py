"""The command line as a shell sees it: real processes, real training."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click import Context

from vgrad import __version__
from vgrad_tui.cli import cli

PROGRAM = str(Path(sys.executable).with_name("vgrad-tui"))
KEYS = {
    *("recipe", "seed", "steps", "loss_first", "loss_last", "val_loss"),
    *("verdict", "steps_per_s", "commands", "outcome", "error"),
}


def vgrad_tui(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def headless(*args: str) -> subprocess.CompletedProcess[str]:
    return vgrad_tui("run", "--headless", "--steps", "4", "--eval-every", "0", *args)


def summary_in(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The one line on stdout."""
    [line] = result.stdout.splitlines()
    summary: dict[str, object] = json.loads(line)
    assert set(summary) == KEYS
    return summary


@pytest.mark.parametrize("command", ["", *cli.list_commands(Context(cli)), "runs rm"])
def test_every_help_has_examples(command: str) -> None:
    result, short = vgrad_tui(*command.split(), "--help"), vgrad_tui(*command.split(), "-h")
    assert result.returncode == 0 and short.stdout == result.stdout
    assert result.stdout.startswith("Usage: vgrad-tui")
    assert "Examples:" in result.stdout


def test_the_list_of_commands_says_what_they_say_themselves() -> None:
    listed = " ".join(vgrad_tui("--help").stdout.split())
    for name in cli.list_commands(Context(cli)):
        command = cli.get_command(Context(cli), name)
        assert command is not None
        assert f"{name} {command.get_short_help_str(limit=200).rstrip('.')}." in listed


def test_version() -> None:
    assert vgrad_tui("--version").stdout == f"vgrad-tui {__version__}\n"


# Both reports of one count: judging every step of all stored runs takes most of a minute on a slow machine.
VERDICTS_TWICE = """
import vgrad.lab.accuracy.matrix as matrix
from vgrad_tui.cli import main

judge_all = matrix.judge_all
judged = []

def judge_once(runs):
    judged.append(judged[0] if judged else judge_all(runs))
    return judged[0]

matrix.judge_all = judge_once
for args in (["verdicts"], ["verdicts", "--json"]):
    try:
        main(args)
    except SystemExit as end:
        assert end.code == 0
    print("END", len(judged), flush=True)
"""


def test_verdicts_are_counted_for_people_and_for_scripts() -> None:
    counted = subprocess.run(
        [sys.executable, "-c", VERDICTS_TWICE], capture_output=True, text=True, timeout=240, check=False
    )
    assert counted.returncode == 0, counted.stderr
    words, as_json, rest = re.split(r"^END \d\n", counted.stdout, flags=re.MULTILINE)
    assert rest == "" and "what it had" in words
    numbers = json.loads(as_json)
    right = numbers["held_out"]["right"]
    assert right["low"] <= right["share"] <= right["high"]
    refused = vgrad_tui("verdicts", "--save", "somewhere")
    assert refused.returncode == 2
    assert "go with --rerun" in refused.stderr


def test_recipes_are_listed_for_people_and_for_scripts() -> None:
    rows = json.loads(vgrad_tui("recipes", "--json").stdout)
    lines = vgrad_tui("recipes").stdout.splitlines()
    assert [row["name"] for row in rows] == [line.split()[0] for line in lines[::2]]
    assert all(row["summary"] in line for row, line in zip(rows, lines[::2], strict=True))
    assert all(row["takes"] in line for row, line in zip(rows, lines[1::2], strict=True))
    assert rows[0]["name"] == "charlm-rnn"
    assert rows[0]["options"]["model.hidden"] == 128


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--nonsense"], "--nonsense"),
        (["run", "--steps", "many"], "many"),
        (["run", "--headless"], "--steps"),
        (["run", "--headless", "--steps", "0"], "steps"),
        (["run", "--clip", "norm:-1", "--headless", "--steps", "1"], "max_norm must be > 0"),
        (["run", "--clip", "often", "--headless", "--steps", "1"], "clip must be one of norm, value"),
        (["run", "--lr", "nan", "--headless", "--steps", "1"], "lr"),
        (["run", "--set", "hidden", "--headless", "--steps", "1"], "KEY=VALUE"),
        (["run", "--set", "no_such=1", "--headless", "--steps", "1"], "no_such"),
        (["run", "--device", "abacus", "--headless", "--steps", "1"], "abacus"),
        (["run", "charlm-rn", "--headless", "--steps", "1"], "charlm-rnn"),
        (["watc", "train.py"], "did you mean 'watch'?"),
        (["train.py"], "did you mean vgrad-tui watch train.py, or"),
        (["charlm-lstm"], "did you mean vgrad-tui run charlm-lstm?"),
        (["my-run.toml"], "did you mean vgrad-tui run my-run.toml?"),
        (["12345"], "did you mean vgrad-tui attach 12345?"),
        (["controls", "clpi"], "did you mean 'clip'?"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["run", "a.toml", "--config", "b.toml"], "give one"),
        (["run"], "--headless"),
        ([], "--headless"),
    ],
)
def test_bad_usage_is_told_in_words(args: list[str], told: str) -> None:
    result = vgrad_tui(*args)
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: " in result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_name_cannot_act_on_the_terminal() -> None:
    result = vgrad_tui("run", "evil\x1b[2J\u202erecipe", "--headless", "--steps", "1")
    assert result.returncode == 2
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr


@pytest.mark.parametrize("content", [None, b"", b"short"], ids=["missing", "empty", "short"])
def test_text_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    result = headless("charlm-rnn", "--text", str(path))
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: " in result.stderr
    assert "text" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_headless_run_ends_with_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    result = headless("charlm-rnn", "--seed", "3", "--clip", "norm:1", "--summary", str(path))
    assert result.returncode == 0
    summary = summary_in(result)
    assert (summary["recipe"], summary["seed"], summary["steps"]) == ("charlm-rnn", 3, 4)
    assert (summary["outcome"], summary["error"], summary["commands"]) == ("done", None, [])
    assert all(isinstance(summary[name], float) for name in ("loss_first", "loss_last", "val_loss"))
    assert path.read_text() == result.stdout
    assert "step 4/4" in result.stderr


def test_flags_win_over_the_file_and_the_same_run_gives_the_same_losses(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('recipe = "charlm-rnn"\nseed = 1\nclip = "value:0.5"\nthreads = 1\n')
    from_file = summary_in(headless(str(path), "--seed", "2"))
    from_flags = summary_in(headless("charlm-rnn", "--seed", "2", "--clip", "value:0.5"))
    assert from_file["seed"] == 2
    same = ("loss_first", "loss_last", "val_loss")
    assert [from_file[name] for name in same] == [from_flags[name] for name in same]


@pytest.mark.parametrize("place", ["nowhere/run.json", "."])
def test_a_summary_that_has_no_place_is_refused_before_training(tmp_path: Path, place: str) -> None:
    result = headless("--summary", str(tmp_path / place))
    assert (result.returncode, result.stdout) == (2, "")
    assert "summary" in result.stderr
    assert "torch" not in result.stderr


def test_a_diverged_run_is_valid_json_and_says_so() -> None:
    result = headless("charlm-rnn", "--set", "activation=relu", "--lr", "100", "--steps", "10")
    summary = summary_in(result)
    assert result.returncode == 0
    assert summary["loss_last"] is None
    assert summary["verdict"] == "non-finite"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_next_step_and_the_summary_still_comes(signum: signal.Signals) -> None:
    # A background job inherits an ignored SIGINT, and the test may run in one.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from vgrad_tui.cli import main; main()"
    )
    args = ["run", "--headless", "--steps", "100000000", "--eval-every", "0"]
    command = [sys.executable, "-c", code, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step"):  # a verdict: training is under way
                break
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=60)
    summary = json.loads(stdout)
    assert process.returncode == 130
    assert summary["outcome"] == "stopped"
    assert summary["steps"] > 0
    assert "Traceback" not in stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    pipeline = f"'{PROGRAM}' recipes --json | head -n 1"
    result = subprocess.run(["bash", "-c", pipeline], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[\n"
    assert "Traceback" not in result.stderr


def test_another_system_than_posix_is_told_so() -> None:
    code = "import sys; from vgrad_tui.cli import main; sys.platform = 'win32'; main(['recipes'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "POSIX" in done.stderr and "WSL" in done.stderr
