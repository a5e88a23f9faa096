"""Watching changes nothing; steering changes exactly what it says."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from functools import partial

import numpy as np
import pytest
import torch
from tests.engine.toys import MakeOptimizer, sgd, toy_batch, toy_model, toy_task, toy_trainer
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.controls.controls import Controls
from vgrad.events.step_record import StepRecord
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm, ClipGradValue
from vgrad.recipes.registry import RECIPES, build_task
from vgrad.task import Task
from vgrad.train.trainer import Trainer
from vgrad.watching.optimizer_tap import OptimizerTap
from vgrad.watching.step_rates import StepRates, refusals_without_rate

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": partial(torch.optim.SGD, lr=0.05),
    "momentum": sgd,
    "momentum-foreach": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, foreach=True),
    "adam": partial(torch.optim.Adam, lr=1e-2),
    "adamw-foreach": partial(torch.optim.AdamW, lr=1e-2, foreach=True),
    "adamw-each": partial(torch.optim.AdamW, lr=1e-2, foreach=False),
    "adamw-fused": partial(torch.optim.AdamW, lr=1e-2, fused=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=1e-3),
}


class RandomDropout(nn.Module):
    """A model whose every step draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.body = toy_model()
        self.drop = nn.Dropout(0.3)

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(self.drop(rows))


def bare_losses(task: Task, num_steps: int) -> list[float]:
    losses = []
    for _ in range(num_steps):
        task.optimizer.zero_grad()
        loss = task.loss_of(task.stream.next())
        loss.backward()
        task.optimizer.step()
        losses.append(loss.item())
    return losses


