"""The summary tells the truth, in JSON that any parser takes."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.batches import make_batch

from vgrad.controls.catalog import CLIP
from vgrad.controls.codec import command_to_data
from vgrad.controls.controls import (
    Controls,
    Pause,
    Resume,
    Set,
    StepOnce,
    Stop,
)
from vgrad.errors import ConfigError
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandApplied, RunEnded, Validated, VerdictChanged
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.run.run_history import RunHistory
from vgrad.run.summary import RunSummary, check_summary_path


def record(step: int, loss: float) -> StepRecord:
    return StepRecord(
        step=step, loss=loss, lr=0.1, base_lr=0.1, grad_norm=1.0, applied_norm=1.0,
        grad_norms=np.ones(1, dtype=np.float32), num_tokens=0, num_samples=1, num_microbatches=1,
        elapsed_s=0.5 * step, step_s=0.5, watch_s=0.0,
    )  # fmt: skip


def ended(loss_last: float, *, val_loss: float | None = None, step: int = 10) -> RunEnded:
    return RunEnded(
        step=step, reason="done", loss_first=4.0, loss_last=loss_last, val_loss=val_loss, steps_per_s=2.0
    )


def summary_of(*batches: Batch) -> RunSummary:
    history = RunHistory()
    for batch in batches:
        history.take(batch)
    return RunSummary.of(history, recipe="charlm-rnn", seed=7)


def refuse_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


@given(
    losses=st.tuples(st.floats(), st.floats()),
    val_loss=st.none() | st.floats(),
    rate=st.floats(),
    recipe=st.text(),
    error=st.none() | st.text(),
)
def test_json_is_strict_whatever_the_numbers_are(
    losses: tuple[float, float], val_loss: float | None, rate: float, recipe: str, error: str | None
) -> None:
    summary = RunSummary(recipe, 0, 3, *losses, val_loss, steps_per_s=rate, error=error)
    values = json.loads(summary.to_json(), parse_constant=refuse_constant)
    assert "\n" not in summary.to_json()
    for name in ("loss_first", "loss_last", "val_loss", "steps_per_s"):
        number = getattr(summary, name)
        assert values[name] == (number if number is not None and math.isfinite(number) else None)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_json_cannot_write_is_told_by_the_verdict(loss: float) -> None:
    by_training = summary_of(make_batch(notices=(ended(loss),)))
    by_validation = summary_of(make_batch(notices=(ended(1.0, val_loss=loss),)))
    assert by_training.verdict == by_validation.verdict == "non-finite"
    assert json.loads(by_training.to_json())["loss_last"] is None


def test_a_run_of_no_steps_is_not_called_broken() -> None:
    summary = summary_of(make_batch(notices=(ended(math.nan, step=0),)))
    assert summary.verdict == "starting"
    assert summary.readable() == "charlm-rnn, seed 7: done after 0 steps, 2 steps/s"


def test_the_end_has_the_last_word() -> None:
    applied = CommandApplied(5, Set("clip", ClipGradNorm(1.0)), Controls(clip=ClipGradNorm(1.0)))
    verdict = VerdictChanged(6, Verdict("healthy", "all is well"))
    summary = summary_of(
        make_batch(records=(record(1, 4.0), record(2, 3.0))),
        make_batch(records=(record(9, 2.0),), notices=(applied, Validated(5, 2.5), verdict)),
        make_batch(notices=(ended(1.5, val_loss=1.75),)),
    )
    assert json.loads(summary.to_json()) == {
        "recipe": "charlm-rnn",
        "seed": 7,
        "steps": 10,
        "loss_first": 4.0,
        "loss_last": 1.5,
        "val_loss": 1.75,
        "verdict": "healthy",
        "steps_per_s": 2.0,
        "commands": [{"step": 5, **command_to_data(applied.command)}],
        "outcome": "done",
        "error": None,
    }
    assert summary.readable().splitlines() == [
        "charlm-rnn, seed 7: done after 10 steps, 2 steps/s",
        "loss 4 -> 1.5, validation 1.75; gradients healthy",
        "  from step 5: clip norm 1",
    ]


def test_a_run_that_was_left_behind_is_told_by_its_records() -> None:
    summary = summary_of(make_batch(records=(record(1, 4.0), record(2, 3.0)), notices=(Validated(2, 3.5),)))
    assert (summary.outcome, summary.steps, summary.steps_per_s) == ("unfinished", 2, 2.0)
    assert (summary.loss_first, summary.loss_last, summary.val_loss) == (4.0, 3.0, 3.5)


def test_a_first_loss_that_nobody_drained_is_unknown() -> None:
    assert summary_of(make_batch(records=(record(2, 3.0),), num_dropped=1)).loss_first is None


@pytest.mark.parametrize("outcome", ["done", "stopped", "unfinished"])
def test_only_a_failure_is_a_failure(outcome: str) -> None:
    assert RunSummary("a", 0, outcome=outcome).exit_code == 0  # type: ignore[arg-type]
    assert RunSummary("a", 0, outcome="failed").exit_code == 1


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (Set("clip", None), {"command": "set", "control": "clip", "value": "off"}),
        (Set("accumulate", MeanOver(4)), {"command": "set", "control": "accumulate", "value": "mean:4"}),
        (Set("lr_scale", 0.5), {"command": "set", "control": "lr_scale", "value": "0.5"}),
        (Pause(), {"command": "pause"}),
    ],
)
def test_a_command_as_plain_values(command: object, values: dict[str, object]) -> None:
    assert command_to_data(command) == {"version": 1, **values}  # type: ignore[arg-type]


@given(st.floats(min_value=1e-6, max_value=1e6), st.sampled_from(["norm", "value"]))
def test_a_clip_survives_being_written_down(threshold: float, kind: str) -> None:
    clip = CLIP.read(f"{kind}:{threshold!r}")
    written = command_to_data(Set("clip", clip))["value"]
    assert CLIP.read(str(written)) == clip


def test_long_lists_of_changes_are_cut_for_people_only() -> None:
    commands = tuple(
        CommandApplied(step, Set("accumulate", MeanOver(step)), Controls()) for step in range(1, 21)
    )
    summary = RunSummary("a", 0, commands=commands)
    assert len(json.loads(summary.to_json())["commands"]) == 20
    assert summary.readable().splitlines()[1:3] == [
        "  12 earlier changes",
        "  from step 13: accumulate 13",
    ]


def test_people_read_what_changed_the_training_and_scripts_read_every_command() -> None:
    told = (
        Pause(),
        Set("lr_scale", 0.5),
        StepOnce(),
        Resume(),
        Set("clip", None),
        Set("accumulate", MeanOver(2)),
        Stop(),
    )
    commands = tuple(CommandApplied(step, command, Controls()) for step, command in enumerate(told, 1))
    summary = RunSummary("a", 0, commands=commands)
    assert summary.readable().splitlines()[1:] == [
        "  from step 2: lr × 0.5",
        "  from step 5: clip off",
        "  from step 6: accumulate 2",
    ]
    assert len(json.loads(summary.to_json())["commands"]) == len(told)


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("older")
    summary = RunSummary("a", 0)
    summary.write(path)
    assert path.read_text() == summary.to_json() + "\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.json", tmp_path / "run.json"
    link.symlink_to(target)
    RunSummary("a", 0).write(link)
    assert link.is_symlink()
    assert json.loads(target.read_text())["recipe"] == "a"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        RunSummary("a", 0).write(path)
        assert json.loads(os.read(reader, 65536))["recipe"] == "a"
        assert path.is_fifo()
    finally:
        os.close(reader)


@pytest.mark.parametrize("name", ["/dev/full", "nowhere/run.json"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(OSError, match=re.escape(repr(str(path)))) as caught:
        RunSummary("a", 0).write(path)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("name", [".", "nowhere/run.json"])
def test_a_place_that_cannot_be_written_is_known_beforehand(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="summary"):
        check_summary_path(tmp_path / name)
