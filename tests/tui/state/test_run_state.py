from __future__ import annotations

import math

import numpy as np
from tests.batches import make_batch, make_notice
from tests.tui.scripted import LAYERS, ended, make_info, make_record, records, script

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.controls import Controls, Pause, Set
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandApplied, CommandRejected, RunStarted, Validated
from vgrad.methods.clip import ClipGradNorm
from vgrad_tui.state.run_state import State

CLIP = Set("clip", ClipGradNorm(1.0))


def started() -> State:
    state = State()
    state.take(make_batch(notices=(RunStarted(make_info()),)))
    return state


def answer(body: CommandApplied | CommandRejected, command_id: str) -> Batch:
    return make_batch(notices=(make_notice(body, command_id),))


def test_what_is_asked_is_not_applied() -> None:
    state = started()
    state.ask(CLIP, "a")
    assert state.pending_on("clip") == CLIP
    assert state.controls.clip is None
    assert state.wanted.clip == ClipGradNorm(1.0)


def test_an_answer_applies_and_ends_the_waiting() -> None:
    state = started()
    state.ask(CLIP, "a")
    state.take(answer(CommandApplied(42, CLIP, Controls(clip=ClipGradNorm(1.0))), "a"))
    assert state.pending_on("clip") is None
    assert state.controls.clip == ClipGradNorm(1.0)
    assert state.applied_at["clip"] == 42
    assert list(state.marks) == [(42, "clip norm 1")]


def test_a_refusal_leaves_the_controls_and_is_told() -> None:
    state = started()
    bad = Set("accumulate", 0)
    state.ask(bad, "a")
    assert state.wanted == state.controls
    state.take(answer(CommandRejected(7, bad, "must be a whole number"), "a"))
    assert state.controls == Controls() and not state.pending and not state.marks
    assert state.rejected is not None and "whole number" in state.rejected.reason
    assert "whole number" in state.journal[-1].text


def test_what_the_run_cannot_do_is_not_expected() -> None:
    state = State()
    refusing = make_info(capabilities=Capabilities((Refusal("clip", "", "cannot be used here"),)))
    state.take(make_batch(notices=(RunStarted(refusing),)))
    state.ask(CLIP, "a")
    assert state.pending_on("clip") == CLIP
    assert state.wanted == state.controls


def test_an_answer_belongs_to_the_command_whose_id_it_carries() -> None:
    state = started()
    applied = CommandApplied(3, CLIP, Controls(clip=ClipGradNorm(1.0)))
    state.ask(CLIP, "a")
    state.ask(Set("lr_scale", 0.5), "b")
    state.ask(CLIP, "c")
    state.take(answer(applied, "somebody else's"))
    assert state.controls.clip == ClipGradNorm(1.0), "what others did is shown, too"
    assert state.pending == (CLIP, Set("lr_scale", 0.5), CLIP)
    state.take(answer(applied, "c"))
    assert state.pending == (CLIP, Set("lr_scale", 0.5))
    state.take(answer(CommandRejected(4, CLIP, "no"), "a"))
    assert state.pending == (Set("lr_scale", 0.5),)


def test_undo_restores_what_was_wanted_before() -> None:
    state = started()
    state.ask(Set("lr_scale", 0.5), "a")
    state.ask(Set("lr_scale", 0.25), "b")
    assert state.pop_undo() == Set("lr_scale", 0.5)
    assert state.pop_undo() == Set("lr_scale", 1.0)
    assert state.pop_undo() is None
    state.ask(Pause(), "c")
    assert state.pop_undo() is None


def test_speed_and_time_left_follow_the_records() -> None:
    state = started()
    for first in (1, 101, 201):
        state.take(make_batch(records=records(first, first + 99)))
    assert math.isclose(state.steps_per_s(), 100.0, rel_tol=1e-6)
    assert math.isclose(state.items_per_s(), 102_400.0, rel_tol=1e-6)
    assert math.isclose(state.time_left_s(), 7.0, rel_tol=1e-6)


