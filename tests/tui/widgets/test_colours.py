"""In dark and in light themes, what a cell says can be told from the cell's own background."""

from __future__ import annotations

import pytest
from rich.style import Style
from tests.tui.driving import play
from tests.tui.scripted import ScriptedSource

from vgrad_tui.app.app import VgradApp
from vgrad_tui.widgets.lines import HEAT_ROLES
from vgrad_tui.widgets.topline import TopLine

_LEAST_CONTRAST = 2.0


def contrast(style: Style) -> float:
    """The ratio of luminances that WCAG 2 defines: from 1, nothing to be seen, to 21."""
    assert style.color is not None and style.color.triplet is not None
    assert style.bgcolor is not None and style.bgcolor.triplet is not None
    darker, lighter = sorted(map(luminance, (style.color.triplet, style.bgcolor.triplet)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: tuple[int, int, int]) -> float:
    shares = (value / 255 for value in colour)
    linear = (share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "solarized-light", "catppuccin-latte"])
async def test_the_larger_gradients_of_a_heat_map_are_seen(
    theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        app.theme = theme
        await play(pilot, source)
        line = app.screen.query_one(TopLine)
        for role in sorted(HEAT_ROLES)[3:]:  # the coldest are to be faint
            assert contrast(line.role(role)) >= _LEAST_CONTRAST, role
