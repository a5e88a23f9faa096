"""The history against a naive list of everything, and what it promises at any length."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.errors import ConfigError
from vgrad.events.history import Buckets, History

finite = st.floats(-1e6, 1e6, width=32)
any_value = st.one_of(finite, st.sampled_from([np.nan, np.inf, -np.inf]))


@st.composite
def runs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Steps with gaps, values of two channels, and where the blocks end."""
    gaps = draw(st.lists(st.one_of(st.just(1), st.integers(1, 70)), min_size=1, max_size=120))
    steps = draw(st.integers(0, 50)) + np.cumsum(gaps)
    values = draw(st.lists(st.tuples(any_value, any_value), min_size=len(gaps), max_size=len(gaps)))
    cuts = draw(st.lists(st.integers(0, len(gaps)), max_size=12).map(sorted))
    return steps, np.array(values, dtype=np.float32), cuts


def recorded(history: History, steps: np.ndarray, values: np.ndarray, cuts: list[int]) -> History:
    for start, stop in itertools.pairwise([0, *cuts, len(steps)]):
        history.extend(steps[start:stop], values[start:stop])
    return history


def assert_is_naive(buckets: Buckets, steps: np.ndarray, values: np.ndarray) -> None:
    """Every bucket holds exactly the statistics of the records that fall in it."""
    for row, first in enumerate(buckets.first_step):
        inside = values[(steps >= first) & (steps < first + buckets.steps_per_bucket)]
        assert buckets.count[row] == len(inside)
        if not len(inside):
            assert np.isnan([buckets.min[row], buckets.max[row], buckets.mean[row]]).all()
            continue
        np.testing.assert_array_equal(buckets.min[row], inside.min(axis=0))
        np.testing.assert_array_equal(buckets.max[row], inside.max(axis=0))
        with np.errstate(invalid="ignore"):
            mean = inside.astype(np.float64).mean(axis=0)
        scale = np.abs(inside[np.isfinite(inside)]).max(initial=1)
        np.testing.assert_allclose(buckets.mean[row], mean, rtol=1e-4, atol=1e-5 * scale)


@given(runs(), st.integers(2, 5), st.integers(0, 3), st.integers(1, 6), st.integers(0, 12))
def test_the_tail_of_every_width_is_that_of_a_list_of_everything(
    run: tuple[np.ndarray, np.ndarray, list[int]], fanout: int, level: int, factor: int, num_buckets: int
) -> None:
    steps, values, cuts = run
    history = recorded(History(2, capacity=12, fanout=fanout, levels=4), steps, values, cuts)
    width = factor * fanout**level
    tail = history.tail(width, num_buckets)
    assert len(tail.first_step) == num_buckets
    assert tail.steps_per_bucket == width
    may_be_lost = np.arange(num_buckets) < num_buckets - history.num_kept(width)
    assert_is_naive(tail.rows(~may_be_lost | (tail.count > 0)), steps, values)
    if num_buckets:
        assert tail.first_step[-1] <= steps[-1] < tail.first_step[-1] + tail.steps_per_bucket


@given(runs(), st.integers(0, 4000), st.integers(1, 4000), st.integers(2, 40))
def test_a_window_is_that_of_a_list_of_everything(
    run: tuple[np.ndarray, np.ndarray, list[int]], start: int, length: int, max_points: int
) -> None:
    steps, values, cuts = run
    history = recorded(History(2, capacity=16, fanout=4, levels=6), steps, values, cuts)
    window = history.window(start, start + length, max_points)
    assert len(window.first_step) <= max_points
    assert (window.first_step % window.steps_per_bucket == 0).all()
    assert (np.diff(window.first_step) == window.steps_per_bucket).all()
    inside = (steps >= start) & (steps < start + length)
    assert window.count.sum() >= inside.sum()  # nothing in the range is missing
    lost = window.first_step < steps[-1] - history.capacity * window.steps_per_bucket
    assert_is_naive(window.rows(~lost), steps, values)


def test_one_step_in_a_million_is_not_averaged_away() -> None:
    history = History(1, capacity=128)
    size = history.nbytes
    for start in range(0, 1_000_000, 10_000):
        steps = np.arange(start, start + 10_000)
        history.extend(steps, np.where(steps == 123_456, 50.0, 1.0)[:, None])
    whole = history.window(0, 1_000_000, 100)
    spike = np.flatnonzero(whole.max[:, 0] == 50.0)
    assert len(spike) == 1
    assert whole.first_step[spike[0]] <= 123_456 < whole.first_step[spike[0]] + whole.steps_per_bucket
    assert whole.count.sum() == 1_000_000
    assert (whole.min == 1.0).all()
    assert history.nbytes == size


