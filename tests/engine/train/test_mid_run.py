"""What can be changed while it trains: passes, precision, optimizer, rate, structure, weights."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from tests.engine.changes import CHANGES
from tests.engine.toys import ToyStream, toy_task, toy_trainer
from torch import Tensor, nn

import vgrad
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Number
from vgrad.controls.controls import CheckGradients, Pause, Reinit, Set, UndoReinit
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.task import Microbatch
from vgrad.train.reinit import MOST_UNDONE
from vgrad.train.trainer import Trainer

SMALL = {"model.depth": 4, "model.width": 8}


def weights_of(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in trainer.task.model.parameters()])


def small_rnn(**settings: object) -> Trainer:
    options = {"hidden": 8, "embed": 4, "seq_len": 12}
    return vgrad.build("charlm-rnn", batch_size=4, options=options, **settings)


@pytest.mark.parametrize(("name", "word"), CHANGES)
def test_every_kind_of_every_control_trains_from_the_next_step_on(name: str, word: str) -> None:
    trainer = vgrad.build("depth-tanh", options=SMALL, batch_size=8)
    trainer.train_step()
    answer = trainer.apply(Set(name, word))
    assert isinstance(answer, CommandApplied), answer
    assert answer.step == 2
    for _ in range(3):
        record = trainer.train_step()
    assert math.isfinite(record.loss)
    before = getattr(vgrad.Controls(), name)
    assert isinstance(trainer.apply(Set(name, before)), CommandApplied), "and it can be taken back"
    assert math.isfinite(trainer.train_step().loss)


@pytest.mark.parametrize("name", [n for n, c in CONTROLS.items() if not isinstance(c, Number)])
def test_setting_what_is_set_already_changes_no_bit(name: str) -> None:
    def run(*, again: bool) -> Tensor:
        trainer = vgrad.build("depth-tanh", options=SMALL, batch_size=8, optimizer="adam", precision="bf16")
        for step in range(4):
            if again and step == 2:
                assert isinstance(trainer.apply(Set(name, getattr(trainer.controls, name))), CommandApplied)
            trainer.train_step()
        return weights_of(trainer)

    assert torch.equal(run(again=True), run(again=False))


@pytest.mark.parametrize(
    ("recipe", "control", "value", "told"),
    [
        ("depth-tanh", "omega", "4", "omega: needs a recurrent model"),
        ("charlm-lstm", "omega", "4", "tanh or ReLU RNN"),
        ("fp16-underflow", "detect", "formula", "layers can each make a prediction"),
        ("charlm-lstm", "activation", "relu", "activation: cannot be changed in this model"),
        ("depth-tanh", "freeze", "*", "every layer"),
        ("depth-tanh", "activation", "swish", "must be one of"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(recipe: str, control: str, value: str, told: str) -> None:
    trainer = vgrad.build(recipe)
    before = trainer.controls
    answer = trainer.apply(Set(control, value))
    assert isinstance(answer, CommandRejected)
    assert told in answer.reason
    assert trainer.controls == before
    with pytest.raises(vgrad.ConfigError, match=told):
        vgrad.build(recipe, **{control: value})


def test_omega_refuses_company_that_it_cannot_work_with() -> None:
    trainer = small_rnn(omega="4")
    for name, value in (("precision", "bf16"), ("detect", "sam")):
        answer = trainer.apply(Set(name, value))
        assert isinstance(answer, CommandRejected)
        assert "Ω" in answer.reason
    assert isinstance(trainer.apply(Set("omega", "off")), CommandApplied)
    assert isinstance(trainer.apply(Set("precision", "bf16")), CommandApplied)


def test_omega_is_a_link_of_its_own_that_clipping_sees() -> None:
    record = small_rnn(omega="1000", clip="norm:0.5").train_step()
    assert record.links == (("omega", "Pascanu's Ω 1000"), ("clip", "clip norm 0.5"))
    assert record.link_norms is not None
    assert record.link_norms[0] != pytest.approx(record.grad_norm, rel=1e-3)
    assert record.link_norms[1] <= 0.5 * 1.001


def test_a_loss_scale_of_a_power_of_two_changes_no_bit_of_a_float32_like_pass() -> None:
    # Everything is scaled and unscaled exactly, as long as nothing under- or overflows.
    low = toy_trainer(precision="fp16:1024,dynamic=off")
    high = toy_trainer(precision="fp16:2048,dynamic=off")
    for _ in range(5):
        first, second = low.train_step(), high.train_step()
    assert second.loss == pytest.approx(first.loss, rel=1e-3)
    assert second.loss_scale == 2 * first.loss_scale == 2048


def test_an_overflow_skips_the_step_and_halves_a_dynamic_scale() -> None:
    trainer = toy_trainer(precision="fp16:16777216")
    scales, skipped = [], []
    for _ in range(30):
        record = trainer.train_step()
        scales.append(record.loss_scale)
        skipped.append(record.skipped)
    assert skipped[0] and not skipped[-1]
    for before, after, was_skipped in zip(scales, scales[1:], skipped, strict=False):
        assert after == (before / 2 if was_skipped else before)
    fixed = toy_trainer(precision="fp16:16777216,dynamic=off")
    assert {fixed.train_step().loss_scale for _ in range(3)} == {16777216.0}


def test_another_optimizer_steps_as_torchs_own_from_that_step_on() -> None:
    ours, theirs = toy_trainer(), toy_trainer()
    for _ in range(3):
        ours.train_step()
        theirs.train_step()
    ours.apply(Set("optimizer", "adam:0.01"))
    adam = torch.optim.Adam(theirs.task.model.parameters(), lr=0.01)
    for _ in range(4):
        record = ours.train_step()
        batch = theirs.task.stream.next()
        adam.zero_grad()
        theirs.task.loss_of(batch).backward()
        adam.step()
    assert torch.equal(weights_of(ours), weights_of(theirs))
    assert record.base_lr == 0.01


def test_the_rate_that_is_shown_is_schedule_times_scale() -> None:
    trainer = toy_trainer(schedule="cosine:4,total_steps=8", lr_scale=0.5)
    records = [trainer.train_step() for _ in range(8)]
    lr = trainer.task.optimizer.param_groups[0]["lr"]
    schedule = trainer.controls.schedule
    for record in records:
        assert record.base_lr == pytest.approx(0.05 * schedule.factor(record.step))
        assert record.lr == pytest.approx(0.5 * record.base_lr)
    assert lr == 0.05, "between two steps it is the base rate"
    trainer.apply(Set("schedule", "constant"))
    assert trainer.train_step().base_lr == 0.05


def test_a_schedule_that_ends_under_another_optimizer_leaves_the_recipes_rate() -> None:
    trainer = toy_trainer(schedule="cosine:4,total_steps=8")
    trainer.train_step()
    for command in (Set("optimizer", "adam"), Set("schedule", "constant"), Set("optimizer", "recipe")):
        trainer.apply(command)
        trainer.train_step()
    assert trainer.train_step().lr == 0.05


def test_a_re_initialisation_can_be_undone_to_the_bit() -> None:
    ours, calm = toy_trainer(optimizer="adam"), toy_trainer(optimizer="adam")
    for _ in range(3):
        ours.train_step()
        calm.train_step()
    assert isinstance(ours.apply(Reinit("torch")), CommandApplied)
    assert not torch.equal(weights_of(ours), weights_of(calm))
    assert isinstance(ours.apply(UndoReinit()), CommandApplied)
    for _ in range(3):
        ours.train_step()
        calm.train_step()
    assert torch.equal(weights_of(ours), weights_of(calm)), "the optimizer's memory, too, must be back"
    answer = ours.apply(UndoReinit())
    assert isinstance(answer, CommandRejected) and "no re-initialisation to undo" in answer.reason


class _WithBatchNorm(nn.Module):
    """A first layer that is not trained, statistics of batch norm, and a layer that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.frozen(inputs)))
        return out


