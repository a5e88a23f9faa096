from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vgrad_tui.draw.runs import cut_short, fit_fields, width_of

runs = st.lists(st.tuples(st.text("ab 漢é", max_size=12), st.just("text")), max_size=3)
fields = st.lists(st.tuples(st.integers(0, 9), runs), max_size=6)


@given(fields, st.integers(0, 60), st.booleans())
def test_fields_never_take_more_than_there_is(
    given_fields: list[tuple[int, list[tuple[str, str]]]], width: int, cut: bool
) -> None:
    assert width_of(fit_fields(given_fields, width, cut=cut)) <= width


@given(runs, st.integers(1, 60))
def test_cut_text_fits_and_says_that_it_was_cut(given_runs: list[tuple[str, str]], width: int) -> None:
    short = cut_short(given_runs, width)
    assert width_of(short) <= width
    assert (short[-1:] == [("…", "dim")]) == (width_of(given_runs) > width)


def test_the_highest_priority_stays_longest() -> None:
    three = [(1, [("low", "text")]), (9, [("high", "text")]), (5, [("middle", "text")])]
    assert "".join(text for text, _ in fit_fields(three, 40)) == "low  high  middle"
    assert "".join(text for text, _ in fit_fields(three, 12)) == "high  middle"
    assert "".join(text for text, _ in fit_fields(three, 5)) == "high"
    assert fit_fields(three, 2) == []


def test_a_long_field_is_cut_rather_than_lost() -> None:
    long = [(9, [("EXPLODING", "bad")]), (5, [("the norm was 43 times its median", "text")])]
    assert "".join(text for text, _ in fit_fields(long, 30, cut=True)) == "EXPLODING  the norm was 43 ti…"
