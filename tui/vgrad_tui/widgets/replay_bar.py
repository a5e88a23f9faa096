"""The row that says where a recording stands: how fast it plays, the step, and how much is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad_tui.draw.numbers import duration
from vgrad_tui.draw.runs import Runs, fit_fields
from vgrad_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from vgrad.store.replayed_run import ReplayedRun

_FEWEST_CELLS = 8
_AROUND = 58  # cells of everything but the line


class ReplayBar(Lines):
    """Play or pause, speed, a line with a mark at every command and verdict, step and time.

    Args:
        recording: What is shown.
    """

    def __init__(self, recording: ReplayedRun) -> None:
        super().__init__(id="replay")
        self._recording = recording

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.refresh_view()

    def refresh_view(self) -> None:
        """Show where it stands."""
        recording, width = self._recording, self.size.width or self.app.size.width
        timeline = recording.timeline
        mark, words = ("▶", "playing") if recording.is_playing else ("‖", "paused")
        fields: list[tuple[int, Runs]] = [
            (9, [(f"{mark} {words}", "accent"), (f" {recording.speed:g}×", "text")]),
            (6, self._line(max(_FEWEST_CELLS, width - _AROUND))),
            (
                8,
                [("step ", "dim"), (f"{recording.step:,}", "strong"), (f" of {timeline.last_step:,}", "dim")],
            ),
            (4, [(f"{duration(recording.position_s)} of {duration(timeline.end_s)}", "dim")]),
        ]
        self.show([fit_fields(fields, width)])

    def _line(self, num_cells: int) -> Runs:
        timeline = self._recording.timeline
        end_s = timeline.end_s or 1.0
        marked = {min(num_cells - 1, int(event.at_s / end_s * num_cells)) for event in timeline.events}
        here = min(num_cells - 1, int(self._recording.position_s / end_s * num_cells))
        runs: list[tuple[str, str]] = []
        for cell in range(num_cells):
            if cell == here:
                runs.append(("●", "accent"))
            elif cell in marked:
                runs.append(("┼", "mark"))
            else:
                runs.append(("━" if cell < here else "─", "accent" if cell < here else "dim"))
        return runs
