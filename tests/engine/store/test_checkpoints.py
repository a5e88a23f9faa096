"""Checkpoints appear whole, only a few are kept, and what cannot be written is said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.engine.toys import toy_trainer

from vgrad.errors import ConfigError
from vgrad.events.notices import CheckpointSaved, Notice
from vgrad.run.journal import entry_of
from vgrad.store.checkpoints import KEPT, Checkpoint, CheckpointWriter, Kept, checkpoints_of
from vgrad.store.folder import RunFolder
from vgrad.store.size_limit import make_room
from vgrad.train.state import TrainerState


class Told:
    """A writer, and all that it told."""

    def __init__(self, folder: RunFolder) -> None:
        self.saved: list[tuple[Checkpoint, Kept]] = []
        self.failed: list[tuple[int, str]] = []
        self.writer = CheckpointWriter(
            folder,
            on_saved=lambda *told: self.saved.append(told),
            on_failed=lambda *told: self.failed.append(told),
        )


def folder_at(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


def save_all(folder: RunFolder, places: list[tuple[int, int, str]]) -> Told:
    told = Told(folder)
    trainer = toy_trainer()
    for step, num_commands, reason in places:
        while trainer.step < step:
            trainer.train_step()
        told.writer.put(trainer.capture(), num_commands=num_commands, reason=reason)
        with told.writer._changed:  # as slow as the disk, so that no room is missing
            pass
        while told.writer.is_busy:
            threading.Event().wait(0.001)
    told.writer.close()
    return told


def test_a_few_of_each_reason_are_kept_and_their_sizes_are_told(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    told = save_all(folder, [(0, 0, "start"), *((step, 0, "time") for step in range(1, 6)), (6, 1, "end")])
    assert not told.failed
    kept = checkpoints_of(folder)
    assert [(each.step, each.reason) for each in kept] == [
        (0, "start"), (3, "time"), (4, "time"), (5, "time"), (6, "end"),
    ]  # fmt: skip
    assert KEPT["time"] == 3
    _, kept_now = told.saved[-1]
    files = [path for path in folder.checkpoints.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert kept_now == Kept((0, 3, 4, 5, 6), size, 5 * 2**30, 0)
    assert [each.load().step for each in kept] == [0, 3, 4, 5, 6]


def test_more_than_the_limit_of_bytes_is_not_kept_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path)
    [(first, _)] = save_all(folder, [(0, 0, "start")]).saved
    monkeypatch.setenv("VGRAD_MAX_CHECKPOINTS_GIB", str(3.5 * first.num_bytes() / 2**30))
    told = save_all(folder, [(1, 0, "time"), (2, 0, "asked"), (3, 0, "time"), (4, 1, "end")])
    assert [(each.step, each.reason) for each in checkpoints_of(folder)] == [
        (0, "start"), (3, "time"), (4, "end"),
    ]  # fmt: skip
    assert [kept.num_dropped for _, kept in told.saved] == [0, 0, 1, 1]
    monkeypatch.setenv("VGRAD_MAX_CHECKPOINTS_GIB", "1e-9")
    told = save_all(folder, [(5, 1, "asked")])
    assert [each.step for each in checkpoints_of(folder)] == [0, 5], "the newest stays, whatever it takes"
    _, kept = told.saved[-1]
    assert kept.steps == (0, 5)
    saved = CheckpointSaved(
        5, "asked", 100, kept.num_bytes, kept.steps, int(kept.max_bytes), num_dropped=kept.num_dropped
    )
    entry = entry_of(Notice(0, 0.0, 5, 0, saved))
    assert entry is not None and "of at most 1 B; 2 older deleted" in entry.text
    monkeypatch.setenv("VGRAD_MAX_CHECKPOINTS_GIB", "much")
    with pytest.raises(ConfigError, match="VGRAD_MAX_CHECKPOINTS_GIB"):
        make_room()


def test_the_order_is_that_of_the_run_and_not_of_the_names(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    save_all(folder, [(2, 0, "time"), (2, 3, "asked"), (10, 3, "time")])
    assert [each.place for each in checkpoints_of(folder)] == [(2, 0), (2, 3), (10, 3)]


def test_what_a_killed_process_left_is_no_checkpoint_and_is_cleared_away(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    half = folder.checkpoints / ".7-0-time.abc"
    half.mkdir(parents=True)
    (folder.checkpoints / "notes").mkdir()
    (folder.checkpoints / "9-0-time").write_text("a file")
    assert checkpoints_of(folder) == []
    save_all(folder, [(1, 0, "time")])
    assert not half.exists() and (folder.checkpoints / "notes").exists()


def test_what_cannot_be_written_is_told_and_the_next_one_is_tried(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    folder.checkpoints.write_text("in the way")
    told = save_all(folder, [(1, 0, "time")])
    assert [step for step, _ in told.failed] == [1]
    folder.checkpoints.unlink()
    assert len(save_all(folder, [(1, 0, "time")]).saved) == 1


def test_a_disk_that_is_too_slow_makes_nobody_wait(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    goes_on = threading.Event()

    class Slow(TrainerState):
        def save(self, *args: Any) -> None:
            goes_on.wait()
            super().save(*args)

    state = toy_trainer().capture()
    told = Told(folder)
    for num_commands in range(4):
        told.writer.put(Slow(state.run, state.content), num_commands=num_commands, reason="command")
    told.writer.put(Slow(state.run, state.content), num_commands=9, reason="end")
    assert len(told.failed) == 2, "two wait, two are refused; the last one is never refused"
    goes_on.set()
    told.writer.close()
    assert [each.num_commands for each in checkpoints_of(folder)] == [0, 1, 9]
