"""`vgrad.watch` with the optimizers, models and scalers that people use."""

from __future__ import annotations

import copy
import gc
import io
import math
import threading
from collections import OrderedDict
from typing import Any, Self

import pytest
import torch
import torch.nn.functional as F
from tests.engine.watching.loops import (
    OPTIMIZERS,
    Loop,
    assert_same_bits,
    batches,
    loss_of,
    make_model,
    plain,
    run_bare,
    with_closure,
)
from torch import Tensor, nn

import vgrad
from vgrad.controls.controls import Set
from vgrad.events.notices import CommandApplied, CommandRejected, LayersChanged

SGD = OPTIMIZERS["sgd"]


def scaled(
    model: nn.Module, optimizer: torch.optim.Optimizer, rows: list[Tensor], *, overflow_at: int = -1
) -> torch.amp.GradScaler:
    """A loop with a scaler; at one step the loss overflows."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step, each in enumerate(rows):
        optimizer.zero_grad()
        loss = loss_of(model, each) * (1e36 if step == overflow_at else 1.0)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
    return scaler


@pytest.mark.parametrize("name", ["adamw-fused", "adam", "sgd"])
def test_under_a_grad_scaler_the_values_are_those_without_a_scale(name: str) -> None:
    make = OPTIMIZERS[name]
    bare, watched = make_model().eval(), make_model().eval()
    scaled(bare, make(bare.parameters()), batches(6), overflow_at=2)
    optimizer = make(watched.parameters())
    with vgrad.watch(watched, optimizer, watch_budget=1.0) as watch:
        scaled(watched, optimizer, batches(6), overflow_at=2)
        records = watch.records()
    assert_same_bits(watched, bare)
    reference = make_model().eval()
    plain_optimizer = make(reference.parameters())
    with vgrad.watch(reference, plain_optimizer) as other:
        plain(reference, plain_optimizer, batches(2))
        expected = other.records()
    for mine, theirs in zip(records, expected, strict=False):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-6)
        assert mine.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-5)
        assert mine.grad_norms == pytest.approx(theirs.grad_norms, rel=1e-5)
    skipped = [record.skipped for record in records]
    # A fused optimizer leaves the step out itself; otherwise the scaler does, and no hook is called.
    assert skipped == ([False] * 2 + [True] + [False] * 3 if name == "adamw-fused" else [False] * 5)
    assert records[0].loss_scale == 1024.0


def test_clipping_under_a_fused_scaler_sees_unscaled_gradients() -> None:
    clipped = make_model().eval()
    optimizer = OPTIMIZERS["adamw-fused"](clipped.parameters())
    reference = make_model().eval()
    other = OPTIMIZERS["adamw-fused"](reference.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with vgrad.watch(clipped, optimizer) as watch:
        watch.apply(Set("clip", "norm:0.5"))
        scaled(clipped, optimizer, batches(4))
        records = watch.records()
    for rows in batches(4):
        other.zero_grad()
        scaler.scale(loss_of(reference, rows)).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(other)
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        scaler.step(other)
        scaler.update()
    assert [record.applied_norm for record in records] == pytest.approx([0.5] * 4, rel=1e-4)
    for mine, theirs in zip(clipped.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_overflow_in_an_accumulated_microbatch_skips_the_whole_step() -> None:
    model = make_model().eval()
    optimizer = OPTIMIZERS["adamw-fused"](model.parameters())
    before = copy.deepcopy(model)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("accumulate", 3))
        scaled(model, optimizer, batches(3), overflow_at=0)
        [record] = watch.records()
    assert record.skipped
    assert_same_bits(model, before)


def test_parameter_groups_keep_their_own_rates() -> None:
    model = make_model().eval()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters(), "lr": 0.2}]
    optimizer = torch.optim.SGD(groups)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("lr_scale", 0.5))
        before = copy.deepcopy(model)
        plain(model, optimizer, batches(1))
        [record] = watch.records()
        assert (record.lr, record.base_lr, record.max_lr) == (0.05, 0.1, 0.1)
    for index, lr in ((0, 0.05), (3, 0.1)):
        torch.testing.assert_close(model[index].weight, before[index].weight - lr * model[index].weight.grad)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def adversarial(
    models: nn.ModuleDict, one: torch.optim.Optimizer, other: torch.optim.Optimizer, num_steps: int
) -> list[float]:
    losses = []
    for rows in batches(num_steps):
        for name, optimizer in (("critic", one), ("maker", other)):
            optimizer.zero_grad()
            loss = loss_of(models[name], rows)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_two_optimizers_are_two_parts_with_their_own_layers_losses_and_controls() -> None:
    models, bare = (nn.ModuleDict({"critic": make_model(0), "maker": make_model(1)}).eval() for _ in range(2))
    adversarial(bare, *(SGD(bare[name].parameters()) for name in ("critic", "maker")), 4)
    one, other = (SGD(models[name].parameters()) for name in ("critic", "maker"))
    with vgrad.watch(models, [one, other]) as watch:
        losses = adversarial(models, one, other, 4)
        records = watch.records()
        assert watch.layers == ("critic.0", "critic.3", "maker.0", "maker.3")
        assert [part.layers for part in watch.parts] == [watch.layers[:2], watch.layers[2:]]
        assert [part.step for part in watch.parts] == [4, 4]
        for part in (0, 1):
            mine = [record for record in records if record.part == part]
            assert [record.step for record in mine] == [1, 2, 3, 4]
            assert [record.loss for record in mine] == losses[part::2]
        assert_same_bits(models, bare)

        assert isinstance(watch.apply(Set("accumulate", 2), part=0), CommandApplied)
        assert isinstance(watch.apply(Set("freeze", "maker.0"), part=1), CommandApplied)
        assert isinstance(watch.apply(Set("freeze", "maker.0")), CommandRejected), "part 0 has no such layer"
        assert isinstance(watch.apply(Set("clip", "norm:1"), part=2), CommandRejected)
        frozen = models["maker"][0].weight.detach().clone()
        adversarial(models, one, other, 4)
        assert [part.step for part in watch.parts] == [6, 8]
        assert torch.equal(models["maker"][0].weight, frozen)


def test_one_parts_accumulation_leaves_the_gradients_of_the_other() -> None:
    model = make_model().eval()
    first, last = SGD(model[0].parameters()), SGD(model[3].parameters())
    with vgrad.watch(model, [first, last]) as watch:
        watch.apply(Set("accumulate", 2), part=0)
        loss_of(model, batches(1)[0]).backward()
        first.step()
        assert model[0].weight.grad is None
        assert model[3].weight.grad is not None
        last.step()
        assert [part.step for part in watch.parts] == [0, 1]
        [record] = watch.records()
        assert record.part == 1
        assert record.loss is not None, "both optimizers step after one backward pass"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, where it compiles
def test_a_compiled_model_and_a_compiled_step_have_the_same_values_and_no_further_break() -> None:
    def run(*, watched: bool, lr_scale: float = 1.0) -> tuple[nn.Module, int, Any]:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        inner = make_model().eval()
        model = torch.compile(inner, backend="aot_eager")
        optimizer = torch.optim.Adam(inner.parameters(), lr=0.01)
        watch = vgrad.watch(model, optimizer) if watched else None
        if watch is not None and lr_scale != 1.0:
            watch.apply(Set("lr_scale", lr_scale))
        step = torch.compile(optimizer.step, backend="eager")
        for rows in batches(4):
            optimizer.zero_grad()
            loss_of(model, rows).backward()
            step()
        num_breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
        records = None
        if watch is not None:
            assert watch.layers == ("0", "3")
            records = watch.records()
            watch.close()
        return inner, num_breaks, records

    bare, num_breaks, _ = run(watched=False)
    model, num_watched, records = run(watched=True)
    assert [record.step for record in records] == [1, 2, 3, 4]
    assert_same_bits(model, bare)
    assert num_watched <= num_breaks
    _, _, slow = run(watched=True, lr_scale=0.5)
    assert [record.lr for record in slow] == pytest.approx([0.005] * 4)


def test_a_watched_model_can_be_saved_copied_and_averaged() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer):
        plain(model, optimizer, batches(2))
        file = io.BytesIO()
        torch.save(model, file)
        torch.save(optimizer.state_dict(), io.BytesIO())
        torch.save(optimizer, io.BytesIO())
        file.seek(0)
        assert_same_bits(torch.load(file, weights_only=False), model)
        assert_same_bits(copy.deepcopy(model), model)
        copied = copy.deepcopy(optimizer)
        averaged = torch.optim.swa_utils.AveragedModel(model)
        averaged.update_parameters(model)
        plain(model, optimizer, batches(1))
    copied.step()


class Bucketed(nn.Module):
    """Gradients are views of one buffer that every backward pass overwrites, as DDP's buckets are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = make_model().eval()
        self.bucket = torch.zeros(sum(param.numel() for param in self.inner.parameters()))

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(rows)

    def backward(self, loss: Tensor) -> None:
        params = list(self.inner.parameters())
        grads = torch.autograd.grad(loss, params)
        start = 0
        for param, grad in zip(params, grads, strict=True):
            view = self.bucket[start : start + grad.numel()].view_as(grad)
            view.copy_(grad)
            param.grad = view
            start += grad.numel()


