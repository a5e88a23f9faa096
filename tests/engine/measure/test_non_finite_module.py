"""Where a forward pass stops being finite is found by running it again, and nothing is changed by that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vgrad.measure.non_finite_module import first_non_finite_in_words


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x).log()


class Exp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (100 * x).exp()


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (1e5 * x).half().float().half()


def model(middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), middle, nn.Dropout(0.1), nn.Linear(4, 1))


INPUTS = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (Log(), "it began in 2 (Log): its inputs were up to "),
        (Exp(), "it began in 2 (Exp): its inputs were up to "),
    ],
)
def test_the_first_module_in_forward_order_is_named(middle: nn.Module, words: str) -> None:
    net = model(middle)
    assert first_non_finite_in_words(net, lambda: net(INPUTS).mean()).startswith(words)


def test_float16_is_named() -> None:
    net = nn.Sequential(nn.Identity(), Half())
    said = first_non_finite_in_words(net, lambda: net(INPUTS).float().mean())
    assert said.startswith("it began in 1 (Half)")
    assert "float16 ends at 65,504" in said


def test_the_loss_function_the_inputs_and_the_weights_are_told_apart() -> None:
    net = model(nn.Identity())
    in_loss = first_non_finite_in_words(net, lambda: (net(INPUTS) * 0).log().mean())
    assert in_loss.startswith("it began in the loss function, whose inputs were up to ")
    bad = INPUTS.clone()
    bad[0, 0] = torch.nan
    assert "the inputs of the model" in first_non_finite_in_words(net, lambda: net(bad).mean())
    assert "not known where" in first_non_finite_in_words(net, lambda: net(INPUTS).mean())
    with torch.no_grad():
        net[4].weight[0, 0] = torch.inf  # type: ignore[union-attr]
    assert "weights of 4.weight" in first_non_finite_in_words(net, lambda: net(INPUTS).mean())


def test_buffers_random_state_and_hooks_are_as_before() -> None:
    net = model(Log())
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    state = torch.get_rng_state()
    first_non_finite_in_words(net, lambda: net(INPUTS).mean())
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in net.modules())
