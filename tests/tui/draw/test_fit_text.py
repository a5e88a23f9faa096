"""Text is cut by cells, in the middle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.numbers import safe


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [
        ("rnn.weight_hh", 20, "rnn.weight_hh"),
        ("rnn.weight_hh", 13, "rnn.weight_hh"),
        ("rnn.weight_hh", 9, "rnn.…t_hh"),
        ("rnn.weight_hh", 1, "…"),
        ("rnn.weight_hh", 0, ""),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 7, "漢…字"),
        ("漢字漢字", 2, "…"),
    ],
)
def test_the_middle_gives_way(text: str, width: int, fitted: str) -> None:
    assert fit(text, width) == fitted


@given(st.text(), st.integers(0, 40))
def test_what_is_fitted_fits(text: str, width: int) -> None:
    text = safe(text)
    fitted = fit(text, width)
    assert cell_len(fitted) <= width
    if cell_len(text) <= width:
        assert fitted == text
    else:
        head, _, tail = fitted.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)


def test_an_accent_goes_with_its_letter() -> None:
    assert fit("e\u0301" * 8, 5) == "e\u0301e\u0301…e\u0301e\u0301"