def test_gradients_that_are_views_of_a_bucket_accumulate_rightly_and_stay_views() -> None:
    model, whole = Bucketed(), make_model().eval()
    optimizer, other = SGD(model.parameters()), SGD(whole.parameters())
    rows = batches(4)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("accumulate", 4))
        for each in rows:
            model.backward(loss_of(model, each))
            optimizer.step()
        assert watch.step == 1
    plain(whole, other, [torch.cat(rows)])
    for mine, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.grad is not None
        assert mine.grad.untyped_storage().data_ptr() == model.bucket.untyped_storage().data_ptr()


def test_parameters_that_are_added_or_unfrozen_later_are_watched_from_then_on() -> None:
    model = nn.Sequential(*make_model().eval(), nn.Linear(1, 1))
    for param in model[0].parameters():
        param.requires_grad_(requires_grad=False)
    optimizer = SGD([*model[0].parameters(), *model[3].parameters()])
    with vgrad.watch(model, optimizer) as watch:
        cursor = watch.cursor()
        seen = []

        def train() -> None:
            plain(model, optimizer, batches(2))
            seen.append((watch.layers, [len(record.grad_norms) for record in watch.records()]))

        train()
        for param in model[0].parameters():
            param.requires_grad_(requires_grad=True)
        train()
        optimizer.add_param_group({"params": list(model[4].parameters()), "lr": 0.001})
        train()
        changes = [n.body for n in cursor.take().notices if isinstance(n.body, LayersChanged)]
    assert seen == [(("3",), [1, 1]), (("0", "3"), [2, 2]), (("0", "3", "4"), [3, 3])]
    assert [change.info.layers for change in changes] == [("0", "3"), ("0", "3", "4")]


