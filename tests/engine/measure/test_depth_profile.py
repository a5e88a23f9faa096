from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.measure.depth_profile import depth_slope, first_to_last, grad_rms

sizes_of = st.lists(st.integers(1, 10**9), min_size=2, max_size=50)
scales = st.floats(1e-12, 1e12)


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    sizes = draw(sizes_of)
    norms = st.lists(st.floats(1e-20, 1e20), min_size=len(sizes), max_size=len(sizes))
    return draw(norms), sizes


@given(layers())
def test_rms_is_the_root_of_the_mean_square(layer: tuple[list[float], list[int]]) -> None:
    norms, sizes = layer
    expected = [math.sqrt(norm**2 / size) for norm, size in zip(norms, sizes, strict=True)]
    assert grad_rms(norms, sizes).tolist() == pytest.approx(expected, rel=1e-12)
    assert grad_rms(np.float32(norms), np.int64(sizes)).dtype == np.float64


def test_rms_equals_that_of_the_entries() -> None:
    entries = [np.random.default_rng(0).normal(size=n) for n in (1, 7, 300)]
    norms, sizes = [np.linalg.norm(e) for e in entries], [e.size for e in entries]
    assert grad_rms(norms, sizes) == pytest.approx([np.sqrt(np.mean(e**2)) for e in entries])


@given(layers(), scales)
def test_a_joint_scale_changes_neither(layer: tuple[list[float], list[int]], scale: float) -> None:
    norms, sizes = layer
    scaled = [scale * norm for norm in norms]
    assert first_to_last(scaled, sizes) == pytest.approx(first_to_last(norms, sizes), rel=1e-9)
    assert depth_slope(scaled, sizes) == pytest.approx(depth_slope(norms, sizes), rel=1e-6, abs=1e-9)


@given(layers())
def test_turned_around_the_ratio_is_inverted_and_the_slope_changes_its_sign(
    layer: tuple[list[float], list[int]],
) -> None:
    norms, sizes = layer
    assert first_to_last(norms[::-1], sizes[::-1]) * first_to_last(norms, sizes) == pytest.approx(1.0)
    assert depth_slope(norms[::-1], sizes[::-1]) == pytest.approx(
        -depth_slope(norms, sizes), rel=1e-6, abs=1e-9
    )


@given(sizes_of, st.floats(-0.5, 0.5), st.floats(-6, 6))
def test_the_slope_of_a_geometric_sequence_is_exact(sizes: list[int], decades: float, start: float) -> None:
    norms = [10 ** (start + decades * i) * math.sqrt(size) for i, size in enumerate(sizes)]
    assert depth_slope(norms, sizes) == pytest.approx(decades, rel=1e-6, abs=1e-9)
    ratio = 10 ** (-decades * (len(sizes) - 1))
    assert first_to_last(norms, sizes) == pytest.approx(ratio, rel=1e-6)


@given(layers())
def test_the_slope_is_the_least_squares_line(layer: tuple[list[float], list[int]]) -> None:
    norms, sizes = layer
    expected = np.polyfit(np.arange(len(norms)), np.log10(np.array(norms) / np.sqrt(sizes)), 1)[0]
    assert depth_slope(norms, sizes) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("hole", [0.0, math.nan, math.inf])
def test_a_layer_without_a_usable_gradient_bends_no_line(hole: float) -> None:
    norms = [10.0**i for i in range(6)]
    norms[2] = hole
    assert depth_slope(norms, [1] * 6) == pytest.approx(1.0)
    assert first_to_last(norms, [1] * 6) == pytest.approx(1e-5)


def test_a_layer_without_entries_is_no_layer() -> None:
    norms, sizes = [0.0, 1.0, 10.0, 0.0], [0, 1, 1, 0]
    assert first_to_last(norms, sizes) == pytest.approx(0.1)
    assert depth_slope(norms, sizes) == pytest.approx(1.0)


def test_nothing_at_the_first_layer_is_a_ratio_of_zero() -> None:
    assert first_to_last([0.0, 1.0], [3, 3]) == 0.0


@pytest.mark.parametrize(
    "norms",
    [[], [1.0], [1.0, 0.0], [0.0, 0.0], [math.nan, 1.0], [1.0, math.inf], [math.inf, math.inf]],
    ids=str,
)
def test_what_cannot_be_told_is_nan(norms: list[float]) -> None:
    assert math.isnan(first_to_last(norms, [4] * len(norms)))
    assert math.isnan(depth_slope(norms, [4] * len(norms)))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="vectors of one length"):
        grad_rms([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="vectors of one length"):
        depth_slope([[1.0], [2.0]], [[1], [1]])
