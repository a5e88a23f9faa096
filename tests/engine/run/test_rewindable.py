"""A live run is rewound: a run of its own goes on bit for bit, and nothing of the old one is overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.engine.run.test_resume import losses, small
from tests.waiting import PATIENCE_S, until

from vgrad.controls.controls import Command, Pause, Reinit, Rewind, Set, Stop
from vgrad.events.notices import CommandApplied, CommandRejected, NoticeBody, RunEnded, RunStarted
from vgrad.run.rewindable import FollowingCursor, RewindableRun
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store.attached_run import AttachedRun
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.run_record import RunRecord


class Driver:
    """Steers a run, and folds what a reader sees."""

    def __init__(self, run: RewindableRun, cursor: FollowingCursor) -> None:
        self.run, self.cursor = run, cursor
        self.history = RunHistory()
        self.notices: list[NoticeBody] = []

    def look(self) -> None:
        batch = self.cursor.take()
        self.history.take(batch)
        self.notices += [notice.body for notice in batch.notices]

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, look=self.look, shown=lambda: self.notices)

    def until_step(self, step: int) -> None:
        self.until(lambda: self.history.step >= step)

    def ask(self, command: Command) -> CommandApplied | CommandRejected:
        self.run.submit(command)

        def answers() -> list[CommandApplied | CommandRejected]:
            kinds = CommandApplied | CommandRejected
            return [body for body in self.notices if isinstance(body, kinds) and body.command == command]

        self.until(answers)
        return answers()[0]

    def until_parent(self, name: str) -> None:
        def has_parent() -> bool:
            info = self.history.info
            return info is not None and info.parent is not None and info.parent.run == name

        self.until(has_parent)

    def finish(self) -> None:
        self.run.stop()
        assert self.run.join(PATIENCE_S)
        self.look()
        self.look()


@contextmanager
def driven(**settings: object) -> Iterator[Driver]:
    with RewindableRun(Session.from_config(small("depth-tanh", **settings)), "wound") as run:
        driver = Driver(run, run.cursor())
        run.start()
        try:
            yield driver
        finally:
            driver.finish()


def test_it_goes_on_bit_for_bit_in_a_run_of_its_own_and_the_old_record_stays() -> None:
    with driven() as driver:
        first = driver.run.folder
        assert first is not None
        driver.until_step(10)
        assert isinstance(driver.ask(Reinit("he")), CommandApplied)
        driver.until_step(driver.history.step + 5)
        answer = driver.ask(Rewind(6))
        assert isinstance(answer, CommandApplied) and answer.step == 7
        driver.until_parent(first.name)
        driver.until_step(20)
        second = driver.run.folder
        assert second is not None and second != first and first.newest() == second
    old, new = losses(first), losses(second)
    assert min(new) == 7 and min(old) == 1
    clean = {step: loss for step, loss in old.items() if step < RunRecord.read(first).commands[0].step}
    assert {step: new[step] for step in clean if step in new} == {s: v for s, v in clean.items() if s > 6}
    parent = RunRecord.read(second).info.parent
    assert parent is not None and (parent.run, parent.step) == (first.name, 6)
    assert sum(isinstance(body, RunEnded) for body in driver.notices) == 2
    assert driver.history.step == max(new), "a reader's history is that of the new course"
    assert first.newest() == first, "where nothing is alive, each name means its own record"


def test_a_screen_that_is_attached_follows() -> None:
    with driven() as driver:
        first = driver.run.folder
        assert first is not None
        driver.until_step(5)
        until(first.database.exists)
        attached, seen = AttachedRun(first), RunHistory()
        seen.take(attached.drain())
        attached.submit(Rewind(3))
        until(
            lambda: seen.info and seen.info.parent and seen.step >= 10,
            look=lambda: seen.take(attached.drain()),
        )
        assert seen.info is not None and seen.info.parent is not None
        assert seen.info.parent.run == first.name and attached.is_alive
        attached.submit(Stop())
        assert attached.join(PATIENCE_S)
        attached.close()


def test_a_rewind_that_cannot_be_carried_out_ends_the_run_with_its_reason_on_every_screen() -> None:
    with driven() as driver:
        driver.until_step(10)
        first = driver.run.folder
        assert first is not None
        driver.ask(Pause())
        attached, seen = AttachedRun(first), RunHistory()

        def look() -> None:
            seen.take(attached.drain())
            driver.look()

        until(lambda: seen.controls.paused and seen.step == driver.history.step, look=look)
        with closing(sqlite3.connect(first.database, timeout=PATIENCE_S)) as connection:
            connection.execute("DELETE FROM steps")  # as where the disk was full for a while
            connection.commit()
        assert isinstance(driver.ask(Rewind(8)), CommandApplied)
        for history in (driver.history, seen):
            until(lambda: history.phase == "failed", look=look, shown=lambda: history.ended)  # noqa: B023
            assert history.ended is not None and "has no step 8" in str(history.ended.error)
        attached.close()


def test_a_rewind_that_finds_no_room_is_refused_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driven() as driver:
        driver.until_step(4)
        tmp_path.chmod(0o777)
        monkeypatch.setenv("VGRAD_LOCAL", str(tmp_path))  # where nothing of ours is safe
        answer = driver.ask(Rewind(2))
        assert isinstance(answer, CommandRejected) and "VGRAD_LOCAL" in answer.reason
        driver.until_step(driver.history.step + 3)


def test_a_run_on_a_local_disk_is_rewound_there_and_goes_on_printing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    monkeypatch.setenv("VGRAD_LOCAL", str(tmp_path / "local"))
    with driven() as driver:
        first = driver.run.folder
        assert first is not None
        first.log.write_text("printed so far\n")
        driver.until_step(6)
        driver.ask(Rewind(3))
        driver.until_parent(first.name)
        second = driver.run.folder
        assert second is not None and second.log.read_text() == "printed so far\n"
        assert second.path.parent == tmp_path / "local" and first.newest() == second
        assert first.settled().path.parent == own_home / "runs", "the one that has ended has moved"
    assert second.settled().path.parent == own_home / "runs"


@pytest.mark.parametrize("step", [-1, 10**6])
def test_a_step_that_it_has_not_done_is_refused_and_training_goes_on(step: int) -> None:
    with driven() as driver:
        driver.until_step(2)
        answer = driver.ask(Rewind(step))
        assert isinstance(answer, CommandRejected)
        driver.until_step(driver.history.step + 3)
    assert len(all_runs()) == 1


def test_a_rewound_run_can_be_rewound_again_but_not_beyond_where_it_began() -> None:
    with driven() as driver:
        driver.until_step(8)
        first = driver.run.folder
        assert first is not None
        assert isinstance(driver.ask(Rewind(5)), CommandApplied)
        driver.until_parent(first.name)
        second = driver.run.folder
        assert second is not None
        driver.until_step(9)
        assert isinstance(driver.ask(Rewind(4)), CommandRejected)
        assert isinstance(driver.ask(Rewind(7)), CommandApplied)
        driver.until_parent(second.name)
        third: RunFolder | None = driver.run.folder
        driver.until_step(12)
    assert third is not None
    shared = losses(second).keys() & losses(third).keys()
    assert shared and all(losses(second)[step] == losses(third)[step] for step in shared)


def test_a_reader_that_looks_seldom_misses_no_run_between_two_rewinds() -> None:
    with driven() as driver:
        driver.until_step(8)
        often = Driver(driver.run, driver.run.cursor())
        folders = []
        for step in (5, 6):
            folder = driver.run.folder
            assert folder is not None
            folders.append(folder.name)
            assert isinstance(often.ask(Rewind(step)), CommandApplied)
            often.until_parent(folder.name)
            often.until_step(10)
        assert driver.history.info is not None and driver.history.info.parent is None
        driver.until_parent(folders[-1])
    parents = [b.info.parent.run for b in driver.notices if isinstance(b, RunStarted) and b.info.parent]
    assert parents == folders
    assert driver.cursor.take().notices == ()


def test_what_was_paused_stays_paused_and_its_settings_are_those_of_the_step() -> None:
    with driven() as driver:
        driver.until_step(4)
        first = driver.run.folder
        assert first is not None
        driver.ask(Set("lr_scale", 0.5))
        driver.ask(Pause())
        driver.ask(Rewind(2))
        driver.until_parent(first.name)
        driver.until(lambda: driver.history.controls.paused)
        assert driver.history.controls.lr_scale == 1.0


def test_what_is_not_recorded_cannot_be_rewound() -> None:
    with RewindableRun(Session.from_config(small("depth-tanh")), "bare", record=False) as run:
        driver = Driver(run, run.cursor())
        run.start()
        driver.until_step(2)
        answer = driver.ask(Rewind(1))
        assert isinstance(answer, CommandRejected) and "not recorded" in answer.reason
        driver.finish()
    assert sum(isinstance(body, RunStarted) for body in driver.notices) == 1
