"""The smoothed line of the loss stays where the losses are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vgrad.events.history import History
from vgrad_tui.widgets.loss_pane import smoothed


def smooth_line(losses: list[float], *, log: bool) -> NDArray[np.float64]:
    """The line over a loss per step, each in a bucket of its own."""
    history = History.sized(1, max_bytes=2**20)
    steps = np.arange(1, len(losses) + 1)
    history.extend(steps, np.array(losses, dtype=np.float32)[:, None])
    return smoothed(history.window(1, len(losses) + 1, max(2, len(losses)), [0]), len(losses), log=log)


@given(st.lists(st.floats(2.0**-20, 2.0**20, width=32), min_size=1, max_size=60), st.booleans())
def test_the_line_lies_between_the_lowest_and_the_highest_loss(losses: list[float], log: bool) -> None:
    line = smooth_line(losses, log=log)
    assert line.min() >= min(losses) * (1 - 1e-6) and line.max() <= max(losses) * (1 + 1e-6)


@pytest.mark.parametrize("log", [True, False])
def test_what_is_not_finite_passes_through_and_poisons_nothing(log: bool) -> None:
    line = smooth_line([2.0, math.nan, 2.0, math.inf, 2.0], log=log)
    np.testing.assert_allclose(line, [2.0, math.nan, 2.0, math.inf, 2.0])


def test_a_run_that_was_far_off_once_is_seen_where_it_is_now() -> None:
    line = smooth_line([1e14] * 5 + [2.0] * 195, log=True)
    assert line[30] < 3.0
    assert line[-1] == pytest.approx(2.0)


def test_losses_that_have_no_logarithm_are_smoothed_as_they_are() -> None:
    losses = [1.0, -1.0, 0.0, 3.0]
    np.testing.assert_array_equal(smooth_line(losses, log=True), smooth_line(losses, log=False))
