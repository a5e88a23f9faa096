from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.engine.toys import WIDTH, toy_model, toy_task
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.gradcheck.check import TOLERANCE, GradCheck, check_gradients
from vgrad.gradients.layers import find_layers
from vgrad.recipes.registry import build_task
from vgrad.task import Task

SMALL: dict[str, dict[str, Any]] = {
    "charlm-rnn": {"hidden": 8, "seq_len": 8},
    "charlm-lstm": {"hidden": 8, "seq_len": 8, "layers": 2},
    "charlm-gru": {"hidden": 8, "seq_len": 8},
    "charlm-transformer": {"width": 8, "layers": 1, "heads": 2, "seq_len": 8},
    "depth-tanh": {"depth": 4, "width": 8},
    "digits-conv": {"depth": 3, "channels": 4, "activation": "tanh"},
    "article-net": {"hidden": 16},
}
ROWS = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(0))


def check(model: nn.Module, loss: Callable[[nn.Module], Any] | None = None, **settings: Any) -> GradCheck:
    """Check with the mean of the squared outputs unless told otherwise."""
    return check_gradients(
        model, loss or (lambda copied: copied(ROWS).square().mean()), find_layers(model), **settings
    )


def check_task(task: Task, **settings: Any) -> GradCheck:
    batch = task.stream.next()
    return check(task.model, lambda model: task.loss(model(batch.inputs), batch.targets), **settings)


@pytest.mark.parametrize("name", SMALL)
def test_every_type_of_built_in_model_passes(name: str) -> None:
    task = build_task(RunConfig.make(recipe=name, batch_size=3, options=SMALL[name]), torch.device("cpu"))
    found = check_task(task, entries_per_tensor=3)
    assert found.passed, found.words()
    assert not any(math.isnan(error) for error in found.errors)
    assert found.num_entries >= 4 * len(list(task.model.parameters())) - 1
    assert found.num_left_out == 0


# A wrong gradient is found.


class Wrong(torch.autograd.Function):
    """x * w with a backward whose gradient of w is wrong by ``factor``, in one row only."""

    factor = 1.01

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        wrong = grads[0].T @ x
        wrong[2] *= Wrong.factor
        return grads[0] @ w, wrong


class Planted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.good = nn.Linear(WIDTH, 5)
        self.bad = nn.Linear(5, 4, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(Wrong.apply(torch.tanh(self.good(x)), self.bad.weight)))
        return y


def planted() -> Planted:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Planted()


@pytest.mark.parametrize("factor", [1.01, 0.0, -1.0, 2.0])
def test_a_planted_bug_is_found_and_its_layer_and_entry_are_named(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrong, "factor", factor)
    found = check(planted(), entries_per_tensor=20)  # all of the 20 entries
    assert not found.passed
    by_layer = dict(zip(found.layers, found.errors, strict=True))
    assert by_layer["good"] < TOLERANCE and by_layer["head"] < TOLERANCE
    assert found.worst is not None
    assert (found.worst.layer, found.worst.parameter) == ("bad", "bad.weight")
    assert found.worst.index[0] == 2
    assert by_layer["bad"] == found.worst.error
    ratio = abs(factor - 1) / max(1, abs(factor))
    assert found.worst.error == pytest.approx(ratio, rel=0.01)
    assert found.worst.autograd == pytest.approx(factor * found.worst.numeric, rel=1e-3, abs=1e-9)
    assert "bad.weight[2, " in found.words()


def test_the_same_model_without_the_bug_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "factor", 1.0)
    assert check(planted(), entries_per_tensor=20).passed


def test_the_largest_entry_is_always_among_those_checked() -> None:
    model = nn.Linear(300, 1, bias=False)  # alone: a random choice of 1 in 300 would miss it
    inputs = torch.full((2, 300), 1e-3)
    inputs[:, 217] = 1.0
    with torch.no_grad():
        model.weight.fill_(0.1)
    wrapped = nn.Sequential(model)
    for seed in range(5):
        found = check(wrapped, lambda m: m(inputs).square().mean(), entries_per_tensor=1, seed=seed)
        assert found.num_entries == 2
    hidden = nn.Sequential(model)
    spike = check(hidden, lambda m: _hide(m[0].weight, inputs), entries_per_tensor=1)
    assert spike.worst is not None and spike.worst.index == (0, 217) and not spike.passed


def _hide(weight: Tensor, inputs: Tensor) -> Tensor:
    """A loss whose gradient is twice too large at the one entry that has a large one."""
    factor = torch.ones_like(inputs)
    factor[:, 217] = 2.0
    outputs = F.linear(inputs * factor, weight) - F.linear(inputs * (factor - 1), weight.detach())
    return outputs.square().mean()


