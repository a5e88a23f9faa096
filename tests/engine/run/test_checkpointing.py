"""When a session saves its state, and that saving changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.run.test_session import Listener, started
from tests.engine.toys import sgd, toy_trainer
from torch import nn

import vgrad
from vgrad.controls.controls import Command, Pause, Reinit, SaveCheckpoint, Set, StepOnce, Stop, UndoReinit
from vgrad.events.hub import Cursor, Hub
from vgrad.events.notices import (
    CheckpointFailed,
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    RunEnded,
)
from vgrad.run.checkpointing import Checkpointing
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder
from vgrad.train.state import TrainerState
from vgrad.train.trainer import Trainer


def session_in(tmp_path: Path, trainer: Trainer | None = None, **settings: Any) -> tuple[Session, RunFolder]:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    session = Session(trainer or toy_trainer(**settings))
    session.folder = folder
    return session, folder


def until(history: RunHistory, cursor: Cursor, is_so: Callable[[], bool]) -> None:
    """Follow a session until something is so."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        history.take(cursor.take())
        time.sleep(0.001)


def losses(listener: Listener) -> list[float | None]:
    return [record.loss for record in listener.records]


def test_one_is_saved_before_each_command_that_changes_weights_and_at_the_end(tmp_path: Path) -> None:
    session, folder = session_in(tmp_path, steps=3, eval_every=0)
    commands: list[Command] = [
        Set("clip", "norm:1"), Reinit("he"), Reinit("nonsense"), UndoReinit(), Set("skip", "on"),
    ]  # fmt: skip
    for command in commands:
        session.submit(command)
    listener = started(session)
    ended = listener.finish()
    assert isinstance(ended, RunEnded) and ended.reason == "done"
    assert [(each.place, each.reason) for each in checkpoints_of(folder)] == [
        ((0, 1), "command"),  # before he, and after the clipping, which changes no weight
        ((0, 2), "command"),
        ((3, 3), "end"),
    ]
    told = listener.of(CheckpointSaved)
    assert [(each.step, each.reason) for each in told] == [(0, "command"), (0, "command"), (3, "end")]
    assert told[-1].kept_steps == (0, 0, 3)


def test_the_steps_to_rewind_to_are_those_whose_state_is_still_there(tmp_path: Path) -> None:
    session, folder = session_in(tmp_path, eval_every=0)
    history, cursor = RunHistory(), session.cursor()
    session.submit(Pause())
    session.start()
    for step in range(6):
        session.submit(SaveCheckpoint())
        until(history, cursor, lambda step=step: step in history.saved_at)  # one by one: no disk is too slow
        session.submit(StepOnce())
        until(history, cursor, lambda step=step: history.step > step)
    session.stop()
    until(history, cursor, lambda: history.ended is not None)
    kept = [each.step for each in checkpoints_of(folder)]
    assert kept == [3, 4, 5, 6], "3 of those that were asked for, and the end"
    assert history.saved_at == tuple(kept)
    assert history.rewind_steps == (6, 5, 4, 3, 0), "and the first, which is computed again"


def test_saving_changes_nothing(tmp_path: Path) -> None:
    session, _ = session_in(tmp_path, steps=40, eval_every=7)
    for _ in range(3):
        session.submit(SaveCheckpoint())
    listener = started(session)
    listener.finish()
    bare = started(Session(toy_trainer(steps=40, eval_every=7)))
    bare.finish()
    assert losses(listener) == losses(bare)


def test_asking_twice_at_one_moment_saves_once_and_is_answered_twice(tmp_path: Path) -> None:
    session, folder = session_in(tmp_path, steps=1)
    session.submit(SaveCheckpoint())
    session.submit(SaveCheckpoint())
    listener = started(session)
    listener.finish()
    assert len(listener.of(CommandApplied)) == 2
    assert [each.place for each in checkpoints_of(folder)] == [(0, 0), (1, 0)]


def test_without_a_folder_asking_is_refused() -> None:
    session = Session(toy_trainer(steps=1))
    session.submit(SaveCheckpoint())
    listener = started(session)
    listener.finish()
    assert "not recorded" in listener.of(CommandRejected)[0].reason


def test_the_clock_decides_when_and_a_long_capture_makes_them_rare(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    clock = [0.0]
    checkpointing = Checkpointing(folder, Hub(), every_s=60.0, now_s=lambda: clock[0])
    trainer = toy_trainer()
    capture = trainer.capture

    def slow() -> Any:
        clock[0] += 1.0
        return capture()

    trainer.capture = slow  # type: ignore[method-assign]
    saved = []
    for second in range(0, 600, 10):
        clock[0] = max(clock[0], float(second))
        trainer.train_step()
        before = clock[0]
        checkpointing.look(trainer)
        if clock[0] > before:
            saved.append(second)
        checkpointing.flush()  # this clock runs faster than any disk
    checkpointing.close()
    assert saved == [60, 270, 480], "a capture of 1 s: at most one in 200 s"


def test_a_busy_disk_postpones_a_save_until_it_is_free_and_no_longer(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    clock = [0.0]
    checkpointing = Checkpointing(folder, Hub(), every_s=60.0, now_s=lambda: clock[0])
    trainer = toy_trainer()
    disk_is_free = threading.Event()
    save = TrainerState.save

    def save_when_free(state: TrainerState, path: Path) -> None:
        disk_is_free.wait()
        save(state, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainerState, "save", save_when_free)
        for second in (60, 120, 130):
            clock[0] = float(second)
            trainer.train_step()
            checkpointing.look(trainer)
        disk_is_free.set()
        checkpointing.flush()
        clock[0] = 131.0
        trainer.train_step()
        checkpointing.look(trainer)
        checkpointing.close()
    assert [each.step for each in checkpoints_of(folder)] == [1, 4]


def test_data_that_can_only_be_read_on_is_told_once_and_trained_on(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    pairs = ((torch.ones(1, 2), torch.ones(1, 1)) for _ in range(5))
    task = vgrad.Task(model=model, optimizer=sgd(model.parameters()), data=pairs, loss=nn.MSELoss())
    session, folder = session_in(tmp_path, toy_trainer(task))
    session.submit(SaveCheckpoint())
    listener = started(session)
    assert listener.finish().step == 5
    [failed] = listener.of(CheckpointFailed)
    assert "cannot be captured" in failed.reason
    assert listener.of(CommandRejected)[0].reason == failed.reason
    assert not checkpoints_of(folder)


@pytest.mark.parametrize("num_commands", [0, 1])
def test_a_run_that_is_stopped_saves_where_it_stopped(tmp_path: Path, num_commands: int) -> None:
    session, folder = session_in(tmp_path)
    listener = started(session)
    listener.wait_for_step(5)
    for _ in range(num_commands):
        session.submit(Set("lr_scale", 0.5))
    session.submit(Stop())
    ended = listener.finish()
    [checkpoint] = checkpoints_of(folder)
    assert checkpoint.place == (ended.step, num_commands)
    assert checkpoint.load().step == ended.step
