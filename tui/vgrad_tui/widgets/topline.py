"""The row on top: what is running, how far and how fast it is."""

from __future__ import annotations

import math
import time

from vgrad_tui.draw.numbers import count, duration, percent, rate, safe
from vgrad_tui.draw.runs import Runs, fit_fields
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.lines import Lines

_PHASES = {
    "preparing": ("…", "accent"),
    "training": ("●", "good"),
    "paused": ("‖", "warn"),
    "done": ("■", "good"),
    "stopped": ("■", "warn"),
    "failed": ("✗", "bad"),
    "recording": ("▷", "accent"),
}
_BAR = 11


class TopLine(Lines):
    """Recipe, device, seed, step, speed, time, progress."""

    def __init__(self) -> None:
        super().__init__(id="top")
        self._began = time.monotonic()

    def update(self, state: State) -> None:
        """Show where the run stands."""
        self.show([fit_fields(self._fields(state), self.size.width or self.app.size.width)])

    def _fields(self, state: State) -> list[tuple[int, Runs]]:
        name = "recording" if state.is_recording and state.ended is None else state.phase
        mark, role = _PHASES[name]
        phase = (9, [(f"{mark} {name}", role)])
        if state.info is None:
            waited = time.monotonic() - self._began
            waiting = (10, [(f"{state.preparing} …  {waited:.0f} s", "text")])
            return [phase, waiting if state.ended is None else (0, [])]
        info = state.info
        record = state.record
        per_s = state.steps_per_s()
        speed: Runs = []
        items: Runs = []
        if not math.isnan(per_s):
            speed = [(_per_s(per_s, "steps"), "text")]
            per_s = state.items_per_s()
            items = [(_per_s(per_s, info.unit), "dim")] if per_s > 0 else []  # nobody may have counted them
        return [
            (8, [(safe(info.recipe), "strong")]),
            (3, [(info.device, "dim")]),
            (2, [] if info.seed is None else [(f"seed {info.seed}", "dim")]),
            phase,
            (7, self._progress(state)),
            (6, speed),
            (4, items),
            (5, [(duration(record.elapsed_s if record else 0.0), "text")]),
            (10, [] if state.not_recorded is None else [("not recorded", "bad")]),
            (1, [(f"{state.num_dropped:,} not drawn", "dim")] if state.num_dropped else []),
        ]

    def _progress(self, state: State) -> Runs:
        total = state.info.num_steps if state.info else None
        if total is None:
            return [("step ", "dim"), (count(state.step), "strong")]
        share = state.step / max(1, total)
        bar = _BAR if self.size.width >= 100 else _BAR // 2
        full = int(share * bar)
        left = state.time_left_s()
        runs = [
            ("step ", "dim"),
            (count(state.step), "strong"),
            (f"/{count(total)} ", "dim"),
            ("█" * full, "accent"),
            ("░" * (bar - full), "dim"),
            (f" {percent(share)}", "text"),
        ]
        return runs if math.isnan(left) else [*runs, (f" {duration(left)} left", "dim")]


def _per_s(per_s: float, unit: str) -> str:
    return f"{rate(per_s).removesuffix('/s')} {unit}/s"
