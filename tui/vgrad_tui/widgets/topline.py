"""The two rows on top: what is running and how far it is, and the verdict on it."""

from __future__ import annotations

import math
import time

from vgrad.words import describe
from vgrad_tui.format import count, duration, number, rate, safe
from vgrad_tui.state import State
from vgrad_tui.widgets.lines import Lines, Runs, fit_fields

_PHASES = {
    "preparing": ("…", "accent"),
    "training": ("●", "good"),
    "paused": ("‖", "warn"),
    "done": ("■", "good"),
    "stopped": ("■", "warn"),
    "failed": ("✗", "bad"),
}
_VERDICTS = {
    "starting": ("…", "dim"),
    "healthy": ("●", "good"),
    "vanishing": ("▼", "warn"),
    "exploding": ("▲", "bad"),
    "dead": ("○", "bad"),
    "non-finite": ("✗", "bad"),
}
_BAR = 12


class TopLine(Lines):
    """Recipe, device, seed, step, speed, time, progress."""

    def __init__(self) -> None:
        super().__init__(id="top")
        self._began = time.monotonic()

    def update(self, state: State) -> None:
        """Show where the run stands."""
        self.show([fit_fields(self._fields(state), self.size.width or self.app.size.width)])

    def _fields(self, state: State) -> list[tuple[int, Runs]]:
        mark, role = _PHASES[state.phase]
        phase = (9, [(f"{mark} {state.phase}", role)])
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
            items = [(_per_s(state.items_per_s(), info.unit), "dim")]
        return [
            (8, [(safe(info.recipe), "strong")]),
            (3, [(info.device, "dim")]),
            (2, [(f"seed {info.seed}", "dim")]),
            phase,
            (7, self._progress(state)),
            (6, speed),
            (4, items),
            (5, [(duration(record.elapsed_s if record else 0.0), "text")]),
            (1, [(f"{state.num_dropped:,} undrawn", "dim")] if state.num_dropped else []),
        ]

    def _progress(self, state: State) -> Runs:
        total = state.info.num_steps if state.info else None
        if total is None:
            return [("step ", "dim"), (count(state.step), "strong")]
        share = state.step / total
        bar = _BAR if self.size.width >= 100 else _BAR // 2
        full = int(share * bar)
        left = state.time_left_s()
        runs = [
            ("step ", "dim"),
            (count(state.step), "strong"),
            (f"/{count(total)} ", "dim"),
            ("█" * full, "accent"),
            ("░" * (bar - full), "dim"),
            (f" {share:.0%}", "text"),
        ]
        return runs if math.isnan(left) else [*runs, (f" {duration(left)} left", "dim")]


def _per_s(per_s: float, unit: str) -> str:
    return f"{rate(per_s).removesuffix('/s')} {unit}/s"


class VerdictLine(Lines):
    """The verdict, its evidence, and the key that applies a remedy."""

    def __init__(self) -> None:
        super().__init__(id="verdict")

    def update(self, state: State) -> None:
        """Show the newest verdict, or how the run ended."""
        width = self.size.width or self.app.size.width  # not laid out yet: as wide as it will be
        fields = self._ended(state) if state.ended is not None else self._verdict(state)
        self.show([fit_fields(fields, width, cut=True)])

    def _verdict(self, state: State) -> list[tuple[int, Runs]]:
        verdict = state.verdict
        mark, role = _VERDICTS[verdict.kind]
        if state.info is None:
            return [(0, [("the screen is ready before the model is: nothing to press yet", "dim")])]
        fields: list[tuple[int, Runs]] = [
            (9, [(f"{mark} {verdict.kind.upper()}", role)]),
            (5, [(safe(verdict.evidence), "text")]),
        ]
        if verdict.remedy is not None:
            fields.append((8, [("r", "key"), (f" {describe(verdict.remedy)}", "text")]))
        elif verdict.advice:
            fields.append((4, [(verdict.advice, "dim")]))
        if state.rejected is not None:
            fields.insert(1, (10, [(f"refused: {safe(state.rejected.reason)}", "warn")]))
        return fields

    def _ended(self, state: State) -> list[tuple[int, Runs]]:
        ended = state.ended
        assert ended is not None
        if ended.reason == "failed":
            error = safe((ended.error or "").splitlines()[0] if ended.error else "")
            return [
                (9, [(f"✗ FAILED at step {ended.step:,}", "bad")]),
                (8, [("e", "key"), (" shows why", "text")]),
                (5, [(error, "text")]),
            ]
        mark, role = _VERDICTS[state.verdict.kind]
        val = "" if ended.val_loss is None else f"  validation {ended.val_loss:.3f}"
        words = f"■ {ended.reason.upper()} after {ended.step:,} steps:"
        return [
            (9, [(words, "good" if ended.reason == "done" else "warn")]),
            (8, [(f"loss {_loss(ended.loss_first)} → {_loss(ended.loss_last)}{val}", "strong")]),
            (7, [(f"{mark} {state.verdict.kind}", role)]),
            (6, [("q", "key"), (" quits", "text")]),
            (5, [("e", "key"), (" result", "text")]),
        ]


def _loss(loss: float) -> str:
    return f"{loss:.3f}" if 1e-3 <= abs(loss) < 1e4 else number(loss).strip()