def assert_bit_identical(one: Task, other: Task) -> None:
    for (name, mine), theirs in zip(
        one.model.state_dict().items(), other.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    mine_state, their_state = one.optimizer.state_dict(), other.optimizer.state_dict()
    assert mine_state["param_groups"] == their_state["param_groups"]
    for key, state in mine_state["state"].items():
        for name, value in state.items():
            theirs = their_state["state"][key][name]
            assert torch.equal(value, theirs) if isinstance(value, Tensor) else value == theirs, name


def assert_watching_changes_nothing(bare: Task, watched: Task, num_steps: int) -> None:
    torch.manual_seed(5)
    expected = bare_losses(bare, num_steps)
    random_state = torch.get_rng_state()
    torch.manual_seed(5)
    trainer = Trainer(watched, RunConfig.make(watch_budget=1.0))
    losses = [trainer.train_step().loss for _ in range(num_steps)]
    assert (trainer.stats().measured_step > 0).any(), "the expensive statistics must have been measured too"
    trainer.close()
    assert losses == expected
    assert torch.equal(torch.get_rng_state(), random_state)
    assert_bit_identical(watched, bare)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_watched_recipe_is_bit_identical_to_a_bare_one(recipe: str) -> None:
    cpu = torch.device("cpu")
    bare, watched = (build_task(RunConfig.make(recipe=recipe, seed=3), cpu) for _ in range(2))
    assert_watching_changes_nothing(bare, watched, 8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_watched_run_is_bit_identical_under_every_optimizer(name: str) -> None:
    bare, watched = (toy_task(OPTIMIZERS[name], model=RandomDropout()) for _ in range(2))
    assert_watching_changes_nothing(bare, watched, 25)


def test_validation_changes_nothing_either() -> None:
    bare, watched = (toy_task(model=RandomDropout()) for _ in range(2))
    torch.manual_seed(5)
    expected = bare_losses(bare, 10)
    torch.manual_seed(5)
    trainer = toy_trainer(watched)
    losses = []
    for _ in range(10):
        losses.append(trainer.train_step().loss)
        trainer.validate()
    assert losses == expected
    assert_bit_identical(watched, bare)


@pytest.mark.parametrize("clip", [ClipGradNorm(0.05), ClipGradValue(0.01)])
@pytest.mark.parametrize("name", ["momentum", "adamw-foreach"])
def test_clipping_mid_run_equals_torchs_own_from_that_step_on(
    clip: ClipGradNorm | ClipGradValue, name: str
) -> None:
    bare, watched = (toy_task(OPTIMIZERS[name]) for _ in range(2))
    trainer = toy_trainer(watched)
    bare_losses(bare, 5)
    for _ in range(5):
        trainer.train_step()
    trainer._tap.controls = Controls(clip=clip)
    for _ in range(10):
        bare.optimizer.zero_grad()
        bare.loss_of(bare.stream.next()).backward()
        if isinstance(clip, ClipGradNorm):
            norm = nn.utils.clip_grad_norm_(bare.model.parameters(), clip.max_norm)
        else:
            norm = nn.utils.get_total_norm([param.grad for param in bare.model.parameters()])
            nn.utils.clip_grad_value_(bare.model.parameters(), clip.clip_value)
        bare.optimizer.step()
        applied = nn.utils.get_total_norm([param.grad for param in bare.model.parameters()])
        record = trainer.train_step()
        assert record.grad_norm == pytest.approx(float(norm), rel=1e-4)
        assert record.applied_norm == pytest.approx(float(applied), rel=1e-4)
        assert record.applied_norm < record.grad_norm
    for mine, theirs in zip(watched.model.parameters(), bare.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_record_tells_the_gradients_of_its_layers() -> None:
    task = toy_task()
    trainer = toy_trainer(task)
    twin = copy.deepcopy(task.model)
    batch = toy_task().stream.next()
    loss = task.loss(twin(batch.inputs), batch.targets)
    loss.backward()
    record = trainer.train_step()
    expected = [
        torch.cat([param.grad.flatten() for param in twin[index].parameters()]).norm().item()
        for index in (0, 2, 3)
    ]
    assert trainer.layers == ("0", "2", "3")
    assert record.grad_norms.tolist() == pytest.approx(expected, rel=1e-6)
    assert record.grad_norm == record.applied_norm == pytest.approx(sum(each**2 for each in expected) ** 0.5)
    assert record.loss == loss.item()
    assert (record.step, record.num_tokens, record.num_samples, record.num_microbatches) == (1, 8, 1, 1)
    assert 0 < record.watch_s < record.step_s == record.elapsed_s


@pytest.mark.parametrize("make", [sgd, OPTIMIZERS["adamw-foreach"]], ids=["sgd", "adamw"])
def test_scaling_the_learning_rate_composes_with_a_scheduler(make: MakeOptimizer) -> None:
    plain, scaled = toy_task(make), toy_task(make)
    for group in plain.optimizer.param_groups:
        group["lr"] *= 0.25
    schedules = [
        torch.optim.lr_scheduler.CosineAnnealingLR(task.optimizer, T_max=10, eta_min=0.0)
        for task in (plain, scaled)
    ]
    ours, theirs = toy_trainer(scaled, lr_scale=0.25), toy_trainer(plain)
    for _ in range(10):
        base_lr = scaled.optimizer.param_groups[0]["lr"]
        record = ours.train_step()
        theirs.train_step()
        assert record.lr == pytest.approx(0.25 * base_lr)
        assert record.base_lr == base_lr == scaled.optimizer.param_groups[0]["lr"], (
            "the scheduler's own must stay"
        )
        for schedule in schedules:
            schedule.step()
    for mine, other in zip(scaled.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


def test_every_parameter_group_keeps_its_own_learning_rate() -> None:
    model = toy_model()
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": model[3].parameters(), "lr": torch.tensor(0.1)},
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    with OptimizerTap(model, optimizer, controls=Controls(lr_scale=0.0625)) as tap:
        before = [model[index].weight.detach().clone() for index in (0, 3)]
        loss = model(toy_batch(torch.ones(2, 6)).inputs).sum()
        loss.backward()
        tap.microbatch(loss)
        optimizer.step()
    for index, (was, lr) in enumerate(zip(before, (0.5, 0.1), strict=True)):
        weight = model[3 * index].weight
        torch.testing.assert_close(weight.detach(), was - 0.0625 * lr * weight.grad)
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.5, 0.1])


def test_a_learning_rate_that_cannot_be_read_without_waiting_is_not_known() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    on_device = optimizer.param_groups[0]["lr"] = torch.zeros((), device="meta")
    rates = StepRates(optimizer)
    rates.set_(Controls(), step=1)
    assert math.isnan(rates.lr)
    assert math.isnan(rates.max_lr)
    rates.set_(Controls(lr_scale=0.5), step=2)
    assert optimizer.param_groups[0]["lr"] is on_device
    assert {refusal.subject for refusal in refusals_without_rate([optimizer])} == {"lr_scale", "schedule"}


def test_after_remove_the_optimizer_is_as_it_was() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    tap = OptimizerTap(
        model, optimizer, controls=Controls(clip=ClipGradNorm(1e-9), accumulate=MeanOver(4), lr_scale=1e-9)
    )
    tap.remove()
    twin = toy_model()
    reference = sgd(twin.parameters())
    for other, stepper in ((model, optimizer), (twin, reference)):
        other(torch.ones(3, 6)).sum().backward()
        stepper.step()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), twin.parameters(), strict=True))
    assert tap.records() == []