def test_a_spike_and_its_step_survive_one_record_at_a_time() -> None:
    history = History(1, capacity=8, fanout=2, levels=8)
    for step in range(1000):
        history.extend([step], [[9.0 if step == 17 else 1.0]])
    assert history.window(0, 1000, 20).max.max() == 9.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_hidden(bad: float) -> None:
    history = History(1, capacity=64)
    steps = np.arange(5000)
    history.extend(steps, np.where(steps == 70, bad, 1.0)[:, None])
    whole = history.window(0, 5000, 40)
    hit = (whole.first_step <= 70) & (whole.first_step + whole.steps_per_bucket > 70)
    assert not np.isfinite(whole.mean[hit]).any()
    assert np.isfinite(whole.mean[~hit]).all()


def test_values_beyond_float32_become_infinite_and_large_means_do_not_overflow() -> None:
    history = History(2, capacity=8)
    history.extend(np.arange(8), np.full((8, 2), [3e38, 1e39]))
    tail = history.tail(4, 2)
    np.testing.assert_allclose(tail.mean[:, 0], 3e38, rtol=1e-6)
    assert np.isinf(tail.mean[:, 1]).all()


def test_recent_steps_are_kept_one_by_one() -> None:
    history = History(1, capacity=100)
    values = np.random.default_rng(0).normal(size=(5000, 1)).astype(np.float32)
    history.extend(np.arange(5000), values)
    recent = history.window(4900, 5000, 100)
    assert recent.steps_per_bucket == 1
    np.testing.assert_array_equal(recent.mean, values[4900:])


def test_channels_are_chosen_in_the_order_asked_for() -> None:
    history = History(5, capacity=16)
    history.extend(np.arange(20), np.tile(np.arange(5), (20, 1)))
    for buckets in (history.tail(4, 3, [4, 0]), history.window(0, 20, 7, [4, 0])):
        assert (buckets.mean == [4, 0]).all()
    assert (history.tail(1, 2, slice(1, 3)).mean == [1, 2]).all()


def test_a_fixed_range_keeps_its_points_while_the_run_goes_on() -> None:
    history = History(1, capacity=256)
    history.extend(np.arange(500), np.arange(500.0)[:, None])
    before = history.window(0, 2000, 100)
    history.extend(np.arange(500, 600), np.arange(500.0, 600.0)[:, None])
    after = history.window(0, 2000, 100)
    whole = len(before.first_step) - 1  # the last one was still open
    np.testing.assert_array_equal(before.first_step[:whole], after.first_step[:whole])
    np.testing.assert_array_equal(before.mean[:whole], after.mean[:whole])


@pytest.mark.parametrize("num_channels", [1, 30, 1000, 10_000])
def test_sized_reaches_back_a_million_steps_within_its_budget(num_channels: int) -> None:
    history = History.sized(num_channels, max_bytes=64_000_000, span=1_000_000)
    assert history.nbytes <= 64_000_000
    assert history.span >= 1_000_000
    assert history.capacity >= 64  # a sparkline's columns


def test_nbytes_is_what_the_arrays_take() -> None:
    history = History(3, capacity=10, levels=4)
    rings = [level._ring for level in history._levels]
    arrays = {id(a): a for r in rings for a in (r.first_step, r.min, r.max, r.mean, r.count)}
    assert history.nbytes == sum(array.nbytes for array in arrays.values())


def test_nothing_recorded_is_no_error() -> None:
    history = History(2)
    assert len(history.window(0, 100, 10).first_step) == 0
    assert (history.tail(64, 5).count == 0).all()
    history.extend([], np.empty((0, 2)))
    assert history.last_step == -1


@pytest.mark.parametrize("steps", [[3, 3], [5, 4], [2, 3], [-1, 4]])
def test_steps_only_go_forward(steps: list[int]) -> None:
    history = History(1)
    history.extend([2], [[1.0]])
    with pytest.raises(ValueError, match="steps must increase"):
        history.extend(steps, [[1.0], [1.0]])


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="values must be"):
        History(2).extend([1, 2], [[1.0], [2.0]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: History(1, capacity=3),
        lambda: History(1, fanout=1),
        lambda: History(-1),
        lambda: History(1, levels=0),
        lambda: History.sized(10_000, max_bytes=1000),
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], History]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_window_needs_two_points() -> None:
    with pytest.raises(ValueError, match="max_points"):
        History(1).window(0, 10, 1)
