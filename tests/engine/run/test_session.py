"""A session in its real thread. Nothing here waits by the clock: a test waits for what it is told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.engine.toys import ToyStream, toy_task, toy_trainer
from tests.waiting import PATIENCE_S, until

from vgrad.config import RunConfig
from vgrad.controls.controls import (
    CheckGradients,
    Controls,
    Pause,
    Reinit,
    Resume,
    Set,
    StepOnce,
    Stop,
    UndoReinit,
)
from vgrad.errors import ConfigError
from vgrad.events.hub import Hub
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import (
    CommandApplied,
    CommandRejected,
    NoticeBody,
    Preparing,
    RunEnded,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.run.session import Session
from vgrad.watching.safe_point import MOST_PER_STEP


class Listener:
    """Collects what a session tells."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.records: list[StepRecord] = []
        self.notices: list[NoticeBody] = []
        self.num_dropped = 0
        self.verdict: Verdict | None = None
        self.stats: LayerStats | None = None

    def drain(self) -> None:
        batch = self.session.drain()
        self.records += [record for block in batch.blocks for record in block.records()]
        self.notices += [notice.body for notice in batch.notices]
        self.num_dropped += batch.num_dropped
        for snapshot in batch.snapshots.values():
            self.verdict = snapshot.verdict or self.verdict
            self.stats = snapshot.stats or self.stats

    def wait_for(self, done: Callable[[], bool]) -> None:
        try:
            until(done, look=self.drain, shown=lambda: self.notices)
        except AssertionError:
            self.session.stop()  # else it trains on, and is seen by the tests that follow
            raise

    def wait_for_step(self, step: int) -> None:
        self.wait_for(lambda: bool(self.records) and self.records[-1].step >= step)

    def finish(self) -> RunEnded:
        assert self.session.join(PATIENCE_S)
        self.drain()
        ended = self.notices[-1]
        assert isinstance(ended, RunEnded), "RunEnded is always the last notice"
        assert sum(isinstance(notice, RunEnded) for notice in self.notices) == 1
        return ended

    def of(self, kind: type[Any]) -> list[Any]:
        return [notice for notice in self.notices if isinstance(notice, kind)]


def started(session: Session) -> Listener:
    session.start()
    return Listener(session)


def toy_session(**settings: Any) -> Session:
    return Session(toy_trainer(**settings))


def test_a_run_of_n_steps_reports_each_once_and_ends() -> None:
    listener = started(toy_session(steps=50, eval_every=20))
    ended = listener.finish()
    assert [record.step for record in listener.records] == list(range(1, 51))
    assert isinstance(listener.notices[0], RunStarted)
    assert [notice.step for notice in listener.of(Validated)] == [20, 40, 50]
    assert (ended.step, ended.reason, ended.error) == (50, "done", None)
    assert ended.loss_first == listener.records[0].loss
    assert ended.loss_last == listener.records[-1].loss
    assert ended.val_loss == listener.of(Validated)[-1].loss
    assert ended.steps_per_s > 0


def test_watching_from_a_thread_trains_exactly_as_stepping_does() -> None:
    listener = started(toy_session(steps=40, eval_every=7))
    listener.finish()
    alone = toy_trainer()
    assert [record.loss for record in listener.records] == [alone.train_step().loss for _ in range(40)]


def test_a_paused_run_has_told_of_every_step_before() -> None:
    listener = started(toy_session())
    listener.wait_for_step(5)
    listener.session.submit(Pause())
    listener.wait_for(lambda: bool(listener.of(CommandApplied)))
    (paused,) = listener.of(CommandApplied)
    assert listener.records[-1].step == paused.step - 1
    listener.session.submit(StepOnce())
    listener.wait_for_step(paused.step)  # though nothing comes after it
    listener.session.stop()
    listener.finish()


def test_weights_drawn_anew_are_judged_anew() -> None:
    listener = started(toy_session())
    listener.wait_for(lambda: len(listener.of(VerdictChanged)) == 1)
    listener.session.submit(Reinit("xavier"))
    listener.wait_for(lambda: len(listener.of(VerdictChanged)) == 2)
    listener.session.stop()
    listener.finish()
    assert [notice.verdict.kind for notice in listener.of(VerdictChanged)] == ["healthy", "healthy"]
    [drawn] = listener.of(CommandApplied)[:1]
    assert listener.of(VerdictChanged)[1].step >= drawn.step + 19, "a verdict needs a past of its own"


