"""Whole runs on an accelerator: a step never waits for it, and watching changes nothing there."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.engine.changes import CHANGES
from tests.engine.waiting import no_waiting
from torch import Tensor, nn
from torch.optim import Optimizer

import vgrad
from vgrad.controls.controls import Reinit, Set, UndoReinit
from vgrad.events.notices import CommandApplied, LoopNoted
from vgrad.measure.latest_guesses import LatestGuesses
from vgrad.measure.loss_guesses import SeenGuesses
from vgrad.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def children_on_the_cpu() -> None:
    """Nothing is hidden from these tests."""


# Both look at the gradient before they step, and say so.
WAITS = {("skip_non_finite", "on"), ("precision", "fp16")}


def build(recipe: str, **settings: Any) -> Trainer:
    return vgrad.build(recipe, device="cuda", **settings)


def assert_never_waits(trainer: Trainer, num_steps: int = 12) -> None:
    records = []
    for _ in range(4):  # the first steps allocate and tune
        records += trainer.advance()
    with no_waiting():
        for _ in range(num_steps):
            records += trainer.advance()
    records += trainer.finish()
    assert [record.step for record in records[-num_steps:]] == list(
        range(trainer.step - num_steps + 1, trainer.step + 1)
    )
    assert all(math.isfinite(record.grad_norm) for record in records)


@pytest.mark.parametrize(
    "recipe",
    ["charlm-rnn", "charlm-lstm", "charlm-gru", "charlm-transformer", "depth-tanh", "digits-conv",
     "adding-gates", "temporal-order", "article-net", "tiny-batch"],
)  # fmt: skip
def test_no_recipe_waits_for_the_device(recipe: str) -> None:
    assert_never_waits(build(recipe, watch_budget=1.0))


NEVER_WAIT = [change for change in CHANGES if change not in WAITS]


@pytest.mark.parametrize(("name", "word"), NEVER_WAIT)
def test_no_control_waits_for_the_device(name: str, word: str) -> None:
    trainer = build("depth-tanh", options={"depth": 4, "width": 16}, batch_size=8)
    trainer.advance()
    assert isinstance(trainer.apply(Set(name, word)), CommandApplied)
    assert_never_waits(trainer)


def test_omega_does_not_wait_for_the_device() -> None:
    assert_never_waits(build("temporal-order", clip="norm:1", omega="4", options={"hidden": 16}))


@pytest.mark.parametrize(("name", "word"), sorted(WAITS))
def test_what_waits_trains_all_the_same(name: str, word: str) -> None:
    trainer = build("depth-tanh", **{name: word})
    losses = [trainer.train_step().loss for _ in range(10)]
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("recipe", ["charlm-lstm", "depth-tanh", "article-net"])
def test_watching_changes_no_bit(recipe: str) -> None:
    def weights(watch_budget: float) -> Tensor:
        trainer = build(recipe, watch_budget=watch_budget)
        for _ in range(30):
            trainer.advance()
        trainer.finish()
        return torch.cat([param.detach().flatten() for param in trainer.task.model.parameters()])

    def bare() -> Tensor:
        trainer = build(recipe)
        trainer.close()  # no hook is left on the optimizer
        task = trainer.task
        for _ in range(30):
            batch = task.stream.next()
            task.optimizer.zero_grad()
            task.loss_of(batch).backward()
            task.optimizer.step()
        return torch.cat([param.detach().flatten() for param in task.model.parameters()])

    expected = bare()
    assert torch.equal(expected, bare()), "this recipe can be repeated to the bit"
    assert torch.equal(weights(0.0), expected)
    assert torch.equal(weights(1.0), expected)


def test_weights_drawn_anew_and_brought_back() -> None:
    trainer = build("charlm-rnn")
    trainer.train_step()
    before = [param.detach().clone() for param in trainer.task.model.parameters()]
    assert isinstance(trainer.apply(Reinit("orthogonal")), CommandApplied)
    assert isinstance(trainer.apply(UndoReinit()), CommandApplied)
    for param, value in zip(trainer.task.model.parameters(), before, strict=True):
        assert torch.equal(param, value)


def test_gradients_are_checked() -> None:
    check = build("depth-tanh", options={"depth": 3, "width": 8}).check_gradients()
    assert check.passed


class _Loop:
    """A training loop that knows nothing of vgrad, on the device."""

    def __init__(self, make_optimizer: Callable[..., Optimizer], *, recurrent: bool = False) -> None:
        torch.manual_seed(0)
        self.inputs = torch.randn(16, 7, 8, device="cuda")
        self.targets = torch.randn(16, 4, device="cuda")
        self.is_recurrent = recurrent
        self.loss_fn: Callable[[Tensor, Tensor], Tensor] = F.mse_loss
        inside = nn.GRU(8, 32, batch_first=True) if recurrent else nn.Sequential(nn.Linear(8, 32), nn.Tanh())
        self.model = nn.ModuleList([inside, nn.Linear(32, 4)]).cuda()
        self.optimizer = make_optimizer(self.model.parameters())

    def loss(self) -> Tensor:
        inside, head = self.model
        hidden = inside(self.inputs)[0] if self.is_recurrent else inside(self.inputs)
        return self.loss_fn(head(hidden[:, -1]), self.targets)

    def step(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss

    def warm_up(self) -> None:
        """Three steps on another stream, as a graph needs them before it is recorded."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)

    def weights(self) -> Tensor:
        return torch.cat([param.detach().flatten() for param in self.model.parameters()])