def test_clipping_counts_only_steps_that_were_really_clipped() -> None:
    state = started()
    halves = [
        make_record(step, applied_norm=make_record(step).grad_norm * (0.5 if step % 4 == 0 else 1.0))
        for step in range(1, 101)
    ]
    state.take(make_batch(records=tuple(halves)))
    fires, before, after = state.clipping()
    assert fires == 0.25
    assert before > 0 and after <= before


def test_the_effect_stands_from_a_hundred_steps_to_the_next_horizon() -> None:
    state = started()
    rng = np.random.default_rng(0)
    loss = lambda step: float((3.0 if step < 150 else 1.0) + 0.05 * rng.standard_normal())  # noqa: E731
    state.take(make_batch(records=tuple(make_record(step, loss=loss(step)) for step in range(1, 150))))
    state.take(make_batch(notices=(CommandApplied(150, CLIP, Controls(clip=ClipGradNorm(1.0))),)))
    state.take(make_batch(records=tuple(make_record(step, loss=loss(step)) for step in range(150, 260))))
    found = state.effect()
    assert found is not None
    label, effect = found
    assert label == ("clip norm 1",)
    assert "3" in effect.words() and "1" in effect.words()
    state.take(make_batch(records=tuple(make_record(step, loss=9.0) for step in range(260, 400))))
    assert state.effect() == found


def test_validations_stay_few_and_keep_the_newest() -> None:
    state = started()
    state.take(make_batch(notices=tuple(Validated(step, 1.0) for step in range(10_000))))
    assert len(state.validations) <= 2_000
    steps = [step for step, _ in state.validations]
    assert steps == sorted(steps) and steps[-1] == 9_999 and steps[0] == 0


def test_phases_follow_the_run() -> None:
    state = State()
    assert state.phase == "preparing"
    for batch in script(100):
        state.take(batch)
    assert state.phase == "training"
    state.take(make_batch(notices=(CommandApplied(101, Pause(), Controls(paused=True)),)))
    assert state.phase == "paused"
    state.ask(CLIP, "a")
    state.take(make_batch(notices=(ended(100, reason="stopped"),)))
    assert state.phase == "stopped" and not state.pending


def test_layer_history_has_a_channel_per_layer() -> None:
    state = started()
    state.take(make_batch(records=records(1, 20)))
    assert state.layers is not None and state.layers.num_channels == len(LAYERS)
    tail = state.layers.tail(1, 1, [2])
    assert tail.max[0, 0] == make_record(20).grad_norms[2]


def test_clipping_is_counted_from_the_step_that_it_took_effect_at() -> None:
    state = started()
    state.take(make_batch(records=records(1, 100)))
    halved = tuple(
        make_record(step, applied_norm=make_record(step).grad_norm / 2) for step in range(101, 111)
    )
    applied = CommandApplied(101, CLIP, Controls(clip=ClipGradNorm(1.0)))
    state.take(make_batch(records=(make_record(100), *halved)[1:], notices=(applied,)))
    assert state.clipping()[0] == 1.0


def test_an_effect_does_not_look_back_beyond_the_change_before() -> None:
    state = started()
    losses = {**dict.fromkeys(range(1, 101), 5.0), **dict.fromkeys(range(101, 201), 2.0)}
    take = lambda first, last: state.take(  # noqa: E731
        make_batch(tuple(make_record(s, loss=losses[s] + 0.01 * (s % 3)) for s in range(first, last + 1)))
    )
    take(1, 100)
    state.take(make_batch(notices=(CommandApplied(101, CLIP, Controls(clip=ClipGradNorm(1.0))),)))
    take(101, 140)
    state.take(make_batch(notices=(CommandApplied(141, Set("lr_scale", 0.5), Controls(lr_scale=0.5)),)))
    take(141, 200)
    found = state.effect()
    assert found is not None
    assert found[0] == ("lr × 0.5",)
    assert "no more than noise" in found[1].words()
