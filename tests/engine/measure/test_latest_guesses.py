"""What guesses cost comes to the host without a wait: proven on `meta`, which has no numbers to wait for."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.engine.waiting import CountReadBacks
from torch import Tensor, nn

from vgrad.events.guesses import UNKNOWN, Guesses
from vgrad.measure.latest_guesses import LatestGuesses
from vgrad.measure.loss_guesses import SeenGuesses, guesses_of
from vgrad.run.watched_loop import watch


def on_device() -> SeenGuesses:
    return SeenGuesses(over_constant=torch.zeros((), device="meta"))


def test_a_look_on_a_cpu_counts_at_once() -> None:
    latest = LatestGuesses()
    latest.take(SeenGuesses(uniform=0.5))
    assert latest.guesses.uniform == 0.5
    assert math.isnan(latest.guesses.over_constant)


def test_a_look_on_a_device_counts_from_the_next_one_on() -> None:
    latest = LatestGuesses()
    with CountReadBacks() as read_backs:
        found = []
        for _ in range(3):
            latest.take(on_device())
            found.append(latest.guesses)
        latest.take(SeenGuesses(uniform=7.0))  # the loop goes on with another loss, on the host
    assert read_backs.seen == {"copy": 3}
    assert found == [UNKNOWN, Guesses(1.0, 1.0), Guesses(2.0, 2.0)]
    assert latest.guesses.uniform == 7.0


def test_what_is_coming_is_captured() -> None:
    latest, other = LatestGuesses(), LatestGuesses()
    with CountReadBacks():
        for _ in range(2):
            latest.take(on_device())
        other.restore_(latest.capture())
        assert other.guesses == latest.guesses == Guesses(1.0, 1.0)
        for each in (latest, other):
            each.take(on_device())
    assert other.guesses == latest.guesses == Guesses(2.0, 2.0)


def test_the_looks_of_two_passes_add_up_on_the_device() -> None:
    sum_ = on_device().plus(SeenGuesses(over_constant=1.0))
    assert isinstance(sum_.over_constant, Tensor)
    assert sum_.over_constant.is_meta


def squared(outputs: Tensor) -> Tensor:
    return F.mse_loss(outputs, torch.zeros(8, 2, device="meta"))


def binary(outputs: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, torch.zeros(8, 2, device="meta"))


@pytest.mark.parametrize("loss_of", [squared, binary])
def test_a_watched_loop_on_a_device_is_not_waited_for(loss_of: Callable[[Tensor], Tensor]) -> None:
    def read_backs(loss_of: Callable[[Tensor], Tensor]) -> int:
        model = nn.Linear(3, 2, device="meta")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with CountReadBacks() as read_backs, watch(model, optimizer, record=False) as watched_by:
            for _ in range(50):
                optimizer.zero_grad()
                loss_of(model(torch.zeros(8, 3, device="meta"))).backward()
                optimizer.step()
            assert math.isnan(watched_by.parts[0].guesses.over_constant) == (loss_of is bare)
        assert set(read_backs.seen) == {"copy"}
        return read_backs.seen["copy"]

    def bare(outputs: Tensor) -> Tensor:
        return outputs.square().mean()

    assert read_backs(loss_of) == read_backs(bare) + 4, "one copy more at each look: steps 1, 2, 22, 42"


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(torch.tensor([[0.0], [1.0], [3.0]]), "ratio"), (torch.ones(3, 1), "nan")],
)
def test_what_is_reduced_is_what_a_plain_computation_says(targets: Tensor, expected: str) -> None:
    outputs = torch.tensor([[0.5], [1.0], [1.5]], requires_grad=True)
    loss = F.mse_loss(outputs, targets)
    plain = loss.item() / targets.var(0).item() if expected == "ratio" else math.nan
    assert guesses_of(loss).over_constant == pytest.approx(plain, nan_ok=True)