def test_old_weights_that_come_back_get_their_old_verdict_back() -> None:
    listener = started(Session.from_config(RunConfig.make(recipe="charlm-rnn", device="cpu")))
    listener.wait_for(lambda: any(n.verdict.kind == "exploding" for n in listener.of(VerdictChanged)))
    listener.session.submit(Pause())
    listener.session.submit(Reinit("orthogonal"))
    listener.wait_for(lambda: listener.verdict is not None and listener.verdict.kind == "starting")
    listener.session.submit(UndoReinit())
    listener.wait_for(lambda: listener.verdict is not None and listener.verdict.kind == "exploding")
    listener.session.stop()
    listener.finish()


def test_a_command_is_answered_with_the_step_it_takes_effect_at() -> None:
    listener = started(toy_session())
    listener.wait_for_step(3)
    for command in (Set("lr_scale", 0.5), Set("accumulate", 3), Set("clip", ClipGradNorm(0.01))):
        listener.session.submit(command)
    listener.wait_for(lambda: len(listener.of(CommandApplied)) == 3)
    lr, accumulation, clip = listener.of(CommandApplied)
    listener.wait_for_step(clip.step + 2)
    listener.session.stop()
    listener.finish()
    by_step = {record.step: record for record in listener.records}
    assert by_step[lr.step].lr == pytest.approx(0.5 * by_step[lr.step].base_lr)
    assert by_step[lr.step - 1].lr == by_step[lr.step - 1].base_lr
    assert by_step[accumulation.step].num_microbatches == 3
    assert by_step[accumulation.step - 1].num_microbatches == 1
    assert by_step[clip.step].applied_norm <= 0.01 * 1.001
    assert clip.controls == Controls(clip=ClipGradNorm(0.01), accumulate=MeanOver(3), lr_scale=0.5)


def test_nonsense_is_rejected_in_words_and_training_goes_on() -> None:
    listener = started(toy_session())
    nonsense: list[Any] = [
        Set("lr_scale", float("nan")),
        Set("accumulate", 0),
        Set("clip", 3),
        "faster",
        None,
    ]  # type: ignore[arg-type]
    for command in nonsense:
        listener.session.submit(command)
    listener.wait_for(lambda: len(listener.of(CommandRejected)) == len(nonsense))
    step = listener.records[-1].step if listener.records else 0
    listener.wait_for_step(step + 3)
    listener.session.stop()
    assert listener.finish().reason == "stopped"
    assert all(notice.reason for notice in listener.of(CommandRejected))


def test_paused_means_that_no_step_is_made_until_told() -> None:
    session = toy_session()
    session.submit(Pause())
    session.submit(StepOnce())
    session.submit(StepOnce())
    session.submit(StepOnce())
    listener = started(session)
    listener.wait_for(lambda: len(listener.of(CommandApplied)) == 4)
    listener.wait_for_step(3)
    assert [notice.step for notice in listener.of(CommandApplied)] == [1, 1, 2, 3]
    session.submit(Set("lr_scale", 2.0))  # commands are heard in a pause
    listener.wait_for(lambda: len(listener.of(CommandApplied)) == 5)
    assert [record.step for record in listener.records] == [1, 2, 3]
    session.submit(Resume())
    listener.wait_for_step(6)
    session.stop()
    listener.finish()
    assert listener.records[3].lr == 2 * listener.records[2].lr


def test_stopping_ends_a_paused_run() -> None:
    session = toy_session()
    session.submit(Pause())
    listener = started(session)
    listener.wait_for(lambda: bool(listener.of(CommandApplied)))
    session.stop()
    ended = listener.finish()
    assert (ended.reason, ended.step, ended.val_loss) == ("stopped", 0, None)


def test_a_pause_does_not_count_as_training_time() -> None:
    session = toy_session(steps=3)
    session.submit(Pause())
    listener = started(session)
    listener.wait_for(lambda: bool(listener.of(CommandApplied)))
    time.sleep(0.5)
    resumed = time.monotonic()
    session.submit(Resume())
    listener.finish()
    assert listener.records[0].step_s <= time.monotonic() - resumed


def test_an_exception_in_the_model_ends_the_run_with_its_traceback() -> None:
    session = Session(toy_trainer(toy_task(fails_at=5), steps=100))
    listener = started(session)
    ended = listener.finish()
    assert (ended.reason, ended.step) == ("failed", 4)
    assert ended.error == "ZeroDivisionError: made to fail"
    assert ended.traceback_text is not None
    assert "in loss" in ended.traceback_text
    assert isinstance(session.exception, ZeroDivisionError)
    assert [record.step for record in listener.records] == [1, 2, 3, 4]