def test_a_gradient_cut_off_by_mistake_is_found() -> None:
    model = toy_model()
    found = check(model, lambda m: m[3](m[1](m[0](ROWS)).detach()).square().mean())
    assert not found.passed
    assert found.worst is not None and found.worst.layer == "0"
    assert found.worst.autograd == 0.0 and found.worst.numeric != 0.0
    assert found.worst.error == 1.0


# Points without a derivative.


@pytest.mark.parametrize("kink", [F.relu, F.leaky_relu, lambda x: x.clamp(min=0.0)])
def test_an_entry_at_a_kink_is_counted_and_not_judged(kink: Callable[[Tensor], Tensor]) -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 0.0]]))
        model[0].bias.zero_()  # every pre-activation is exactly 0: any step leaves the kink
    found = check(model, lambda m: kink(m(torch.tensor([[1.0, 2.0]]))).sum())
    assert found.num_kinks == found.num_entries == 3
    assert found.worst is None and not found.passed
    assert all(math.isnan(error) for error in found.errors)
    assert found.words() == "nothing could be compared: 3 at a kink"


def test_a_kink_near_by_is_got_away_from_by_a_shorter_step() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(5e-7)  # within the step of 1e-6, outside of an eighth of it
    found = check(model, lambda m: F.relu(m(torch.ones(1, 1))).sum())
    assert found.passed and found.num_kinks == 0


def test_a_strong_curve_is_no_kink_and_hides_no_bug() -> None:
    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return (3e3 * x).sin()  # over one step the slope turns by some parts in a thousand

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return grads[0] * 2e3

    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(0.3)
    found = check(model, lambda m: Steep.apply(m(torch.ones(1, 1))).sum())
    assert found.num_kinks == 0 and not found.passed


def test_a_straight_through_estimator_is_not_the_slope_of_the_loss() -> None:
    model = toy_model()

    def loss(model: nn.Module) -> Tensor:
        outputs = model(ROWS)
        return (outputs + (outputs.round() - outputs).detach()).mean()

    found = check(model, loss)
    assert not found.passed


# Gradients that rounding hides.


def test_gradients_below_the_rounding_of_the_loss_are_not_judged() -> None:
    model = toy_model()
    with torch.no_grad():
        model[3].weight.mul_(1e-13)  # what is below it gets next to nothing
    found = check(model, lambda m: 1.0 + m(ROWS).mean())
    by_layer = dict(zip(found.layers, found.errors, strict=True))
    assert math.isnan(by_layer["0"])
    assert by_layer["3"] < TOLERANCE
    assert found.num_unresolved > 0 and found.passed
    assert "too small to tell" in found.words()


def test_a_parameter_that_changes_nothing_agrees_exactly() -> None:
    model = toy_model()
    model.register_parameter("idle", nn.Parameter(torch.ones(3)))
    found = check(model)
    assert dict(zip(found.layers, found.errors, strict=True))["idle"] == 0.0
    assert found.passed and found.num_unresolved == 0


# Nothing is touched.


