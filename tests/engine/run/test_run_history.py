"""The one fold of a run's stream, which screens, summaries and progress read."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.batches import make_batch, make_notice
from tests.engine.events.material import step_records
from tests.engine.toys import toy_trainer

from vgrad.controls.controls import Controls, Pause, Set
from vgrad.diagnose.layer_marks import NON_FINITE, OK, ZERO
from vgrad.events.batch import Batch
from vgrad.events.notices import (
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    LayersChanged,
    MetricsLogged,
    RunEnded,
    RunStarted,
    VerdictChanged,
)
from vgrad.events.run_info import RunInfo
from vgrad.events.step_block import blocks_of
from vgrad.events.step_record import ChainLink
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.run.summary import RunSummary

CLIP = CommandApplied(51, Set("clip", ClipGradNorm(1.0)), Controls(clip=ClipGradNorm(1.0)))


def info(**changes: object) -> RunInfo:
    values = RunInfo("a", "", 0, "cpu", ("x", "y", "z"), (1, 4, 9), "tokens", 1000, Controls())
    return dataclasses.replace(values, **changes)  # type: ignore[arg-type]


def history_of(*batches: Batch) -> RunHistory:
    history = RunHistory()
    for batch in batches:
        history.take(batch)
    return history


def test_a_reader_that_takes_all_at_once_knows_what_one_that_followed_knows() -> None:
    session = Session(toy_trainer(steps=300, eval_every=50))
    session.submit(Set("clip", "norm:0.01"))
    live = RunHistory()
    cursor = session.cursor()
    session.start()
    while not session.join(0.01):
        live.take(cursor.take())
    live.take(cursor.take())
    late = history_of(session.drain())
    assert RunSummary.of(live, recipe="a", seed=0) == RunSummary.of(late, recipe="a", seed=0)
    assert list(live.journal) == list(late.journal)
    assert live.validations == late.validations
    assert list(live.marks) == list(late.marks) == [(1, "clip norm 0.01")]
    assert live.clipping() == late.clipping()
    assert str(live.effect()) == str(late.effect())  # some of its numbers are NaN
    for one, other in ((live.losses, late.losses), (live.layers, late.layers)):
        assert one is not None and other is not None
        np.testing.assert_array_equal(one.window(0, 301, 301).mean, other.window(0, 301, 301).mean)
    assert live.phase == "done"


def test_the_journal_has_the_time_of_the_engine_and_the_id_of_the_command() -> None:
    notice = make_notice(CLIP, "mine")
    [entry] = history_of(make_batch(notices=(notice,))).journal
    assert (entry.time_s, entry.step, entry.command_id) == (notice.time_s, 51, "mine")
    assert (entry.kind, entry.text) == ("applied", "clip norm 1  @ 51")


def test_the_share_of_clipped_steps_is_found_by_control_whatever_the_link_is_called() -> None:
    links = (ChainLink("noise", "clip"), ChainLink("clip", "renamed"))
    norms = np.array([4.0, 1.0], dtype=np.float32)
    clipped = step_records(3, grad_norm=2.0, links=links, link_norms=norms)
    history = history_of(make_batch(notices=(RunStarted(info()),)), make_batch(clipped))
    assert history.clipping() == (1.0, 4.0, 1.0)


def test_other_clipping_is_counted_from_its_first_step() -> None:
    links, norms = (ChainLink("clip", "clip norm 1"),), np.ones(1, dtype=np.float32)
    before = step_records(50, grad_norm=1.0, links=links, link_norms=norms)
    after = step_records(20, first=51, grad_norm=3.0, links=links, link_norms=norms)
    history = history_of(make_batch(before), make_batch(after, notices=(CLIP,)))
    assert history.clipping() == (1.0, 3.0, 1.0)


def test_the_noise_scale_is_that_of_the_equations() -> None:
    controls = Controls(accumulate=MeanOver(4))
    steps = step_records(40, grad_norm=2.0, microbatch_square=10.0, num_samples=32, num_microbatches=4)
    history = history_of(make_batch(notices=(RunStarted(info(controls=controls)),)), make_batch(steps))
    gradient_sq, trace = (4 * 4.0 - 10.0) / 3, (10.0 - 4.0) * 32 / 3
    assert history.noise_scale() == (pytest.approx(trace / gradient_sq), "")
    applied = CommandApplied(41, Set("accumulate", MeanOver(2)), Controls(accumulate=MeanOver(2)))
    history.take(make_batch(notices=(applied,)))
    assert math.isnan(history.noise_scale()[0]), "another window, another noise"


def test_the_effect_of_a_command_is_that_of_the_losses_on_both_sides() -> None:
    before, after = step_records(50, loss=2.0), step_records(50, first=51, loss=1.0)
    history = history_of(make_batch(before), make_batch(after, notices=(CLIP,)))
    found = history.effect()
    assert found is not None
    labels, effect = found
    assert labels == ("clip norm 1",)
    assert (effect.num_before, effect.num_after, effect.difference) == (50, 50, -1.0)


def test_of_commands_at_one_step_the_effect_names_the_last_one_about_each_control() -> None:
    asked = (CLIP, *(CommandApplied(51, Set("lr_scale", scale), CLIP.controls) for scale in (0.5, 2.0)))
    twice = CommandApplied(51, Set("clip", ClipGradNorm(3.0)), CLIP.controls)
    history = history_of(make_batch(step_records(50, loss=2.0)), make_batch(notices=(*asked, twice)))
    found = history.effect()
    assert found is not None
    assert found[0] == ("lr × 2", "clip norm 3")


def test_a_command_for_several_parts_is_one_and_each_part_has_its_own_steps_and_losses() -> None:
    both = (
        make_notice(CLIP, "mine", part=0),
        make_notice(dataclasses.replace(CLIP, step=11), "mine", part=1),
    )
    history = history_of(
        make_batch(step_records(50, loss=2.0)),
        make_batch(step_records(10, loss=4.0, part=1)),
        make_batch(step_records(50, first=51, loss=1.0), notices=both),
        make_batch(step_records(50, first=11, loss=3.0, part=1)),
    )
    assert [applied.step for applied in history.commands] == [51]
    assert [entry.line for entry in history.journal] == ["clip norm 1  @ 51", "part 1: clip norm 1  @ 11"]
    for part, step in ((0, 51), (1, 11)):
        history.shown_part = part
        assert (list(history.marks), history.applied_at) == ([(step, "clip norm 1")], {"clip": step})
        found = history.effect()
        assert found is not None
        assert (found[0], found[1].difference) == (("clip norm 1",), -1.0)
    halved = CommandApplied(99, Set("lr_scale", 0.5), dataclasses.replace(CLIP.controls, lr_scale=0.5))
    history.take(make_batch(notices=[make_notice(halved, "another", part=part) for part in (0, 1)]))
    assert [entry.line for entry in history.journal][2:] == ["lr × 0.5  @ 99"]
    only_one = CommandApplied(61, Set("clip", None), Controls())
    history.take(make_batch(notices=(make_notice(only_one, "a third", part=1),)))
    assert history.controls.clip is None
    history.shown_part = 0
    assert history.controls.clip is not None
    assert len(history.commands) == 3


def test_a_pause_changes_no_training_and_leaves_no_mark() -> None:
    history = history_of(make_batch(notices=(CommandApplied(3, Pause(), Controls(paused=True)),)))
    assert not history.marks and history.effect() is None and history.applied_at == {"run": 3}


def test_a_refusal_names_the_command_once() -> None:
    loop = "needs vgrad's own training loop"
    refused = (
        CommandRejected(3, Pause(), f"pause: {loop}"),
        CommandRejected(3, Set("clip", ClipGradNorm(1.0)), loop),
    )
    texts = [entry.text for entry in history_of(make_batch(notices=refused)).journal]
    assert texts == [f"pause: {loop}", f"clip norm 1: {loop}"]


def saved(step: int, reason: str, *kept: int) -> CheckpointSaved:
    return CheckpointSaved(step, reason, 2**20, 2**20 * len(kept), kept, max_bytes=5 * 2**30)


def test_only_the_newest_of_checkpoints_saved_by_time_stands_in_the_journal() -> None:
    clip = CommandApplied(21, Set("clip", "norm:1"), Controls())
    notices = (
        *(saved(step, "time", step) for step in (10, 20)), clip,
        saved(30, "asked", 20, 30), *(saved(step, "time", 20, 30, step) for step in (40, 50)),
    )  # fmt: skip
    history = RunHistory()
    for notice in notices:
        history.take(make_batch(notices=(notice,)))
    assert [entry.text.partition(":")[0] for entry in history.journal] == [
        "checkpoint @ 20", "clip norm 1  @ 21", "checkpoint @ 30", "checkpoint @ 50",
    ]  # fmt: skip
    assert history.journal[-1].text.endswith(": 1.0 MiB; 3 kept, 3.0 MiB of at most 5.0 GiB")


def test_a_run_is_rewound_to_what_is_still_kept() -> None:
    history = history_of(
        make_batch(notices=(RunStarted(info()), *(saved(step, "time", step - 10, step) for step in (10, 20))))
    )
    assert history.rewind_steps == (20, 10, 0)
    history.take(make_batch(notices=(saved(30, "time", 20, 30),)))
    assert history.rewind_steps == (30, 20, 0)


def test_layers_are_marked() -> None:
    norms = np.array([1.0, 0.0, np.inf], dtype=np.float32)
    history = history_of(
        make_batch(notices=(RunStarted(info()),)), make_batch(step_records(1, grad_norms=norms))
    )
    assert history.layer_marks().tolist() == [OK, ZERO, NON_FINITE]
    assert len(RunHistory().layer_marks()) == 0


def test_parts_have_layers_and_verdicts_of_their_own() -> None:
    second = dataclasses.replace(make_notice(RunStarted(info(layers=("u",), layer_sizes=(2,)))), part=1)
    verdict = dataclasses.replace(make_notice(VerdictChanged(5, Verdict("dead", ""))), part=1)
    steps = step_records(5) + step_records(7, part=1, num_layers=1, loss=3.0)
    history = history_of(make_batch(steps, notices=(RunStarted(info()), second, verdict)))
    assert (history.step, history.verdict.kind) == (5, "starting")
    history.shown_part = 1
    assert (history.step, history.verdict.kind) == (7, "dead")
    assert history.layers is not None and history.layers.num_channels == 1
    assert history.record is not None and history.record.loss == 3.0


def test_other_layers_begin_a_history_of_their_own_and_metrics_are_kept_by_name() -> None:
    grown = LayersChanged(5, info(layers=("x", "y", "z", "new"), layer_sizes=(1, 4, 9, 2)))
    history = history_of(
        make_batch(step_records(5), notices=(RunStarted(info()),)),
        make_batch(step_records(5, first=6, num_layers=4), notices=(grown,)),
        make_batch(
            notices=(MetricsLogged(10, (("acc", 0.5), ("f1", 0.25))), MetricsLogged(11, (("acc", 0.75),)))
        ),
    )
    assert history.layers is not None and history.layers.last_step == 10 and history.layers.first_step == 6
    assert len(history.layer_marks()) == 4
    assert history.losses.first_step == 1, "the loss goes on"
    assert history.part.metrics == {"acc": 0.75, "f1": 0.25}
    assert "4 layers" in history.journal[-1].text


def test_before_the_first_step_with_other_layers_their_norms_are_not_known_and_none_stands_out() -> None:
    grown = LayersChanged(5, info(layers=("x", "y", "z", "new"), layer_sizes=(1, 4, 9, 2)))
    verdict = VerdictChanged(5, Verdict("vanishing", "", layers=(2,)))
    start = make_batch(step_records(5), notices=(RunStarted(info()), verdict))
    history = history_of(start, make_batch(notices=(grown,)))
    assert (history.verdict.kind, history.verdict.layers) == ("vanishing", ()), "its layers have other names"
    assert history.record is not None and np.isnan(history.record.grad_norms).tolist() == [True] * 4
    assert history.layer_marks().tolist() == [OK] * 4


def test_layers_of_other_sizes_go_on_with_their_history() -> None:
    grown = LayersChanged(5, info(layer_sizes=(8, 4, 9)))
    history = history_of(
        make_batch(step_records(5), notices=(RunStarted(info()),)),
        make_batch(step_records(5, first=6), notices=(grown,)),
    )
    assert history.layers is not None and (history.layers.first_step, history.layers.last_step) == (1, 10)
    assert list(history.layer_sizes) == [8, 4, 9]
    assert "3 layers of 21 parameters" in history.journal[-1].text


def test_a_loss_that_is_not_known_is_absent_and_breaks_nothing() -> None:
    history = history_of(make_batch(step_records(30, loss=None)))
    summary = RunSummary.of(history, recipe="a", seed=0)
    assert (summary.loss_first, summary.loss_last, summary.verdict) == (None, None, "starting")
    assert history.record is not None and history.record.loss is None
    assert not history.losses.window(1, 31, 30).count.any()


@given(st.integers(1, 400), st.integers(1, 50))
def test_it_does_not_matter_how_the_steps_were_cut(num: int, size: int) -> None:
    steps = step_records(num, skipped=True)
    [block] = blocks_of(steps)
    whole = history_of(Batch((block,)))
    cut = history_of(*(Batch((block[at : at + size],)) for at in range(0, num, size)))
    assert whole.totals == cut.totals
    assert whole.num_skipped == cut.num_skipped == num
    assert whole.clipping() == cut.clipping()
    at_once = history_of(Batch(tuple(block[at : at + size] for at in range(0, num, size))))
    assert at_once.totals == whole.totals and at_once.clipping() == whole.clipping()
    # The speed of the very first step is not known: nobody saw when it began.
    assert math.isnan(at_once.steps_per_s()) == (num == 1)


def test_memory_does_not_grow_with_the_run() -> None:
    history = history_of(make_batch(notices=(RunStarted(info()),)))
    assert history.layers is not None
    size = history.losses.nbytes + history.layers.nbytes
    for first in range(1, 20_001, 1000):
        history.take(make_batch(step_records(1000, first=first)))
    assert history.losses.nbytes + history.layers.nbytes == size


def test_the_end_says_how_it_ended() -> None:
    end = RunEnded(5, "failed", 1.0, None, None, 2.0, error="it broke")
    history = history_of(make_batch(step_records(5), notices=(RunStarted(info()), end)))
    assert history.phase == "failed"
    assert history.journal[-1].text == "failed: it broke"
    summary = RunSummary.of(history, recipe="a", seed=0)
    assert (summary.outcome, summary.error, summary.loss_first) == ("failed", "it broke", 1.0)


def test_the_journal_says_why_a_run_ended_before_all_its_steps() -> None:
    end = RunEnded(5, "done", 1.0, None, None, 2.0, message="the data ended")
    history = history_of(make_batch(step_records(5), notices=(RunStarted(info()), end)))
    assert history.journal[-1].text == "done: the data ended"


def test_the_journal_says_nothing_of_a_seed_that_is_not_known() -> None:
    started = [make_batch(notices=(RunStarted(info(seed=seed)),)) for seed in (0, None)]
    assert [history_of(batch).journal[0].text for batch in started] == [
        "a started on cpu, seed 0",
        "a started on cpu",
    ]


def test_norms_that_are_infinite_before_and_after_the_chain_count_as_not_clipped() -> None:
    steps = step_records(3, grad_norm=math.inf, applied_norm=math.inf, links=(), link_norms=None)
    history = history_of(make_batch(steps, notices=(RunStarted(info()),)))
    assert history.part.clipping() == (0.0, math.inf, math.inf)
