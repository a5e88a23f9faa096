"""Text in pieces of several roles, broken into rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vgrad_tui.draw.runs import wrapped

words = st.text("ab 漢", max_size=30)
runs = st.lists(st.tuples(words, st.sampled_from(["text", "key"])), max_size=6)


@given(runs, st.integers(8, 40))
def test_wrapped_text_is_whole_and_no_row_is_too_wide(pieces: list[tuple[str, str]], width: int) -> None:
    rows = wrapped(pieces, width)
    assert [(c, role) for row in rows for text, role in row for c in text] == [
        (c, role) for text, role in pieces for c in text
    ]
    for row in rows:
        shown = "".join(text for text, _ in row).rstrip()
        assert cell_len(shown) <= width