def test_a_step_that_was_not_announced_has_a_record_without_a_loss() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer) as tap:
        model(torch.ones(3, 6)).sum().backward()
        optimizer.step()
        [record] = tap.records()
    assert record.loss is None
    assert record.grad_norm > 0


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_without_any_gradient_is_none(accumulate: int) -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, controls=Controls(accumulate=MeanOver(accumulate))) as tap:
        for _ in range(4):
            optimizer.step()
        assert (tap.step, tap.records()) == (0, [])
        for _ in range(accumulate):
            optimizer.zero_grad()
            model(torch.ones(3, 6)).sum().backward()
            optimizer.step()
        assert [record.num_microbatches for record in tap.records()] == [accumulate]


class Detour(nn.Module):
    """Reaches its side branch only when asked; its last layer is never reached, its first is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(requires_grad=False)
        self.main = nn.Linear(6, 6)
        self.side = nn.Linear(6, 6)
        self.never = nn.Linear(6, 6)

    def forward(self, rows: Tensor, *, detour: bool) -> Tensor:
        rows = self.main(self.frozen(rows))
        return self.side(rows) if detour else rows


def stepped(tap: OptimizerTap, optimizer: torch.optim.Optimizer, loss: Tensor) -> StepRecord:
    optimizer.zero_grad()
    loss.backward()
    tap.microbatch(loss, num_samples=3)
    optimizer.step()
    [record] = tap.records()
    return record


def test_layers_that_no_gradient_reached_read_as_zero_and_do_not_move() -> None:
    torch.manual_seed(0)
    model = Detour()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    never, rows = model.never.weight.detach().clone(), torch.randn(3, 6)
    with OptimizerTap(model, optimizer, watch_budget=1.0) as tap:
        assert tap.layers.names == ("main", "side", "never")
        for detour in (False, True, True, False):
            record = stepped(tap, optimizer, model(rows, detour=detour).square().mean())
            main, side, last = record.grad_norms
            assert main > 0
            assert (side > 0) == detour
            assert last == 0
        assert torch.isnan(torch.tensor(tap.stats().grad_max)[2])
    assert torch.equal(model.never.weight, never)


def test_tied_weights_are_counted_and_clipped_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(9, 4)
            self.head = nn.Linear(4, 9, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.embed(tokens))

    torch.manual_seed(0)
    model = Tied()
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, controls=Controls(clip=ClipGradNorm(0.1))) as tap:
        record = stepped(tap, optimizer, model(torch.arange(5)).square().mean() * 100)
        assert record.applied_norm == pytest.approx(0.1, rel=1e-4)
        assert model.embed.weight.grad.norm().item() == pytest.approx(0.1, rel=1e-4)
        assert record.grad_norms.tolist() == pytest.approx([record.grad_norm])


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def test_the_real_update_is_measured_whatever_the_optimizer_makes_of_the_gradient() -> None:
    model = toy_model()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    with OptimizerTap(model, optimizer, watch_budget=1.0) as tap:
        for _ in range(40):
            before = copy.deepcopy(model)
            stepped(tap, optimizer, model(torch.ones(3, 6)).square().mean())
            stats = tap.stats()
            for layer in (stats.measured_step == tap.step).nonzero()[0]:
                was, now = (flat(each[int(tap.layers.names[layer])].parameters()) for each in (before, model))
                gradient = flat(param.grad for param in tap.layers.params_of(int(layer)))
                assert stats.update_ratio[layer] == pytest.approx(
                    float((now - was).norm() / was.norm()), rel=1e-4
                )
                assert stats.weight_norm[layer] == pytest.approx(float(was.norm()), rel=1e-5)
                assert stats.grad_max[layer] == pytest.approx(float(gradient.abs().max()), rel=1e-6)
                assert stats.zero_share[layer] == pytest.approx(float((gradient == 0).float().mean()))
                assert stats.histogram[layer].sum() == pytest.approx(
                    float((gradient != 0).float().mean()), rel=1e-6
                )
        assert (stats.measured_step > 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_watched_as_well(dtype: torch.dtype) -> None:
    model = toy_model(dtype=dtype)
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, controls=Controls(clip=ClipGradNorm(0.01)), watch_budget=1.0) as tap:
        record = stepped(tap, optimizer, model(torch.ones(3, 6, dtype=dtype)).square().mean())
        assert record.grad_norm > 0.01
        true = flat(param.grad.double() for param in model.parameters()).norm()
        assert record.applied_norm == pytest.approx(float(true), rel=1e-2)


def test_gradients_that_carry_a_graph_are_read_and_clipped_without_adding_to_it() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, controls=Controls(clip=ClipGradNorm(0.01)), watch_budget=1.0) as tap:
        loss = model(torch.ones(3, 6)).square().mean()
        params = list(model.parameters())
        for param, grad in zip(params, torch.autograd.grad(loss, params, create_graph=True), strict=True):
            param.grad = grad
        tap.microbatch(loss)
        optimizer.step()
        [record] = tap.records()
    assert record.applied_norm == pytest.approx(0.01, rel=1e-4)


def test_a_scaler_that_skips_a_step_skips_it_unseen() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with OptimizerTap(model, optimizer) as tap:
        for bad in (True, False):
            optimizer.zero_grad()
            loss = model(torch.ones(3, 6)).square().mean()
            scaler.scale(loss * float("inf") if bad else loss).backward()
            tap.microbatch(loss)
            scaler.step(optimizer)
            scaler.update()
        [record] = tap.records()
        true = flat(param.grad for param in model.parameters()).norm()
        assert record.grad_norm == pytest.approx(float(true)), "seen after unscaling"
        assert (record.num_microbatches, record.num_samples) == (1, 1), "the skipped one does not count"


def test_steps_that_are_kept_back_come_together_in_order_and_none_is_lost() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, keep_s=1e9) as tap:
        arrived: list[list[int]] = []
        for _ in range(70):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 6)).square().mean()
            loss.backward()
            tap.microbatch(loss)
            optimizer.step()
            arrived.append([record.step for record in tap.records()])
        arrived.append([record.step for record in tap.records(wait=True)])
    assert arrived[0] == [1], "nothing has come before it"
    assert [len(steps) for steps in arrived if steps] == [1, 32, 32, 5], "a bounded number is kept"
    assert [step for steps in arrived for step in steps] == list(range(1, 71))


def test_statistics_that_verdicts_look_at_are_shown_where_they_are_newer() -> None:
    """A step that norms alone use the budget of leaves little for the screen's own measurements."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with OptimizerTap(model, optimizer, watch_budget=1.0) as tap:
        every = tap.meter._judged.every
        assert every is not None
        tap.meter.budget.share = 0.0  # nothing is left for the screen
        for _ in range(every + 1):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().mean().backward()
            optimizer.step()
        for record in tap.records(wait=True):
            tap.meter.judged_at(record.step)
        stats = tap.stats()
    assert stats.measured_step.tolist() == [every, every]
    assert stats.entries_step.tolist() == [-1, -1]
    assert np.isfinite(stats.update_ratio).all() and np.isnan(stats.grad_max).all()