def test_a_failed_run_leaves_no_hook_behind() -> None:
    task = toy_task(fails_at=5)
    started(Session(toy_trainer(task))).finish()
    task.optimizer.step()  # a hook would refuse this


def test_a_trainer_that_cannot_be_built_is_a_failed_run() -> None:
    session = Session.from_config(RunConfig.make(recipe="no-such-recipe"))
    listener = started(session)
    ended = listener.finish()
    assert ended.reason == "failed"
    assert ended.step == 0
    assert "no-such-recipe" in str(ended.error)
    assert isinstance(session.exception, ConfigError)
    assert listener.of(Preparing)


def test_finite_data_ends_the_run_when_it_ends() -> None:
    task = toy_task(stream=ToyStream([4] * 7))
    ended = started(Session(toy_trainer(task, steps=100, accumulate=2))).finish()
    assert (ended.reason, ended.step) == ("done", 4)


def test_a_reader_that_never_reads_costs_history_and_no_notice() -> None:
    session = toy_session(steps=6000, eval_every=0)
    session._hub = Hub(max_bytes=100_000)  # the usual one holds more steps than a test can wait for
    session._cursor = session.cursor()
    for scale in range(1, 301):
        session.submit(Set("lr_scale", 1 / scale))
    listener = started(session)
    assert session.join(PATIENCE_S)
    listener.finish()
    assert listener.num_dropped + len(listener.records) == 6000
    assert listener.num_dropped > 0
    assert listener.records[-1].step == 6000
    assert len(listener.of(CommandApplied)) == 300
    assert len(listener.of(RunStarted)) == len(listener.of(Validated)) == 1


def test_a_non_finite_loss_is_reported_as_what_it_is() -> None:
    listener = started(Session(toy_trainer(steps=30, lr_scale=1e6)))
    listener.finish()
    kinds = [notice.verdict.kind for notice in listener.of(VerdictChanged)]
    assert kinds[-1] == "non-finite"


def test_a_stop_before_the_start_ends_the_run_at_once() -> None:
    session = toy_session()
    session.submit(Stop())
    assert started(session).finish().step == 0


def test_commands_that_wait_behind_the_end_are_refused_before_it_is_reported() -> None:
    session = Session(toy_trainer())
    cursor = session.cursor()
    ids = [session.submit(command) for command in (Set("clip", "norm:1"), Stop(), Set("clip", "off"))]
    session.start()
    assert session.join(PATIENCE_S)
    notices = cursor.take().notices
    answers = [notice for notice in notices if notice.command_id is not None]
    assert [answer.command_id for answer in answers] == ids
    assert isinstance(answers[-1].body, CommandRejected)
    assert answers[-1].body.reason == "the run has ended"
    assert isinstance(notices[-1].body, RunEnded)


def test_a_client_that_asks_without_end_does_not_hold_up_the_steps() -> None:
    session = Session(toy_trainer())
    commands = [Set("lr_scale", 1.0)] * (4 * MOST_PER_STEP)
    ids = [session.submit(command) for command in (*commands, Stop())]
    cursor = session.cursor()
    session.start()
    assert session.join(PATIENCE_S)
    batch = cursor.take()
    steps = {notice.body.step for notice in batch.notices if isinstance(notice.body, CommandApplied)}
    assert steps == {1, 2, 3, 4, 5}, "each step is preceded by so many of them"
    assert [notice.command_id for notice in batch.notices if notice.command_id is not None] == ids


def test_a_run_that_is_lost_to_nan_takes_its_remedy_and_learns() -> None:
    """A ReLU network that is NaN after a few steps; somebody pauses it, and applies what is offered."""
    config = RunConfig.make(recipe="charlm-rnn", lr=3.0, options={"model.activation": "relu"})
    session = Session.from_config(config)
    listener = started(session)

    def is_lost() -> bool:
        return any(notice.verdict.kind == "non-finite" for notice in listener.of(VerdictChanged))

    listener.wait_for(is_lost)
    session.submit(Pause())
    listener.wait_for(lambda: bool(listener.of(CommandApplied)))
    verdict = listener.verdict
    assert verdict is not None
    assert verdict.kind == "non-finite", "what was published before must not outlive the change"
    for command in (*verdict.remedy, Resume()):
        session.submit(command)
    listener.wait_for(lambda: len(listener.of(CommandApplied)) == 4)
    resumed = listener.of(CommandApplied)[-1].step
    listener.wait_for_step(resumed + 160)  # which weights it draws depends on when the pause comes
    session.stop()
    listener.finish()
    assert not math.isfinite(next(record.loss for record in listener.records if record.step == resumed - 1))
    losses = [record.loss for record in listener.records if record.step >= resumed]
    assert all(map(math.isfinite, losses))
    assert sum(losses[-20:]) / 20 < listener.records[0].loss - 1.0
    assert listener.verdict is not None and listener.verdict.kind == "healthy"


