"""How many steps a column of a sparkline stands for."""

from __future__ import annotations

import math

import numpy as np

from vgrad.events.history import History
from vgrad_tui.draw.sparklines import Resolution


def history_of(num_steps: int) -> History:
    history = History.sized(2)
    history.extend(np.arange(num_steps), np.ones((num_steps, 2)))
    return history


def test_the_whole_run_is_shown_in_the_narrowest_columns_that_hold_it() -> None:
    for num_steps in (10, 40, 41, 4_800):
        resolution = Resolution()
        resolution.follow(history_of(num_steps), 40, math.inf, 1.0)
        assert resolution.width * 40 >= num_steps
        assert resolution.width == 1 or resolution.width // 2 * 40 < num_steps


def test_columns_stay_as_coarse_as_they_were_until_there_are_more_of_them() -> None:
    resolution, long, short = Resolution(), history_of(4_800), history_of(300)
    resolution.follow(long, 40, math.inf, 1.0)
    coarse = resolution.width
    resolution.follow(short, 40, math.inf, 1.0)
    assert resolution.width == coarse
    resolution.follow(long, 100, math.inf, 1.0)
    assert resolution.width * 2 == coarse
