from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vgrad.events.history import History
from vgrad_tui.draw.heat_cells import (
    EMPTY,
    GLYPHS,
    INFINITE,
    LOWEST,
    NO_RECORD,
    NOT_A_NUMBER,
    RAMP,
    ZERO,
    Grid,
    HeatColumns,
    bin_starts,
    codes_of,
    stretch,
)
from vgrad_tui.draw.sparklines import Decades
from vgrad_tui.terminal.driver import TO_ASCII

NORMS = st.sampled_from([0.0, 1e-12, 1e-3, 0.5, 2.0, 7e4, np.inf, np.nan])
Norms = NDArray[np.float32]


def recorded(norms: Norms) -> History:
    history = History(norms.shape[1])
    history.extend(np.arange(1, 1 + len(norms)), norms)
    return history


def cells(history: History, grid: Grid, starts: NDArray[np.int64], sizes: NDArray[np.float64]) -> Norms:
    layers = np.arange(history.num_channels)
    return HeatColumns().values(history, grid, layers, starts, np.sqrt(sizes))


def by_hand(norms: Norms, grid: Grid, starts: NDArray[np.int64], sizes: NDArray[np.float64]) -> Norms:
    """Cell by cell, as the words say it."""
    rms = norms / np.sqrt(sizes)
    steps = np.arange(1, 1 + len(norms))
    result = np.full((len(starts), grid.num_columns), NO_RECORD, dtype=np.float32)
    stops = np.append(starts[1:], norms.shape[1])
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        for column in range(grid.num_columns):
            inside = rms[steps // grid.width == grid.first + column, start:stop]
            if inside.size:
                result[row, column] = np.max(inside)
    return result


@st.composite
def runs(draw: st.DrawFn) -> Norms:
    num_steps, num_layers = draw(st.integers(1, 120)), draw(st.integers(1, 9))
    values = draw(st.lists(NORMS, min_size=1, max_size=40))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    return random.choice(np.array(values, dtype=np.float32), (num_steps, num_layers))


@given(runs(), st.integers(2, 60), st.integers(1, 12), st.integers(1, 90), st.integers(0, 200))
def test_a_cell_is_the_largest_of_its_steps_and_layers(
    norms: Norms, max_columns: int, max_rows: int, first: int, span: int
) -> None:
    history = recorded(norms)
    sizes = np.arange(1.0, norms.shape[1] + 1)
    starts = bin_starts(norms.shape[1], max_rows)
    grid = Grid.fit(history, first, first + span, max_columns)
    assert 1 <= grid.num_columns <= max_columns
    values = cells(history, grid, starts, sizes)
    np.testing.assert_allclose(values, by_hand(norms, grid, starts, sizes), rtol=1e-6)


@given(runs(), st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(2, 40))
def test_kept_columns_equal_those_made_anew(norms: Norms, chunks: list[int], max_columns: int) -> None:
    sizes = np.ones(norms.shape[1])
    starts = bin_starts(norms.shape[1], 4)
    layers = np.arange(norms.shape[1])
    history, kept = History(norms.shape[1]), HeatColumns()
    done = 0
    for chunk in chunks:
        part = norms[done : done + chunk]
        if not len(part):
            break
        history.extend(np.arange(done + 1, done + 1 + len(part)), part)
        done += len(part)
        grid = Grid.fit(history, 1, 120, max_columns)
        values = kept.values(history, grid, layers, starts, sizes)
        np.testing.assert_array_equal(values, cells(history, grid, starts, sizes))


@given(st.integers(1, 3000), st.integers(0, 29), st.integers(2, 200), st.integers(1, 40))
def test_a_single_spike_is_seen_however_coarse_the_map(
    step: int, layer: int, max_columns: int, max_rows: int
) -> None:
    norms = np.full((3000, 30), 1e-3, dtype=np.float32)
    norms[step - 1, layer] = 50.0
    history = recorded(norms)
    starts = bin_starts(30, max_rows)
    grid = Grid.fit(history, 1, 3000, max_columns)
    values = cells(history, grid, starts, np.ones(30))
    row = int(np.searchsorted(starts, layer, side="right")) - 1
    assert np.argwhere(values == 50.0).tolist() == [[row, step // grid.width - grid.first]]
    shown = codes_of(values, Decades(-3, 2))[:, stretch(grid.num_columns, max_columns)]
    assert (shown == shown.max()).any(axis=1).nonzero()[0].tolist() == [row]


def test_steps_that_are_no_longer_kept_are_empty_and_nothing_is_made_up() -> None:
    history = History(2, 8, levels=2)
    history.extend(np.arange(1, 5001), np.ones((5000, 2)))
    grid = Grid.fit(history, 1, 5000, 50)
    values = cells(history, grid, bin_starts(2, 2), np.ones(2))
    oldest = (5000 // 4 - 8 + 1) * 4
    num_gone = oldest // grid.width - grid.first
    assert 0 < num_gone < grid.num_columns
    assert (values[:, :num_gone] == NO_RECORD).all()
    assert (values[:, num_gone:] == 1).all()


def test_a_closed_column_is_never_read_again() -> None:
    history, columns = recorded(np.ones((100, 3), dtype=np.float32)), HeatColumns()
    grid = Grid.fit(history, 1, 100, 10)
    layers, starts = np.arange(3), bin_starts(3, 3)
    values = columns.values(history, grid, layers, starts, np.ones(3))
    values[:, 0] = 7.0  # whoever reads the history again would lose this
    history.extend([101], np.ones((1, 3)))
    assert (columns.values(history, grid, layers, starts, np.ones(3))[:, 0] == 7.0).all()


positive = st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1, max_size=60)


@pytest.mark.parametrize("scale", [Decades(-12, 3), None])
@given(values=positive)
def test_the_ramp_is_monotone(scale: Decades | None, values: list[float]) -> None:
    row = np.sort(np.array(values, dtype=np.float32))[None, :]
    codes = codes_of(row, scale)
    assert (np.diff(codes) >= 0).all()
    assert (codes >= LOWEST).all() and (codes < len(GLYPHS)).all()


def test_each_level_of_the_ramp_is_reached_and_each_own_scale_spans_it() -> None:
    row = 10.0 ** np.linspace(-8, -0.001, 80, dtype=np.float32)[None, :]
    assert set(codes_of(row, Decades(-8, 0)).ravel()) == set(range(LOWEST, len(GLYPHS)))
    rows = np.concatenate((row, row * np.float32(1e-9)))
    np.testing.assert_array_equal(*codes_of(rows, None))


def test_what_is_no_level_has_characters_of_its_own_in_ascii_too() -> None:
    values = np.array([[NO_RECORD, 0.0, np.inf, np.nan, 1.0]], dtype=np.float32)
    for scale in (Decades(-2, 2), None):
        assert codes_of(values, scale)[0, :4].tolist() == [EMPTY, ZERO, INFINITE, NOT_A_NUMBER]
    assert len(set(GLYPHS.tolist())) == 4 + len(RAMP)
    assert len({glyph.translate(TO_ASCII) for glyph in GLYPHS.tolist()}) == 4 + len(RAMP)


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_bins_hold_every_layer_once_and_are_even(num_layers: int, max_rows: int) -> None:
    starts = bin_starts(num_layers, max_rows)
    sizes = np.diff(starts, append=num_layers)
    assert starts[0] == 0 and len(starts) == min(num_layers, max_rows)
    assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1


@given(st.integers(1, 300), st.integers(0, 300))
def test_stretching_shows_every_column_in_order(num_columns: int, more: int) -> None:
    shown = stretch(num_columns, num_columns + more)
    assert set(shown.tolist()) == set(range(num_columns))
    assert (np.diff(shown) >= 0).all()