class _FailsToDraw(_WithBatchNorm):
    def reset_parameters(self, gain: float) -> None:
        """Another signature than torch's own modules have."""


def _trainer_of(model: nn.Module) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    data = [(torch.randn(8, 6, generator=generator), torch.randn(8, 4, generator=generator))]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    task = vgrad.Task(model=model, optimizer=optimizer, data=data, loss=F.mse_loss)
    return Trainer(task, vgrad.RunConfig.make(recipe="mine.py:build", steps=100))


def _state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_an_undo_brings_back_statistics_and_parameters_that_are_not_trained_too() -> None:
    model = _WithBatchNorm()
    trainer = _trainer_of(model)
    for _ in range(3):
        trainer.train_step()
    before = _state_of(model)
    assert isinstance(trainer.apply(Reinit("torch")), CommandApplied)
    assert not torch.equal(before["norm.running_mean"], model.norm.running_mean)
    assert isinstance(trainer.apply(UndoReinit()), CommandApplied)
    _assert_same(before, _state_of(model))


def test_a_module_that_fails_to_draw_its_weights_is_a_refusal_and_nothing_is_changed() -> None:
    model = _FailsToDraw()
    trainer = _trainer_of(model)
    trainer.train_step()
    before = _state_of(model)
    answer = trainer.apply(Reinit("torch"))
    assert isinstance(answer, CommandRejected) and "gain" in answer.reason
    _assert_same(before, _state_of(model))
    assert isinstance(trainer.apply(UndoReinit()), CommandRejected)
    trainer.train_step()