class Everything(nn.Module):
    """Dropout, running statistics, tied weights, an own buffer, something kept of the last pass."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.drop = nn.Dropout(0.3)
        self.down = nn.Linear(WIDTH, WIDTH)
        self.down.weight = self.up.weight
        self.register_buffer("calls", torch.zeros(()))
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = self.drop(self.norm(torch.tanh(self.up(x))))
        y: Tensor = self.down(self.last).float()
        return y * (1 + self.calls)  # a loss that depends on how often it was called


class Watcher:
    """A hook that cannot be copied, as those of a live run."""

    def __init__(self) -> None:
        self.num_calls = 0

    def __call__(self, *_: Any) -> None:
        self.num_calls += 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Watcher:
        raise AssertionError("a watcher was copied")


def test_everything_is_left_as_it_was_and_nothing_watches_the_copy() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Everything()
        model(ROWS).sum().backward()
    model.norm.eval()
    watcher = Watcher()
    model.register_forward_hook(watcher)
    model.register_forward_pre_hook(watcher)
    model.up.register_full_backward_hook(watcher)
    model.up.weight.register_hook(watcher)
    model.up.weight.register_post_accumulate_grad_hook(watcher)
    model.register_state_dict_post_hook(watcher)
    params = list(model.parameters())
    before = [param.detach().clone() for param in params]
    grads = [(param.grad, param.grad.clone()) for param in params if param.grad is not None]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    kept, kept_copy, rows = model.last, copy.copy(model.last), ROWS.clone()
    modes = [module.training for module in model.modules()]
    rng = torch.get_rng_state()
    found = check(model)
    assert found.passed, found.words()
    assert watcher.num_calls == 0
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))
    assert len(grads) == len(params)
    for param, (grad, values) in zip(params, grads, strict=True):
        assert param.grad is grad and torch.equal(grad, values)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert [module.training for module in model.modules()] == modes
    assert model.last is kept and kept_copy is not None and torch.equal(kept_copy, model.last)
    assert torch.equal(ROWS, rows) and model.up.weight.dtype == torch.float32
    assert model.down.weight is model.up.weight


def test_a_run_that_was_checked_trains_on_bit_identically() -> None:
    losses = []
    for is_checked in (False, True):
        task = toy_task(model=nn.Sequential(toy_model(), nn.Dropout(0.0)))
        torch.manual_seed(3)
        for number in range(4):
            batch = task.stream.next()
            task.optimizer.zero_grad()
            F.dropout(task.loss_of(batch), 0.0).backward()
            task.optimizer.step()
            if is_checked and number == 1:
                assert check(task.model).passed
        losses.append([param.detach().clone() for param in task.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))


def test_float32_inside_a_model_and_float32_data_do_not_round() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-1, 1, WIDTH))
            self.scale = torch.full((WIDTH,), 0.1)  # no buffer: a plain attribute

        def forward(self, x: Tensor) -> Tensor:
            kept = torch.zeros(len(x), WIDTH, dtype=torch.float32)
            kept[:, 1:] = (x * self.weight).to(torch.bfloat16)[:, 1:]
            return (kept.float() * self.scale).softmax(-1, dtype=torch.float32).half()

    found = check(Mixed(), lambda m: F.mse_loss(m(ROWS), ROWS[:, :WIDTH]))
    assert found.passed, found.words()


def test_reparametrised_weights_are_part_of_the_function() -> None:
    new = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 3)))
    hooked = nn.Sequential(nn.utils.spectral_norm(nn.Linear(WIDTH, 3))).eval()
    hooked(ROWS)  # its hook leaves the weight behind as a tensor that is no leaf
    for model in (new, hooked):
        found = check(model, entries_per_tensor=20)
        assert found.passed, found.words()
        assert not any(math.isnan(error) for error in found.errors)
        assert found.worst is not None and found.num_entries == sum(p.numel() for p in model.parameters())


# Bounds, progress, choice.


def test_the_seed_decides_which_entries() -> None:
    model = toy_model()
    one, two = check(model, seed=1), check(model, seed=1)
    assert (one.errors, one.worst, one.floor) == (two.errors, two.worst, two.floor)
    assert check(model, seed=2).errors != one.errors


@pytest.mark.parametrize("most", [1, 14, 20, 33, 1000])
def test_evaluations_are_bounded_and_what_is_left_out_is_counted(most: int) -> None:
    calls = []

    def loss(model: nn.Module) -> Tensor:
        calls.append(1)
        return model(ROWS).square().mean()

    progress: list[tuple[int, int]] = []
    model = toy_model()
    found = check(model, loss, max_evaluations=most, on_progress=lambda *now: progress.append(now))
    assert len(calls) <= max(most, 10)  # one for autograd and nine for the noise there always are
    total = sum(min(param.numel(), 5) for param in model.parameters())
    assert found.num_entries + found.num_left_out == total
    assert [done for done, _ in progress] == list(range(1, found.num_entries + 1))
    if most == 1000:
        assert found.num_left_out == 0 and progress[-1] == (total, total)
    if most == 1:
        assert found.worst is None and not found.passed


def test_too_few_evaluations_are_spread_over_the_depth() -> None:
    model = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(20)))
    found = check(model, lambda m: m(torch.ones(2, 3)).square().mean() * 1e6, max_evaluations=10 + 2 * 10 + 2)
    seen = [place for place, error in enumerate(found.errors) if not math.isnan(error)]
    assert len(seen) >= 8 and max(seen) - min(seen) >= 14


# What cannot be checked.


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m: m(ROWS), "must be a 0-d tensor"),
        (lambda m: m(ROWS).mean().item(), "must be a 0-d tensor"),
        (lambda m: m(ROWS).mean() * math.inf, r"the loss is -?inf"),
        (lambda m: m(ROWS).mean() * math.nan, "the loss is nan"),
        (lambda _: torch.ones(()), "does not depend on the model it is given"),
    ],
)
def test_a_loss_that_makes_no_sense(loss: Callable[[nn.Module], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(toy_model(), loss)


def test_a_loss_of_the_live_model_is_refused_and_leaves_no_gradient_there() -> None:
    model = toy_model()
    with pytest.raises(ConfigError, match="use that one, a copy"):
        check(model, lambda _: model(ROWS).mean())
    assert all(param.grad is None for param in model.parameters())


def test_layers_of_another_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="not of this model"):
        check_gradients(toy_model(), lambda m: m(ROWS).mean(), find_layers(toy_model()))


def open_ended() -> Iterator[int]:
    yield 1


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = toy_model()
    model.rows = iter(open_ended())  # a running generator has no copy
    with pytest.raises(ConfigError, match="cannot be copied in float64"):
        check(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0.0}, "step must be > 0"),
        ({"entries_per_tensor": 0}, "entries_per_tensor must be"),
        ({"max_evaluations": 0.5}, "max_evaluations must be"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(toy_model(), **settings)
