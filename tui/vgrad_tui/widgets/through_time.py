"""The gradient through time of recurrent layers: how much of the loss reaches the early input steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vgrad.events.time_stats import TimeStats
from vgrad_tui.draw.charts import draw_through_time
from vgrad_tui.draw.numbers import number, safe
from vgrad_tui.draw.runs import Field, Runs, wrapped
from vgrad_tui.state.layer_order import LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.view import View

_WANTED_HEIGHT = 16
_MOST_NAMES = 4


class TimeView(View):
    """‖dE/dh_t‖ on a log axis, the first input step on the left, a curve per recurrent layer."""

    NAME = "time"
    HAS_CURSOR = False

    def __init__(self, state: State, order: LayerOrder) -> None:
        super().__init__(state, order)
        self._drawn: Sequence[Runs] = []
        self._drawn_for: tuple[TimeStats, int, int] | None = None

    @property
    def num_rows(self) -> int:
        """Nothing to scroll: the curve takes the room that there is."""
        return 0

    @property
    def wanted_height(self) -> int:
        """Room for a curve; for the words that stand in its place, less."""
        return _WANTED_HEIGHT if self.state.time is not None else len(self._words()) + 1

    def title(self) -> list[Field]:
        """Slope, ratio, spectral radius, and how old they are."""
        time, record = self.state.time, self.state.record
        if time is None or record is None:
            return [(9, [("‖dE/dh_t‖ by input step t", "dim")])]
        age = record.step - time.step
        names = "  ".join(
            f"{index} {safe(name)}" if len(time.names) > 1 else safe(name)
            for index, name in enumerate(time.names[:_MOST_NAMES], 1)
        )
        more = f"  and {len(time.names) - _MOST_NAMES}" if len(time.names) > _MOST_NAMES else ""
        return [
            (5, [("‖dE/dh_t‖", "dim")]),
            (9, [("slope ", "dim"), (_signed(time.slope), "text"), ("/step back", "dim")]),
            (9, [("first/last ", "dim"), (_known(time.ratio), "text")]),
            (9, [("ρ(W) ", "dim"), (_known(time.spectral_radius), "text")]),
            (6, [("measured now" if age <= 0 else f"{age:,} steps ago", "dim")]),
            (4, [(f"{names}{more}", "dim")]),
        ]

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """The curve, or why there is none."""
        time = self.state.time
        if time is None:
            return self._words()[-count:]
        wanted = (time, self.size.width, count)
        if self._drawn_for is None or self._drawn_for[0] is not time or self._drawn_for[1:] != wanted[1:]:
            self._drawn_for = wanted
            self._drawn = draw_through_time(time.norms, self.size.width, count)
        return self._drawn

    def _words(self) -> list[Runs]:
        """What stands in the place of a curve."""
        width = self.size.width or self.app.size.width
        return [[], *(row for words in self._why_none() for row in wrapped([(words, "dim")], width))]

    def _why_none(self) -> tuple[str, ...]:
        info = self.state.info
        if info is None:
            return ("the model is not ready yet",)
        if not info.recurrent:
            return (
                "this model has no time dimension: only recurrent models do",
                "2 heat shows the gradient by depth instead",
            )
        return (
            "not measured yet: this is one of the expensive statistics,",
            "measured as soon as the budget for watching allows it",
        )


def _signed(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:+.3f}"


def _known(value: float) -> str:
    return "unknown" if math.isnan(value) else number(value).strip()