def _adam(params: Any) -> Optimizer:
    return torch.optim.AdamW(params, lr=1e-2, capturable=True)


def _adam_with_rate_on_device(params: Any) -> Optimizer:
    return torch.optim.AdamW(params, lr=torch.tensor(1e-2, device="cuda"), capturable=True)


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "fused-adam": partial(torch.optim.Adam, lr=1e-2, fused=True),
    "capturable": _adam,
    "rate-on-device": _adam_with_rate_on_device,
}


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loop_of_somebodys_own_never_waits_and_loses_no_bit(name: str, recurrent: bool) -> None:
    def weights(is_watched: bool) -> Tensor:
        loop = _Loop(OPTIMIZERS[name], recurrent=recurrent)
        watch = vgrad.watch(loop.model, loop.optimizer, watch_budget=1.0) if is_watched else None
        for _ in range(4):
            loop.step()
        with no_waiting():
            for _ in range(60):
                loop.step()
        if watch is not None:
            watch.close()
            records = watch.records()
            assert watch.step == 64
            assert all(record.loss is not None and math.isfinite(record.loss) for record in records)
            assert all(record.grad_norm > 0 for record in records)
        return loop.weights()

    expected = weights(is_watched=False)
    assert torch.equal(weights(is_watched=False), expected), "this loop can be repeated to the bit"
    assert torch.equal(weights(is_watched=True), expected)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": F.mse_loss,
    "binary": lambda outputs, targets: F.binary_cross_entropy_with_logits(outputs, (targets > 0).float()),
    "of-a-player": lambda outputs, targets: F.binary_cross_entropy_with_logits(
        outputs, torch.ones_like(targets)
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_guesses_cost_is_seen_without_waiting(name: str) -> None:
    loop = _Loop(partial(torch.optim.SGD, lr=0.0))  # every step costs the same
    loop.loss_fn = LOSSES[name]
    with vgrad.watch(loop.model, loop.optimizer) as watch:
        for _ in range(4):
            loop.step()
        with no_waiting():
            for _ in range(60):
                loop.step()
        found = watch.parts[0].guesses
    with torch.no_grad():
        ratio = (loop.loss() / loop.targets.var(0).mean()).item()
    assert found.over_constant == pytest.approx(ratio if name == "squared" else math.nan, nan_ok=True)
    assert found.uniform == pytest.approx(math.log(2) if name == "binary" else math.nan, nan_ok=True)


def test_numbers_that_are_still_on_their_way_are_left_there() -> None:
    latest = LatestGuesses()
    first, second = (SeenGuesses(over_constant=torch.full((), x, device="cuda")) for x in (0.25, 0.75))
    torch.cuda.synchronize()
    torch.cuda._sleep(2**31)  # more than a second
    for seen in (first, second):
        latest.take(seen)
    assert math.isnan(latest.guesses.over_constant)
    torch.cuda.synchronize()
    latest.take(second)
    assert latest.guesses.over_constant == 0.25


@pytest.mark.parametrize("optimizer", [_adam, _adam_with_rate_on_device])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_step_that_becomes_a_cuda_graph_is_left_alone(
    optimizer: Callable[..., Optimizer], recurrent: bool
) -> None:
    def weights(is_watched: bool) -> Tensor:
        loop = _Loop(optimizer, recurrent=recurrent)
        watch = vgrad.watch(loop.model, loop.optimizer, watch_budget=1.0) if is_watched else None
        cursor = None if watch is None else watch.cursor()
        loop.warm_up()
        graph = torch.cuda.CUDAGraph()
        loop.optimizer.zero_grad()
        with torch.cuda.graph(graph):
            loss = loop.loss()
            loss.backward()
            loop.optimizer.step()
        del loss  # it keeps nodes that belong to the other stream
        for _ in range(20):
            graph.replay()
        if watch is not None and cursor is not None:
            bodies = [notice.body for notice in cursor.take().notices]
            notes = [body.text for body in bodies if isinstance(body, LoopNoted)]
            assert watch.step == 3, "no Python runs in a replay"
            assert any("CUDA graph" in note for note in notes)
        loop.step()
        if watch is not None:
            watch.close()
            assert watch.step == 4
        return loop.weights()

    assert torch.equal(weights(is_watched=True), weights(is_watched=False))


def test_gradients_of_a_replayed_graph_are_seen_where_the_optimizer_steps_outside_of_it() -> None:
    loop = _Loop(OPTIMIZERS["sgd"])
    with vgrad.watch(loop.model, loop.optimizer) as watch:
        loop.warm_up()
        watch.records()
        graph = torch.cuda.CUDAGraph()
        loop.optimizer.zero_grad()
        with torch.cuda.graph(graph):
            loss = loop.loss()
            loss.backward()
        expected = []
        for _ in range(20):
            graph.replay()
            norm = torch.cat([param.grad.flatten() for param in loop.model.parameters()]).norm()
            expected.append((loss.item(), norm.item()))
            loop.optimizer.step()
        records = watch.records()
    assert [record.grad_norm for record in records] == pytest.approx([norm for _, norm in expected], rel=1e-4)
    assert [record.loss for record in records] == pytest.approx([loss for loss, _ in expected])


@pytest.mark.parametrize("fused", [False, True])
def test_an_overflow_step_is_skipped_and_norms_are_unscaled(fused: bool) -> None:
    loop = _Loop(partial(torch.optim.SGD, lr=1e-2, fused=fused))
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
    expected, skipped = [], []
    with vgrad.watch(loop.model, loop.optimizer, watch_budget=1.0) as watch:
        for number in range(12):
            loop.optimizer.zero_grad()
            with torch.autocast("cuda", torch.float16):
                loss = loop.loss()
            scaler.scale(loss).backward()
            if number == 5:
                next(loop.model.parameters()).grad[0] = math.inf
            scale = scaler.get_scale()
            norm = torch.cat([param.grad.flatten() for param in loop.model.parameters()]).norm() / scale
            scaler.step(loop.optimizer)
            scaler.update()
            if number == 5:
                skipped.append(number)
            else:
                expected.append((norm.item(), loss.item()))
        records = watch.records()
    done = [record for record in records if not record.skipped]
    assert [record.grad_norm for record in done] == pytest.approx([norm for norm, _ in expected], rel=1e-4)
    assert [record.loss for record in done] == pytest.approx([loss for _, loss in expected], rel=1e-3)
    assert sum(record.skipped for record in records) == (1 if fused else 0)


def test_watching_keeps_nothing_on_the_device() -> None:
    def allocated(is_watched: bool) -> tuple[int, int]:
        gc.collect()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        loop = _Loop(OPTIMIZERS["sgd"], recurrent=True)
        watch = vgrad.watch(loop.model, loop.optimizer, watch_budget=1.0) if is_watched else None
        for _ in range(20):
            loop.step()
        loop.optimizer.zero_grad()
        torch.cuda.synchronize()
        during = torch.cuda.memory_allocated() - before
        if watch is not None:
            watch.close()
        del loop, watch
        gc.collect()
        return during, torch.cuda.memory_allocated() - before

    allocated(is_watched=False)  # libraries allocate workspaces at the first use
    bare, watched = allocated(is_watched=False), allocated(is_watched=True)
    assert watched[1] <= bare[1]
    assert watched[0] < 2 * bare[0] + 100_000


def test_controls_steer_a_loop_of_somebodys_own_without_waiting() -> None:
    loop = _Loop(OPTIMIZERS["fused-adam"])
    with vgrad.watch(loop.model, loop.optimizer) as watch:
        for _ in range(4):
            loop.step()
        for command in (Set("clip", "norm:0.001"), Set("lr_scale", "0.5")):
            assert isinstance(watch.apply(command), CommandApplied)
        for _ in range(2):
            loop.step()
        watch.records()
        with no_waiting():
            for _ in range(20):
                loop.step()
        records = watch.records()
    assert all(record.link_norms[0] == pytest.approx(0.001, rel=1e-3) for record in records)