def test_parameters_that_are_replaced_by_others_are_watched_in_their_place() -> None:
    """As when points of a splatting scene are split: the parameter and the state of Adam become longer."""
    torch.manual_seed(0)
    model = nn.ParameterDict({"points": torch.randn(4, 3), "scale": torch.ones(1)})
    optimizer = torch.optim.Adam([{"params": [param]} for param in model.values()], lr=0.01)
    with vgrad.watch(model, optimizer, record=False) as watch:
        cursor = watch.cursor()
        expected = []
        for step in range(6):
            if step in {2, 4}:
                old = optimizer.param_groups[0]["params"][0]
                grown = torch.cat([old.detach(), old.detach()]) if step == 2 else old.detach().clone()
                optimizer.state.pop(old)
                model["points"] = optimizer.param_groups[0]["params"][0] = nn.Parameter(grown)
            optimizer.zero_grad()
            loss = (model["scale"] * model["points"].square()).mean()
            loss.backward()
            optimizer.step()
            norms = [float(param.grad.norm()) for param in model.values()]
            expected.append((loss.item(), pytest.approx(norms)))
        records = watch.records()
        changes = [n.body for n in cursor.take().notices if isinstance(n.body, LayersChanged)]
    assert [(record.loss, list(record.grad_norms)) for record in records] == expected
    assert [(change.step, change.info.layer_sizes) for change in changes] == [(2, (24, 1))]


