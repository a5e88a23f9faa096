"""Errors and targets are those of the loop, however it writes its loss; reading them leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.engine.waiting import CountReadBacks
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from vgrad.measure.loss_guesses import guesses_of
from vgrad.measure.squared_errors import squared_errors_of
from vgrad.run.watched_loop import watch

Make = Callable[[Tensor, Tensor], Tensor]

FORMS: dict[str, Make] = {
    "mse_loss": F.mse_loss,
    "summed": lambda a, b: F.mse_loss(a, b, reduction="sum"),
    "power": lambda a, b: ((a - b) ** 2).mean(),
    "pow": lambda a, b: (a - b).pow(2).mean(),
    "square": lambda a, b: torch.square(b - a).mean(),
    "over-number": lambda a, b: ((a - b) ** 2).sum() / 12,
    "half": lambda a, b: 0.5 * ((a - b) ** 2).mean(),
    "squeezed": lambda a, b: ((a.squeeze(-1) - b.squeeze(-1)) ** 2).mean(),
    "first-column": lambda a, b: ((a[:, 0] - b[:, 0]) ** 2).mean(),
    "flat": lambda a, b: (a.view(-1) - b.flatten()).square().mean(),
}

OTHERS: dict[str, Make] = {
    "absolute": F.l1_loss,
    "fourth-power": lambda a, b: ((a - b) ** 4).mean(),
    "tensor-power": lambda a, b: ((a - b) ** torch.tensor(2.0)).mean(),
    "penalty": lambda a, b: ((a - b) ** 2).mean() + a.mean(),
    "two-models": lambda a, b: ((a - a.sin()) ** 2).mean(),
    "twice": lambda a, b: torch.sub(a, b, alpha=2).square().mean(),
    "bent": lambda a, b: ((a.tanh() - b) ** 2).mean(),
    "weighted": lambda a, b: ((a - b) ** 2 * b).mean(),
    "broadcast": lambda a, b: ((a - b[:, 0]) ** 2).mean(),
    "over-loss": lambda a, b: torch.tensor(1.0) / ((a - b) ** 2).mean(),
    "one-in-two": lambda a, b: ((a[::2] - b[::2]) ** 2).mean(),
}


def model_and_batch() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    inputs = torch.randn(12, 5, generator=generator)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, inputs, 4 + torch.randn(12, 1, generator=generator)


@pytest.mark.parametrize("form", FORMS)
def test_errors_and_targets_are_those_of_the_loop(form: str) -> None:
    model, inputs, targets = model_and_batch()
    outputs = model(inputs)
    loss = FORMS[form](outputs, targets)
    found = squared_errors_of(loss.grad_fn)
    assert found is not None
    torch.testing.assert_close(found.targets.reshape(12, 1), targets)
    torch.testing.assert_close(found.errors.abs().reshape(12, 1), (outputs - targets).abs())
    ratio = ((outputs - targets).square().mean() / targets.var(0).mean()).item()
    assert guesses_of(loss).over_constant == pytest.approx(ratio, rel=1e-5)


@pytest.mark.parametrize("form", OTHERS)
def test_other_losses_show_no_squared_error(form: str) -> None:
    model, inputs, targets = model_and_batch()
    assert squared_errors_of(OTHERS[form](model(inputs), targets).grad_fn) is None


def test_each_step_of_time_is_an_output_of_its_own() -> None:
    model, _, _ = model_and_batch()
    inputs, targets = torch.randn(6, 7, 5), torch.randn(6, 7, 1)
    found = squared_errors_of(((model(inputs) - targets) ** 2).mean().grad_fn)
    assert found is not None
    torch.testing.assert_close(found.targets, targets)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("converts", [False, True])
def test_autocast_is_looked_through(dtype: torch.dtype, converts: bool) -> None:
    model, inputs, targets = model_and_batch()
    with torch.autocast("cpu", dtype):
        outputs = model(inputs)
        loss = (((outputs.float() if converts else outputs) - targets) ** 2).mean()
    found = squared_errors_of(loss.grad_fn)
    assert found is not None
    torch.testing.assert_close(found.targets, targets)


def test_targets_that_differ_by_rounding_alone_show_nothing() -> None:
    model, inputs, _ = model_and_batch()
    loss = ((model(inputs) - torch.full((12, 1), 0.1)) ** 2).mean()
    assert math.isnan(guesses_of(loss).over_constant)  # type: ignore[arg-type]


def test_no_hook_is_called_and_nothing_is_computed_again() -> None:
    model, inputs, targets = model_and_batch()
    num_unpacked = num_forward = 0

    def unpack(tensor: Tensor) -> Tensor:
        nonlocal num_unpacked
        num_unpacked += 1
        return tensor

    def counted(rows: Tensor) -> Tensor:
        nonlocal num_forward
        num_forward += 1
        result: Tensor = model(rows)
        return result

    with saved_tensors_hooks(lambda tensor: tensor, unpack):
        loss = ((model(inputs) - targets) ** 2).mean()
    assert squared_errors_of(loss.grad_fn) is None
    assert (
        squared_errors_of(((checkpoint(counted, inputs, use_reentrant=False) - targets) ** 2).mean().grad_fn)
        is None
    )
    assert (num_unpacked, num_forward) == (0, 1)


@pytest.mark.parametrize("form", ["mse_loss", "power"])
def test_what_was_written_to_or_is_gone_is_not_known(form: str) -> None:
    model, inputs, targets = model_and_batch()
    written = FORMS[form](model(inputs), targets)
    with torch.no_grad():
        for param in model.parameters():
            param.mul_(2)
        targets.mul_(2)
    assert squared_errors_of(written.grad_fn) is None
    gone = FORMS[form](model(inputs), targets)
    gone.backward()
    assert squared_errors_of(gone.grad_fn) is None


@pytest.mark.parametrize("form", FORMS)
def test_a_device_is_not_waited_for(form: str) -> None:
    model, inputs, targets = model_and_batch()
    loss = FORMS[form](model.to("meta")(inputs.to("meta")), targets.to("meta"))
    with CountReadBacks() as read_backs:
        seen = guesses_of(loss).over_constant
    assert isinstance(seen, Tensor)
    assert seen.is_meta
    assert not read_backs.seen


@pytest.mark.parametrize("form", ["power", "half"])
def test_training_is_the_same_to_the_bit(form: str) -> None:
    def weights(is_watched: bool) -> Tensor:
        model, inputs, targets = model_and_batch()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        watched_by = watch(model, optimizer, record=False) if is_watched else None
        for _ in range(50):
            optimizer.zero_grad()
            FORMS[form](model(inputs), targets).backward()
            optimizer.step()
        if watched_by is not None:
            assert math.isfinite(watched_by.parts[0].guesses.over_constant)
            watched_by.close()
        return torch.cat([param.detach().flatten() for param in model.parameters()])

    assert torch.equal(weights(is_watched=True), weights(is_watched=False))