def test_new_weights_have_no_verdict_and_no_measurements_of_the_old() -> None:
    session = toy_session()
    listener = started(session)
    listener.wait_for(lambda: listener.stats is not None and bool((listener.stats.measured_step >= 0).any()))
    session.submit(Pause())
    listener.wait_for(lambda: bool(listener.of(CommandApplied)))
    session.submit(Reinit("torch"))
    listener.wait_for(lambda: len(listener.of(CommandApplied)) == 2)
    listener.wait_for(lambda: listener.verdict is not None and listener.verdict.kind == "starting")
    assert listener.stats is not None
    assert (listener.stats.measured_step == -1).all()
    assert math.isnan(float(listener.stats.update_ratio.max()))
    session.stop()
    listener.finish()


def test_a_check_that_cannot_be_made_is_refused_and_training_goes_on() -> None:
    trainer = toy_trainer(steps=30)
    with torch.no_grad():
        next(trainer.task.model.parameters()).view(-1)[0] = math.nan
    session = Session(trainer)
    session.submit(CheckGradients())
    listener = started(session)
    assert listener.finish().reason == "done"
    [refused] = listener.of(CommandRejected)
    assert refused.command == CheckGradients()
    assert "the loss is nan" in refused.reason
    assert not listener.of(CommandApplied)
    assert len(listener.records) == 30


def test_a_weight_too_large_for_the_step_is_not_resolved_and_ends_nothing() -> None:
    trainer = toy_trainer(steps=5)
    with torch.no_grad():
        for param in trainer.task.model.parameters():
            param.fill_(1e14)
    session = Session(trainer)
    session.submit(CheckGradients())
    listener = started(session)
    assert listener.finish().reason == "done"
    [refused] = listener.of(CommandRejected)
    assert "too large" in refused.reason


# -- several readers and clients -----------------------------------------------------------------


def test_two_clients_never_take_each_others_answer() -> None:
    session = toy_session()
    session.submit(Pause())
    asked: dict[str, list[str]] = {"a": [], "b": []}

    def client(name: str) -> None:
        for number in range(1, 51):
            asked[name].append(session.submit(Set("lr_scale", 1 / number)))

    threads = [threading.Thread(target=client, args=(name,)) for name in asked]
    cursors = [session.cursor(), session.cursor()]
    session.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.stop()
    assert session.join(PATIENCE_S)
    streams = [cursor.take().notices for cursor in cursors]
    assert streams[0] == streams[1] == session.drain().notices, "all see all notices in one order"
    assert [notice.sequence for notice in streams[0]] == list(range(len(streams[0])))
    times = [notice.time_s for notice in streams[0]]
    assert times == sorted(times)
    answered = [notice.command_id for notice in streams[0] if isinstance(notice.body, CommandApplied)]
    assert len(set(answered)) == len(answered)
    for ids in asked.values():
        assert [command_id for command_id in answered if command_id in ids] == ids, "each its own, in order"


def test_a_refusal_carries_the_id_that_the_client_chose() -> None:
    session = toy_session(steps=1)
    assert session.submit(Set("accumulate", 0), command_id="mine") == "mine"
    session.start()
    assert session.join(PATIENCE_S)
    [answer] = [notice for notice in session.drain().notices if isinstance(notice.body, CommandRejected)]
    assert answer.command_id == "mine"


def test_leaving_a_screen_is_not_ending_a_run() -> None:
    session = toy_session(steps=200)
    screen = session.attach()
    screen.start()
    screen.close()
    listener = Listener(session)
    ended = listener.finish()
    assert (ended.reason, ended.step) == ("done", 200)
    assert not screen.drain().notices


@pytest.mark.parametrize("attached", [True, False])
def test_a_lost_run_is_paused_only_while_a_screen_is_attached(attached: bool) -> None:
    session = Session(toy_trainer(steps=60, lr_scale=1e6))
    screen = session.attach()
    if not attached:
        screen.close()
    listener = started(session)
    if attached:
        listener.wait_for(lambda: any(n.command == Pause() for n in listener.of(CommandApplied)))
        [paused] = [n for n in listener.of(CommandApplied) if n.command == Pause()]
        assert listener.records[-1].step == paused.step - 1 < 60
        session.submit(Resume())  # a user who resumes is not paused again
    assert listener.finish().step == 60
    assert sum(n.command == Pause() for n in listener.of(CommandApplied)) == attached