class Mixed(nn.Module):
    """Parameters of every kind: sparse, tied, of no dimension, half, double and complex."""

    def __init__(self, *, with_complex: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.words = nn.Embedding(9, 4, sparse=True)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied_too = nn.Linear(4, 4, bias=False)
        self.tied_too.weight = self.tied.weight
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.single_half = nn.Parameter(torch.ones(4, dtype=torch.float16))
        self.wide = nn.Parameter(torch.ones(4, dtype=torch.float64))
        for param in (self.words.weight, self.tied.weight):
            param.data = torch.randn(param.shape, generator=generator)
        if with_complex:
            self.phase = nn.Parameter(torch.ones(4, dtype=torch.complex64) * (1 + 1j))

    def forward(self, index: Tensor) -> Tensor:
        rows = (
            self.tied_too(self.tied(self.words(index)))
            * self.scale
            * self.single_half.float()
            * self.wide.float()
        )
        return rows * self.phase.abs() if hasattr(self, "phase") else rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_norms_stay_right_when_the_model_is_moved_to_another_dtype(dtype: torch.dtype) -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer, watch_budget=1.0) as watch:
        plain(model, optimizer, batches(2))
        model.to(dtype)
        expected = []
        for rows in batches(3):
            plain(model, optimizer, [rows.to(dtype)])
            grads = [param.grad.double() for param in model.parameters() if param.grad is not None]
            expected.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
        assert [record.grad_norm for record in watch.records()[2:]] == pytest.approx(expected, rel=1e-6)


class WithoutRate(torch.optim.Optimizer):
    """Works its rate out itself, as Adafactor of transformers does."""

    def __init__(self, params: Any, **defaults: Any) -> None:
        super().__init__(params, defaults)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.data.add_(param.grad, alpha=-0.05)


@pytest.mark.parametrize("defaults", [{}, {"lr": None}], ids=["none", "lr=None"])
def test_an_optimizer_without_a_learning_rate_is_not_taken_for_one_at_rate_zero(
    defaults: dict[str, Any],
) -> None:
    model = make_model()
    optimizer = WithoutRate(model.parameters(), **defaults)
    with vgrad.watch(model, optimizer) as watch:
        plain(model, optimizer, batches(100))
        answer = watch.apply(Set("lr_scale", 0.5))
        assert isinstance(answer, CommandRejected)
        assert "no learning rate" in answer.reason
        assert isinstance(watch.apply(Set("clip", "norm:1")), CommandApplied)
        plain(model, optimizer, batches(2))
        assert all(math.isnan(record.lr) and math.isnan(record.max_lr) for record in watch.records())
        assert "finished" not in watch.verdict.tags


def test_a_group_without_a_learning_rate_leaves_those_of_the_others_alone() -> None:
    model = make_model()
    first, *others = model.parameters()
    optimizer = WithoutRate([{"params": [first], "lr": None}, {"params": others, "lr": 0.1}])
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("lr_scale", 0.5))
        plain(model, optimizer, batches(1))
        [record] = watch.records()
    assert math.isnan(record.lr)
    assert record.max_lr == 0.05
    assert [group["lr"] for group in optimizer.param_groups] == [None, 0.1]


