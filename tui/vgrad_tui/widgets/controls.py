"""The controls: what was asked, what the engine has applied, and since which step.

Every row is a key and a mouse target: a click on one of its keys, or anywhere else on the row,
does what the key does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from vgrad.controls import Pause, Resume, SetAccumulation, SetClip, SetLrScale, StepOnce
from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue
from vgrad_tui.format import describe, number, percent
from vgrad_tui.state import State
from vgrad_tui.widgets.lines import Lines, Runs

_LABEL_WIDTH = 11


def clip_words(clip: Clip | None) -> str:
    """``norm 1``, ``value 0.5`` or ``off``."""
    match clip:
        case ClipGradNorm(max_norm=threshold):
            return f"norm {threshold:g}"
        case ClipGradValue(clip_value=threshold):
            return f"value {threshold:g}"
        case None:
            return "off"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is written, and the action it stands for."""

    text: str
    action: str


class ControlRow(Lines):
    """One control on one row.

    Args:
        keys: Its keys, written in front.
        label: What it is called.
        help: A sentence for the tooltip.
    """

    class Pressed(Message):
        """A key of the row was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, id: str, keys: tuple[Key, ...], label: str, help: str) -> None:
        super().__init__(id=id)
        self._keys = keys
        self._label = label
        self.tooltip = help

    def value(self, runs: Runs) -> None:
        """Show the control's value."""
        front: list[tuple[str, str]] = []
        for key in self._keys:
            front.extend([(key.text, "key"), (" ", "text")])
        used = sum(len(key.text) + 1 for key in self._keys)
        front.append((" " * max(0, 4 - used), "text"))
        front.append((f"{self._label:<{_LABEL_WIDTH}} ", "dim"))
        self.show([[*front, *runs]])

    def on_click(self, event: events.Click) -> None:
        """Find the key under the mouse."""
        event.stop()
        end = 0
        for key in self._keys:
            end += len(key.text) + 1
            if event.x < end:
                self.post_message(self.Pressed(key.action))
                return
        self.post_message(self.Pressed(self._keys[0].action))


class Controls(Container):
    """All controls, a row each."""

    def compose(self) -> ComposeResult:
        """Make the rows."""
        yield ControlRow("clip", (Key("c", "toggle_clip"),), "clip", "Clip gradients, or stop clipping")
        yield ControlRow(
            "threshold",
            (Key("[", "threshold(-1)"), Key("]", "threshold(1)")),
            "threshold",
            "Lower or raise the threshold of clipping; v changes between norm and value. Shown: how many of"
            " the last 100 steps were clipped, and the median gradient norm before and after",
        )
        yield ControlRow(
            "accumulate",
            (Key("a", "accumulate(1)"),),
            "accumulate",
            "Average the gradient over 1, 2, 4, 8 or 16 microbatches per optimizer step",
        )
        yield ControlRow(
            "lr",
            (Key("-", "lr(-1)"), Key("=", "lr(1)")),
            "lr",
            "Halve or double the learning rate; 0 sets it back to its base",
        )
        yield ControlRow(
            "run",
            (Key("␣", "pause"), Key(".", "step_once")),
            "run",
            "Pause or train on; . trains for one step",
        )

    def update(self, state: State, spare_clip: Clip) -> None:
        """Show every control.

        Args:
            state: What is asked and applied.
            spare_clip: The clipping that ``c`` would turn on.
        """
        self._row("clip").value(self._clip(state))
        self._row("threshold").value(self._threshold(state, spare_clip))
        self._row("accumulate").value(self._accumulate(state))
        self._row("lr").value(self._lr(state))
        self._row("run").value(self._run(state))

    def _row(self, id: str) -> ControlRow:
        return self.query_one(f"#{id}", ControlRow)

    def _clip(self, state: State) -> Runs:
        now = clip_words(state.controls.clip)
        asked = state.asked(SetClip)
        if isinstance(asked, SetClip):
            return _pending(now, clip_words(asked.clip), state)
        return _applied(now, state, SetClip, strong=state.controls.clip is not None)

    def _threshold(self, state: State, spare_clip: Clip) -> Runs:
        if state.wanted.clip is None:
            return [(f"{clip_words(spare_clip)}, when clipping is on", "dim")]
        fires, before, after = state.clipping()
        if math.isnan(fires) or state.controls.clip is None:
            return [("…", "dim")]
        return [
            ("fires ", "dim"),
            (percent(fires), "strong" if fires else "text"),
            (f"  {number(before).strip()} → {number(after).strip()}", "text"),
        ]

    def _accumulate(self, state: State) -> Runs:
        now = f"{state.controls.accumulation_steps}"
        asked = state.asked(SetAccumulation)
        if isinstance(asked, SetAccumulation):
            return _pending(now, f"{asked.accumulation_steps}", state)
        return _applied(now, state, SetAccumulation, strong=state.controls.accumulation_steps > 1)

    def _lr(self, state: State) -> Runs:
        scale = state.controls.lr_scale
        base = math.nan if state.record is None else state.record.base_lr
        now = f"×{scale:g}"
        asked = state.asked(SetLrScale)
        if isinstance(asked, SetLrScale):
            return _pending(now, f"×{asked.lr_scale:g}", state)
        if not math.isnan(base):
            now = f"{base:g} × {scale:g} = {base * scale:g}"
        return _applied(now, state, SetLrScale, strong=scale != 1)

    def _run(self, state: State) -> Runs:
        asked = state.asked(Pause, Resume, StepOnce)
        if asked is not None:
            return _pending(state.phase, describe(asked), state)
        return _applied(state.phase, state, Pause, strong=state.phase == "paused")


def _pending(now: str, asked: str, state: State) -> Runs:
    when = "next step" if state.controls.accumulation_steps == 1 else "window's end"
    return [(f"{now} → ", "dim"), (asked, "warn"), (f"  pending: {when}", "warn")]


def _applied(now: str, state: State, kind: type, *, strong: bool) -> Runs:
    step = state.applied_at.get(kind)
    runs = [(now, "strong" if strong else "text")]
    return runs if step is None else [*runs, (f"  @ {step:,}", "accent")]
