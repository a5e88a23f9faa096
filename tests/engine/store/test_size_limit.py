"""Old runs make room for new ones, are named, and nothing alive is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tests.engine.store.recorded import record
from torch import nn

import vgrad
from vgrad.errors import ConfigError
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.size_limit import limit_bytes, make_room
from vgrad_tui.cli import cli


def run_of_age(number: int) -> RunFolder:
    """A run of some 100 kB; the larger the number, the older."""
    folder = record(RunFolder.create(f"age-{number}"), 200, ("a", "b", "c"))
    os.utime(folder.database, (1e9 - number, 1e9 - number))
    return folder


def test_the_oldest_that_have_ended_are_removed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    newest, middle, oldest = (run_of_age(number) for number in range(3))
    oldest.lock()
    try:
        monkeypatch.setenv("VGRAD_MAX_GIB", str((newest.num_bytes() + oldest.num_bytes()) / 2**30))
        [said] = make_room()
    finally:
        oldest.unlock()
    assert middle.name in said and "VGRAD_MAX_GIB" in said
    assert {folder.name for folder in all_runs()} == {newest.name, oldest.name}, "what is alive stays"
    assert make_room() == []


def test_the_usual_limit_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_bytes() == 10 * 2**30
    monkeypatch.setenv("VGRAD_MAX_GIB", "0")
    run_of_age(0)
    assert make_room() == []
    for text in ("-1", "nan", "much"):
        monkeypatch.setenv("VGRAD_MAX_GIB", text)
        with pytest.raises(ConfigError, match="VGRAD_MAX_GIB"):
            make_room()


def test_watching_a_loop_makes_room_as_well_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Linear(2, 1)
    for limit, words in (("much", "VGRAD_MAX_GIB must be"), ("0.000001", "removed the run age-0")):
        run_of_age(0)
        monkeypatch.setenv("VGRAD_MAX_GIB", limit)
        with vgrad.watch(model, torch.optim.SGD(model.parameters(), lr=0.1)):
            pass
        assert words in caplog.text
    assert not [folder for folder in all_runs() if folder.name.startswith("age-0")]


def test_a_script_under_python_m_vgrad_makes_room_as_well(tmp_path: Path) -> None:
    old = run_of_age(0)
    script = tmp_path / "train.py"
    script.write_text(
        "import torch\n"
        "model = torch.nn.Linear(2, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "model(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vgrad", str(script)], capture_output=True, text=True, timeout=300, check=True,
        env=os.environ | {"VGRAD_MAX_GIB": "0.000001"},
    )  # fmt: skip
    assert f"removed the run {old.name}" in done.stderr
    assert [folder.name.partition("-")[0] for folder in all_runs()] == ["train"]


def test_resuming_makes_room_but_not_of_what_is_resumed() -> None:
    code = "from vgrad_tui.cli import main; main()"
    small = ("--batch-size", "2", "--set", "hidden=8", "--set", "seq_len=8", "--headless", "--steps", "2")
    run = [sys.executable, "-c", code, "run"]
    subprocess.run([*run, "charlm-rnn", *small], capture_output=True, timeout=300, check=True)
    [resumed] = all_runs()
    old = run_of_age(0)
    done = subprocess.run(
        [*run, "--resume", resumed.name, "--headless", "--steps", "4"],
        capture_output=True, text=True, timeout=300, check=True,
        env=os.environ | {"VGRAD_MAX_GIB": "0.000001"},
    )  # fmt: skip
    assert f"removed the run {old.name}" in done.stderr
    assert resumed in all_runs() and len(all_runs()) == 2


def test_a_new_run_says_what_it_removed_and_the_list_says_the_limit() -> None:
    old = run_of_age(0)
    code = "from vgrad_tui.cli import main; main()"
    small = ("--batch-size", "2", "--set", "hidden=8", "--set", "seq_len=8", "--headless", "--steps", "2")
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "charlm-rnn", *small],
        capture_output=True, text=True, timeout=300, check=True,
        env=os.environ | {"VGRAD_MAX_GIB": "0.000001"},
    )  # fmt: skip
    assert f"removed the run {old.name}" in done.stderr
    listed = CliRunner().invoke(cli, ["runs"])
    assert "of 10.0 GiB" in listed.output and old.name not in listed.output