class Doubled(torch.Tensor):
    """A tensor that computes by rules of its own and has no memory."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Self:
        made: Self = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)  # type: ignore[attr-defined]
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return cls(args[0].inner)
        raise NotImplementedError(str(func))


def test_a_parameter_without_memory_of_its_own_is_refused_by_name() -> None:
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(Doubled(torch.ones(2, 2)))
    with pytest.raises(vgrad.ConfigError, match="weight is a Doubled"):
        vgrad.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("with_complex", [False, True], ids=["real", "complex"])
def test_parameters_of_every_kind_are_measured(with_complex: bool) -> None:
    models = [Mixed(with_complex=with_complex) for _ in range(2)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in models]
    index = torch.tensor([1, 2, 2, 5])

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(index).square().mean().backward()
        optimizer.step()

    with vgrad.watch(models[0], optimizers[0], watch_budget=1.0) as watch:
        for _ in range(3):
            for model, optimizer in zip(models, optimizers, strict=True):
                train(model, optimizer)
        records = watch.records()
        assert_same_bits(*models)
        norms = [
            float(torch.linalg.vector_norm(grad.coalesce().values() if grad.is_sparse else grad.to(wide)))
            for param in models[1].parameters()
            if (grad := param.grad) is not None
            for wide in [torch.complex128 if grad.is_complex() else torch.float64]
        ]
        assert records[-1].grad_norm == pytest.approx(sum(norm**2 for norm in norms) ** 0.5, rel=1e-3)
        assert isinstance(watch.apply(Set("clip", "agc")), CommandRejected)
        assert isinstance(watch.apply(Set("noise", "0.1")), CommandRejected)
        for control, value in (
            ("clip", "norm:0.001"),
            ("accumulate", 2),
            ("lr_scale", 0.5),
            ("clip", "value:1"),
        ):
            assert isinstance(watch.apply(Set(control, value)), CommandApplied)
            train(models[0], optimizers[0])
        for _ in range(2):
            train(models[0], optimizers[0])
        assert watch.records()


def test_a_gradient_that_turns_sparse_switches_off_what_needs_it_dense_and_says_so() -> None:
    table = nn.Parameter(torch.randn(9, 4))
    model = nn.ParameterList([table])
    optimizer = torch.optim.SGD([table], lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        cursor = watch.cursor()
        assert isinstance(watch.apply(Set("clip", "agc")), CommandApplied)
        for sparse in (False, True, True):
            optimizer.zero_grad()
            F.embedding(torch.tensor([1, 3]), table, sparse=sparse).square().sum().backward()
            optimizer.step()
        assert len(watch.records()) == 3
        assert watch.controls.clip is None
        bodies = [notice.body for notice in cursor.take().notices]
        [refusal] = [body for body in bodies if isinstance(body, CommandRejected)]
        assert "needs dense gradients" in refusal.reason
        assert bodies[-1] == CommandApplied(refusal.step, Set("clip", None), vgrad.Controls())
        assert isinstance(watch.apply(Set("clip", "agc")), CommandRejected)


def test_schedulers_that_look_at_step_find_what_they_expect() -> None:
    def train(*, watched: bool) -> list[float]:
        model = make_model()
        optimizer = SGD(model.parameters())
        watch = vgrad.watch(model, optimizer) if watched else None
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
        restarts = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
        rates = []
        for rows in batches(6):
            plain(model, optimizer, [rows])
            scheduler.step()
            restarts.step()
            rates.append(optimizer.param_groups[0]["lr"])
        if watch is not None:
            watch.close()
        return rates

    assert train(watched=True) == train(watched=False)


def test_steps_without_any_gradient_are_no_steps() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        for _ in range(3):
            optimizer.step()
        assert (watch.step, watch.records()) == (0, [])


def off_the_graph(
    model: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int, *, is_cut: bool = True
) -> list[float]:
    """A loop whose loss has a gradient of its own where ``is_cut``, and reaches no weight."""
    losses = []
    for rows in batches(num_steps):
        optimizer.zero_grad()
        outputs = model(rows)
        if is_cut:
            outputs = outputs.detach().requires_grad_()
        loss = (outputs - rows.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_loop_whose_loss_reaches_no_weight_is_dead_and_lives_once_it_does() -> None:
    def train(*, watched: bool) -> tuple[nn.Module, list[float]]:
        torch.manual_seed(0)
        model = make_model()
        optimizer = SGD(model.parameters())
        if not watched:
            return model, off_the_graph(model, optimizer, 240) + plain(model, optimizer, batches(400))
        with vgrad.watch(model, optimizer, record=False) as watch:
            losses = off_the_graph(model, optimizer, 240)
            records = watch.records()
            assert [record.step for record in records] == list(range(1, 241))
            assert [record.loss for record in records] == losses
            assert {record.grad_norm for record in records} == {0.0}
            assert not any(record.grad_norms.any() for record in records)
            assert (watch.verdict.kind, watch.verdict.rule) == ("dead", "dead")
            assert "no layer has ever got a gradient" in watch.verdict.evidence
            later = plain(model, optimizer, batches(400))
            assert [record.loss for record in watch.records()] == later
            assert watch.verdict.kind == "healthy"
            return model, losses + later

    (model, losses), (bare, bare_losses) = train(watched=True), train(watched=False)
    assert losses == bare_losses
    assert_same_bits(model, bare)


def test_once_there_was_a_gradient_a_step_without_one_is_no_step() -> None:
    model, other = make_model(), make_model(1)
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer, record=False) as watch:
        losses = []
        for rows in batches(3):
            losses += plain(model, optimizer, [rows])
            optimizer.zero_grad()
            loss_of(other, rows).backward()
            optimizer.step()
        assert [record.loss for record in watch.records()] == losses


class CallsItsBase(torch.optim.SGD):
    """Torch wraps the step of its base class, too, once there was an optimizer of that class."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("loop", [plain, with_closure])