def test_steps_before_a_re_initialisation_are_not_judged_as_steps_of_the_new_weights() -> None:
    trainer = vgrad.build("depth-tanh", options=SMALL, batch_size=8)
    with torch.no_grad():
        next(trainer.task.model.parameters()).fill_(math.nan)
    records = [record for _ in range(3) for record in trainer.advance()]
    trainer.apply(Reinit("torch"))
    assert trainer.verdict.kind == "starting"
    for _ in range(3):
        records += trainer.advance()
    records += trainer.finish()
    assert [record.step for record in records] == [1, 2, 3, 4, 5, 6]
    assert trainer.verdict.kind == "starting"


def test_each_undo_goes_one_re_initialisation_back() -> None:
    trainer = toy_trainer(optimizer="adam")
    trainer.train_step()
    weights = [weights_of(trainer)]
    for scheme in ("torch", "xavier", "he"):
        assert isinstance(trainer.apply(Reinit(scheme)), CommandApplied)
        weights.append(weights_of(trainer))
        trainer.train_step()
    # What an undo brings back is what the re-initialisation replaced: one more step than was drawn.
    seen = []
    for _ in range(3):
        assert isinstance(trainer.apply(UndoReinit()), CommandApplied)
        seen.append(weights_of(trainer))
    assert torch.equal(seen[-1], weights[0])
    assert not any(torch.equal(first, second) for first, second in itertools.combinations(seen, 2))
    assert isinstance(trainer.apply(UndoReinit()), CommandRejected)


def test_a_re_initialisation_that_is_refused_leaves_nothing_to_undo() -> None:
    trainer = toy_trainer()
    assert isinstance(trainer.apply(Reinit("hh-identity")), CommandRejected)
    assert isinstance(trainer.apply(UndoReinit()), CommandRejected)


def test_re_initialisations_that_are_too_long_ago_cannot_be_undone() -> None:
    trainer = toy_trainer()
    for _ in range(MOST_UNDONE + 1):
        trainer.apply(Reinit("torch"))
    for _ in range(MOST_UNDONE):
        assert isinstance(trainer.apply(UndoReinit()), CommandApplied)
    answer = trainer.apply(UndoReinit())
    assert isinstance(answer, CommandRejected) and f"only the last {MOST_UNDONE}" in answer.reason


def test_an_activation_set_mid_run_keeps_the_weights() -> None:
    trainer = vgrad.build("depth-sigmoid", options=SMALL, batch_size=8)
    trainer.train_step()
    before = weights_of(trainer)
    assert isinstance(trainer.apply(Set("activation", "tanh")), CommandApplied)
    assert torch.equal(weights_of(trainer), before)
    with_tanh = trainer.validate()
    assert isinstance(trainer.apply(Set("activation", "as-built")), CommandApplied)
    assert trainer.validate() != with_tanh


def test_a_gradient_check_touches_nothing() -> None:
    ours, calm = small_rnn(), small_rnn()
    told: list[tuple[int, int]] = []
    for step in range(4):
        if step == 2:
            assert isinstance(ours.apply(CheckGradients()), CommandApplied)
            assert ours.check_gradients(lambda done, total: told.append((done, total))).passed
            assert told[-1][0] == told[-1][1] > 0
        ours.train_step()
        calm.train_step()
    assert torch.equal(weights_of(ours), weights_of(calm))


def test_measuring_through_time_changes_no_bit() -> None:
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    watched, bare = small_rnn(watch_budget=1.0), small_rnn(watch_budget=0.0)
    while (stats := watched.time_stats()) is None or stats.step == 1:  # until it has measured twice
        watched.train_step()
        assert watched.step < 2000
    for _ in range(watched.step):
        bare.train_step()
    assert torch.equal(weights_of(watched), weights_of(bare))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert stats.norms.shape == (1, 12)
    assert bare.time_stats() is None


def test_a_task_of_ones_own_needs_nothing_that_is_built_in() -> None:
    model = nn.Linear(3, 1)

    class Rows(ToyStream):
        def next(self) -> Microbatch:
            return Microbatch(torch.ones(2, 3), torch.zeros(2, 1), 0, 2)

    task = toy_task(model=model, stream=Rows())
    task.loss = F.mse_loss
    trainer = toy_trainer(task, clip="agc", precision="bf16")
    assert math.isfinite(trainer.train_step().loss)
    assert isinstance(trainer.apply(Set("skip", "on")), CommandRejected)
    assert isinstance(trainer.apply(Pause()), CommandApplied)
