"""The rule that says whether a method helped, on numbers made for it."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.lab.study.outcome import LEAST, compare_pairs

INF, NAN = math.inf, math.nan
losses = st.floats(1e-6, 1e6) | st.sampled_from([INF, NAN])
pairs = st.lists(st.tuples(losses, losses), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("method", "control", "outcome"),
    [
        ([1.0, 1.1, 0.9], [2.3, 2.3, 2.3], "helped"),
        ([2.3, 2.3, 2.3], [1.0, 1.1, 0.9], "did harm"),
        ([2.301, 2.305, 2.31], [2.305, 2.305, 2.305], "did nothing"),
        ([1.0, 1.0, 2.3], [2.3, 2.3, 2.3], "could not tell"),  # one seed of three did not profit
        ([1.0, 5.0, 1.0], [2.0, 2.0, 2.0], "could not tell"),  # noise: now better, now worse
        ([1.0, 1.0], [2.0, 2.0], "could not tell"),  # too few
        ([], [], "could not tell"),
        ([1.5, 1.6, 1.5], [NAN, INF, NAN], "helped"),
        ([NAN, NAN, INF], [1.5, 1.6, 1.5], "did harm"),
        ([NAN, NAN, INF], [INF, NAN, NAN], "did nothing"),  # both came to nothing
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], "did nothing"),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], "helped"),
        ([1.0] * 7 + [9.0], [2.0] * 8, "helped"),  # 8 seeds bear one that is off
        ([1.0] * 4 + [9.0], [2.0] * 5, "could not tell"),  # 5 do not
    ],
)
def test_the_rule(method: list[float], control: list[float], outcome: str) -> None:
    assert compare_pairs(method, control).outcome == outcome


@given(pairs)
def test_the_order_of_the_seeds_does_not_matter(values: list[tuple[float, float]]) -> None:
    shuffled = random.Random(0).sample(values, len(values))
    one, two = (compare_pairs([a for a, _ in some], [b for _, b in some]) for some in (values, shuffled))
    assert one == two


@given(pairs)
def test_exchanging_method_and_control_exchanges_help_and_harm(values: list[tuple[float, float]]) -> None:
    method, control = zip(*values, strict=True)
    there, back = compare_pairs(method, control), compare_pairs(control, method)
    opposite = {"helped": "did harm", "did harm": "helped"}
    assert back.outcome == opposite.get(there.outcome, there.outcome)


@given(st.lists(losses, min_size=3, max_size=12))
def test_what_changes_nothing_did_nothing(values: list[float]) -> None:
    found = compare_pairs(values, values)
    assert found.outcome == "did nothing"
    assert found.ratio == found.low == found.high == 1.0


@given(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=9), st.floats(0.01, 100.0))
def test_a_constant_factor_is_told_apart_exactly_where_it_matters(values: list[float], factor: float) -> None:
    found = compare_pairs([factor * value for value in values], values)
    assert found.ratio == pytest.approx(factor)
    if abs(math.log(factor)) > math.log1p(LEAST) * 1.001:
        assert found.outcome == ("helped" if factor < 1 else "did harm")
    elif abs(math.log(factor)) < math.log1p(LEAST) * 0.999:
        assert found.outcome == "did nothing"


@pytest.mark.parametrize("num", [3, 5, 8, 13, 20])
def test_the_interval_covers_the_median_as_often_as_it_says(num: int) -> None:
    draw, goes = random.Random(num), 4000
    covered = 0
    for _ in range(goes):
        found = compare_pairs([math.exp(draw.gauss(0.0, 1.0)) for _ in range(num)], [1.0] * num)
        covered += found.low <= 1.0 <= found.high
    least = 0.9 if num >= 5 else 1 - 2 ** (1 - num)
    noise = 4 * math.sqrt(least * (1 - least) / goes)
    assert covered / goes > least - noise


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="longer"):
        compare_pairs([1.0], [1.0, 2.0])