@pytest.mark.parametrize(
    "command", [Set("noise", "gaussian"), Set("accumulate", 2), Set("clip", "norm:0.1"), Set("lr_scale", 0.5)]
)
def test_a_step_that_calls_the_one_of_its_base_class_is_steered_once(loop: Loop, command: Set) -> None:
    def steered(kind: type[torch.optim.SGD]) -> tuple[nn.Module, list[tuple[float | None, float, float]]]:
        model = make_model().eval()
        optimizer = kind(model.parameters(), lr=0.1)
        with vgrad.watch(model, optimizer) as watch:
            watch.apply(command)
            loop(model, optimizer, batches(4))
            assert optimizer.param_groups[0]["lr"] == 0.1
            rows = [(record.loss, record.grad_norm, record.applied_norm) for record in watch.records()]
        return model, rows

    one, expected = steered(torch.optim.SGD)
    other, rows = steered(CallsItsBase)
    assert_same_bits(other, one)
    assert rows == expected


def test_the_rate_of_optimizers_stepped_in_backward_is_scaled_once_though_they_call_their_base() -> None:
    torch.optim.SGD(make_model().parameters())
    model = make_model()
    optimizers = [CallsItsBase([param], lr=0.1) for param in model.parameters()]
    for optimizer, param in zip(optimizers, model.parameters(), strict=True):
        param.register_post_accumulate_grad_hook(lambda _, optimizer=optimizer: optimizer.step())
    with vgrad.watch(model, optimizers) as watch:
        watch.apply(Set("lr_scale", 0.5))
        for each in batches(3):
            model.zero_grad()
            loss_of(model, each).backward()
        assert [record.lr for record in watch.records()] == [0.05] * 3
    assert {optimizer.param_groups[0]["lr"] for optimizer in optimizers} == {0.1}


class Raises(torch.optim.SGD):
    """Raises in every step while told to."""

    raises = True

    def step(self, closure: Any = None) -> Any:
        if closure is not None:
            closure()
        if self.raises:
            raise ZeroDivisionError("made to fail")
        return super().step()


@pytest.mark.parametrize("in_closure", [False, True])
def test_a_step_that_raises_leaves_rates_and_gradients_as_they_were(in_closure: bool) -> None:
    model = make_model()
    optimizer = Raises(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("lr_scale", 0.5))
        watch.apply(Set("freeze", "0"))
        watch.apply(Set("clip", "norm:0.001"))

        def backward() -> None:
            optimizer.zero_grad()
            loss_of(model, batches(1)[0]).backward()

        if not in_closure:
            backward()
        with pytest.raises(ZeroDivisionError):
            optimizer.step(backward if in_closure else None)
        gc.collect()  # the exception, and with it the step's frame, is gone now
        assert optimizer.param_groups[0]["lr"] == 0.1
        assert all(param.grad is not None for param in model.parameters())
        assert float(model[3].weight.grad.norm()) <= 0.001, "what was clipped in place stays so"
        optimizer.raises = False
        optimizer.step(backward if in_closure else None)
        assert (watch.step, optimizer.param_groups[0]["lr"]) == (1, 0.1)


def test_a_handler_of_a_step_that_raised_saves_the_rate_of_the_loop() -> None:
    model = make_model()
    optimizer = Raises(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("lr_scale", 0.5))
        watch.apply(Set("accumulate", 2))
        for _ in range(2):
            loss_of(model, batches(1)[0]).backward()
            try:
                optimizer.step()
            except ZeroDivisionError:  # its traceback holds the frame of the step
                saved = optimizer.state_dict()
                assert all(param.grad is not None for param in model.parameters())
            assert saved["param_groups"][0]["lr"] == 0.1


def test_what_an_open_window_holds_is_put_back_when_its_step_raises() -> None:
    model = make_model()
    optimizer = Raises(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        watch.apply(Set("accumulate", 2))
        loss_of(model, batches(1)[0]).backward()
        grads = [param.grad.clone() for param in model.parameters()]
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
        gc.collect()
        for param, grad in zip(model.parameters(), grads, strict=True):
            assert torch.equal(param.grad, grad)


def test_closing_with_an_open_window_gives_the_gradients_back() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    watch = vgrad.watch(model, optimizer)
    watch.apply(Set("accumulate", 4))
    loss_of(model, batches(1)[0]).backward()
    optimizer.step()
    assert model[0].weight.grad is None
    watch.close()
    assert model[0].weight.grad is not None


@pytest.mark.parametrize("register", ["register_step_pre_hook", "register_step_post_hook"])
@pytest.mark.parametrize("ours_first", [True, False])
def test_watching_may_begin_and_end_inside_a_hook(register: str, ours_first: bool) -> None:
    bare, _ = run_bare(SGD, num_steps=6)
    model = make_model()
    optimizer = SGD(model.parameters())
    watches = [vgrad.watch(model, optimizer)] if ours_first else []

    def change(*_: object) -> None:
        if watches:
            watches.pop().close()
        else:
            watches.append(vgrad.watch(model, optimizer))

    hooks = [getattr(optimizer, register)(change) for _ in range(1)]
    hooks.append(getattr(optimizer, register)(lambda *_: None))
    torch.manual_seed(5)
    plain(model, optimizer, batches(6))
    assert_same_bits(model, bare)
    for hook in hooks:
        hook.remove()
    for watch in watches:
        watch.close()
    loss_of(model, batches(1)[0]).backward()  # what had to wait is done at the latest now
    with vgrad.watch(model, optimizer):
        pass
    assert optimizer._optimizer_step_pre_hooks == OrderedDict()
    assert optimizer._optimizer_step_post_hooks == OrderedDict()


def test_a_watch_may_be_closed_by_another_thread_while_steps_run() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    stop = threading.Event()
    errors: list[BaseException] = []

    def train() -> None:
        try:
            while not stop.is_set():
                plain(model, optimizer, batches(1))
        except BaseException as error:  # noqa: BLE001  # what the loop sees is what is tested
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    for _ in range(30):
        vgrad.watch(model, optimizer).close()
    stop.set()
    thread.join()
    assert not errors


class AcceleratedOptimizer(torch.optim.Optimizer):
    """As Accelerate's: hands every call to the inner one."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)


class SharpnessAware(torch.optim.Optimizer):
    """As the public ones: two passes a step, and an optimizer over the same groups makes the update."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.05})
        self.base_optimizer = torch.optim.SGD(self.param_groups, lr=0.05)
        self.param_groups = self.base_optimizer.param_groups

    def first_step(self) -> None:
        with torch.no_grad():
            self._moved = [0.01 * param.grad for group in self.param_groups for param in group["params"]]
            self._move(1)
        self.zero_grad()

    def second_step(self) -> None:
        with torch.no_grad():
            self._move(-1)
        self.base_optimizer.step()
        self.zero_grad()

    def _move(self, sign: int) -> None:
        params = [param for group in self.param_groups for param in group["params"]]
        for param, moved in zip(params, self._moved, strict=True):
            param.add_(moved, alpha=sign)


class Plain:
    """A wrapper that is no optimizer."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self.base = base


def test_an_optimizer_that_updates_by_another_one_is_watched_there() -> None:
    model = make_model()
    optimizer = SharpnessAware(model.parameters())
    with vgrad.watch(model, Plain(optimizer)) as watch:
        for rows in batches(3):
            loss_of(model, rows).backward()
            optimizer.first_step()
            loss = loss_of(model, rows)
            loss.backward()
            optimizer.second_step()
        records = watch.records()
    assert [record.step for record in records] == [1, 2, 3]
    assert records[-1].loss == loss.item(), "of the pass whose gradients are used"


def test_wrapped_optimizers_and_models_are_unwrapped() -> None:
    model = make_model()
    inner = SGD(model.parameters())
    wrapped = AcceleratedOptimizer(inner)
    averaged = nn.DataParallel(model)
    with vgrad.watch(averaged, wrapped) as watch:
        device = next(model.parameters()).device  # `DataParallel` moves a model to a device, if there is one
        plain(model, inner, [batch.to(device) for batch in batches(2)])
        assert (watch.step, watch.layers) == (2, ("0", "3"))


def test_a_module_that_is_called_module_keeps_its_name() -> None:
    model = nn.ModuleDict({"module": nn.Linear(6, 1)})
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        assert watch.layers == ("module",)


def test_parameters_outside_the_model_are_watched_too() -> None:
    model = make_model()
    free = nn.Parameter(torch.ones(3))
    optimizer = SGD([*model.parameters(), free])
    with vgrad.watch(model, optimizer) as watch:
        (loss_of(model, batches(1)[0]) + free.sum()).backward()
        optimizer.step()
        [record] = watch.records()
        assert watch.layers == ("0", "3", "params.4")
        assert record.grad_norms[2] == pytest.approx(3**0.5)


def one_optimizer_per_parameter(model: nn.Module) -> dict[nn.Parameter, torch.optim.Optimizer]:
    """Each is stepped, and its gradient freed, as soon as the gradient is there."""
    optimizers = {param: torch.optim.Adam([param], lr=0.01) for param in model.parameters()}

    def step(param: nn.Parameter) -> None:
        optimizers[param].step()
        optimizers[param].zero_grad()

    for param in model.parameters():
        param.register_post_accumulate_grad_hook(step)
    return optimizers


def test_one_optimizer_per_parameter_stepped_in_backward_makes_one_step() -> None:
    bare, watched, whole = (make_model().eval() for _ in range(3))
    one_optimizer_per_parameter(bare)
    optimizers = one_optimizer_per_parameter(watched)
    reference = torch.optim.Adam(whole.parameters(), lr=0.01)
    with vgrad.watch(watched, list(optimizers.values())) as watch, vgrad.watch(whole, reference) as other:
        losses = []
        for rows in batches(5):
            for model in (bare, watched):
                loss = loss_of(model, rows)
                loss.backward()
            losses.append(loss.item())
        plain(whole, reference, batches(5))
        [part] = watch.parts
        assert (part.step, part.layers) == (5, ("0", "3"))
        records = watch.records()
        for mine, theirs in zip(records, other.records(), strict=True):
            assert mine.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-5)
            assert mine.grad_norms == pytest.approx(theirs.grad_norms, rel=1e-5)
        assert [record.loss for record in records] == losses
        assert_same_bits(watched, bare)

        assert isinstance(watch.apply(Set("clip", "norm:1")), CommandRejected)
        assert isinstance(watch.apply(Set("lr_scale", 0.5)), CommandApplied)
        loss_of(watched, batches(1)[0]).backward()
        [record] = watch.records()
        assert (record.lr, record.base_lr) == (0.005, 0.01)
        assert all(each.param_groups[0]["lr"] == 0.01 for each in optimizers.values())


def test_optimizers_of_one_parameter_may_also_be_stepped_in_a_plain_loop() -> None:
    model = make_model().eval()
    optimizers = [torch.optim.SGD([param], lr=0.1) for param in model.parameters()]
    with vgrad.watch(model, optimizers) as watch:
        for count in range(1, 4):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = loss_of(model, batches(count)[-1])
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            assert watch.step == count
            assert watch.records()[0].loss == loss.item()
