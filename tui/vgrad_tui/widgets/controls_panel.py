"""The controls: what is pending, what the engine has applied, and since which step.

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

from vgrad.controls.catalog import ACCUMULATE, CLIP, CONTROLS
from vgrad.controls.wording import describe
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.schedules import Constant
from vgrad_tui.draw.numbers import number, percent
from vgrad_tui.draw.runs import Runs, cut_short, width_of
from vgrad_tui.state.control_guide import others_on
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.control_value import applied, pending, pending_value
from vgrad_tui.widgets.lines import Lines

_LABEL_WIDTH = 11


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key as it is written, and the action it stands for."""

    text: str
    action: str


class ControlRow(Lines):
    """One control on one row.

    Args:
        keys: Its keys, written in front; none where the row only shows something.
        label: What it is called.
        help: A sentence for the tooltip.

    Attributes:
        is_live: Whether its keys do anything; in a recording they do not, and are not shown.
    """

    class Pressed(Message):
        """A key of the row was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, id: str, keys: tuple[KeyHint, ...], label: str, help: str) -> None:
        super().__init__(id=id)
        self.is_live = True
        self._all_keys = keys
        self._label = label
        self.tooltip = help

    def value(self, runs: Runs) -> None:
        """Show the control's value, with ``…`` where it does not fit."""
        front: list[tuple[str, str]] = []
        for key in self._keys:
            front.extend([(key.text, "key"), (" ", "text")])
        used = sum(len(key.text) + 1 for key in self._keys)
        front.append((" " * max(0, 4 - used), "text"))
        front.append((f"{self._label:<{_LABEL_WIDTH}} ", "dim"))
        self.show([[*front, *cut_short(runs, max(1, self.room))]])

    @property
    def _keys(self) -> tuple[KeyHint, ...]:
        return self._all_keys if self.is_live else ()

    @property
    def room(self) -> int:
        """Cells that there are for the value."""
        return self.size.width - 4 - _LABEL_WIDTH - 1

    def on_click(self, event: events.Click) -> None:
        """Find the key under the mouse."""
        event.stop()
        end = 0
        for key in self._keys:
            end += len(key.text) + 1
            if event.x < end:
                self.post_message(self.Pressed(key.action))
                return
        if self._keys:
            self.post_message(self.Pressed(self._keys[0].action))


class ControlsPanel(Container):
    """All controls, a row each."""

    def compose(self) -> ComposeResult:
        """Make the rows."""
        yield ControlRow("clip", (KeyHint("c", "toggle_clip"),), "clip", "Clip gradients, or stop clipping")
        yield ControlRow(
            "threshold",
            (KeyHint("[", "threshold(-1)"), KeyHint("]", "threshold(1)")),
            "threshold",
            "Lower or raise the threshold of clipping; v changes between norm and value. Shown: how many of"
            " the last 100 steps were clipped, and the median gradient norm before and after",
        )
        yield ControlRow(
            "accumulate",
            (KeyHint("a", "accumulate(1)"),),
            "accumulate",
            "Average the gradient over 1, 2, 4, 8 or 16 microbatches per optimizer step",
        )
        yield ControlRow(
            "lr",
            (KeyHint("-", "lr(-1)"), KeyHint("=", "lr(1)")),
            "lr",
            "Halve or double the learning rate; 0 sets it back to its base",
        )
        yield ControlRow(
            "run",
            (KeyHint("␣", "pause"), KeyHint(".", "step_once")),
            "run",
            "Pause or resume; . trains for one step",
        )
        yield ControlRow(
            "other-controls",
            (KeyHint("m", "controls"),),
            "controls",
            "Every control there is: optimizer, precision, noise, structure … Shown: what else is on",
        )
        yield ControlRow(
            "noise-scale",
            (),
            "noise scale",
            "The gradient noise scale: up to so many samples a step, larger batches pay. Measured from the"
            " microbatches of accumulation windows",
        )
        yield ControlRow(
            "loss-scale",
            (),
            "loss scale",
            "What the loss is multiplied with before the backward pass, and how many steps were dropped"
            " because their gradient was not finite",
        )
        yield ControlRow(
            "skipped",
            (),
            "skipped",
            "How many steps were dropped because their gradient was not finite",
        )

    def update(self, state: State) -> None:
        """Show every control."""
        for row in self.query(ControlRow):
            row.is_live = not state.is_recording
        # Half precision skips steps too, and shows their number beside its scale.
        self._row("loss-scale").display = state.is_float16
        skips = state.controls.skip_non_finite is not None and not state.is_float16
        self._row("skipped").display = skips
        self._row("run").value(self._run(state))
        if state.info is None:  # what is on from the first step, the run's settings and recipe say
            for row in self.query(ControlRow).exclude("#run"):
                row.value([("–", "dim")])
            return
        self._row("clip").value(self._clip(state))
        self._row("threshold").value(self._threshold(state))
        self._row("accumulate").value(self._accumulate(state))
        self._row("lr").value(self._lr(state))
        others = self._row("other-controls")
        others.value(what_else(others_on(state.controls), others.room))
        self._row("noise-scale").value(self._noise_scale(state))
        self._row("loss-scale").value(self._loss_scale(state))
        self._row("skipped").value(self._skipped(state))

    def _row(self, id: str) -> ControlRow:
        return self.query_one(f"#{id}", ControlRow)

    def _clip(self, state: State) -> Runs:
        now = CLIP.shown(state.controls.clip)
        command = state.pending_on("clip")
        if command is not None:
            return pending(now, pending_value(command), state)
        runs = applied(now, state, "clip", strong=state.controls.clip is not None)
        if not _loop_clips(state):
            return runs
        words = f"  {state.record.links[0].label}" if state.record is not None else ""
        room = self._row("clip").room - width_of(runs)
        return [*runs, (words if len(words) <= room else "  loop clips", "dim")]

    def _threshold(self, state: State) -> Runs:
        is_by_loop = state.controls.clip is None and _loop_clips(state)
        if state.wanted.clip is None and not is_by_loop:
            return [(f"{CLIP.shown(state.spare_clip)}, once it is on", "dim")]
        fires, before, after = state.clipping()
        if math.isnan(fires) or (state.controls.clip is None and not is_by_loop):
            return [("…", "dim")]
        runs = [
            (percent(fires), "strong" if fires else "text"),
            (f"  {number(before).strip()} → {number(after).strip()}", "text"),
        ]
        title = [("fires ", "dim")]
        return [*title, *runs] if width_of([*title, *runs]) <= self._row("threshold").room else runs

    def _accumulate(self, state: State) -> Runs:
        now = ACCUMULATE.shown(state.controls.accumulate)
        command = state.pending_on("accumulate")
        if command is not None:
            return pending(now, pending_value(command), state)
        strong = state.controls.accumulate != MeanOver()
        return applied(now, state, "accumulate", strong=strong)

    def _lr(self, state: State) -> Runs:
        controls, record = state.controls, state.record
        scale = controls.lr_scale
        now = short = f"×{scale:g}"
        command = state.pending_on("lr_scale")
        if command is not None:
            return pending(now, f"×{pending_value(command)}", state)
        if record is not None and not math.isnan(record.base_lr):  # no optimizer: no rate is known
            is_old = record.step < state.applied_at.get("lr_scale", 0)  # made with another scale
            lr = record.base_lr * scale if is_old else record.lr
            now, short = f"{record.base_lr:.4g} × {scale:g} = {lr:.4g}", f"{lr:.4g} (×{scale:g})"
        schedule = controls.schedule
        tail = (
            []
            if isinstance(schedule, Constant)
            else [(f"  {CONTROLS['schedule'].shown(schedule)}", "accent")]
        )
        runs = [*applied(now, state, "lr_scale", strong=scale != 1), *tail]
        if width_of(runs) > self._row("lr").room:
            runs = [*applied(short, state, "lr_scale", strong=scale != 1), *tail]
        return runs

    def _noise_scale(self, state: State) -> Runs:
        scale, why = state.noise_scale()
        self._row("noise-scale").set_class(bool(why), "-unknown")
        if not why:
            return [(f"{scale:,.0f} sample{'' if round(scale) == 1 else 's'}", "text")]
        words = f"undetermined: {why}"
        return [(words if len(words) <= self._row("noise-scale").room else f"– {why}", "dim")]

    def _loss_scale(self, state: State) -> Runs:
        scale = 1.0 if state.record is None else state.record.loss_scale
        return [(f"{scale:,.0f}  ", "text"), *self._skipped(state)]

    def _skipped(self, state: State) -> Runs:
        skipped = state.num_skipped
        steps = "step" if skipped == 1 else "steps"
        return [(f"{skipped:,} {steps} skipped", "warn" if skipped else "dim")]

    def _run(self, state: State) -> Runs:
        command = state.pending_on("run")
        if command is not None:
            return pending(state.phase, describe(command), state)
        return applied(state.phase, state, "run", strong=state.phase == "paused")


def what_else(labels: list[str], width: int) -> Runs:
    """As many labels as fit into ``width`` cells, and how many more there are; of the first, what fits."""
    if not labels:
        return [("nothing else is on", "dim")]
    more: list[tuple[str, str]] = []
    for shown in range(len(labels), 0, -1):
        left = len(labels) - shown
        more = [(f"  +{left}", "accent")] if left else []
        runs = [(", ".join(labels[:shown]), "strong"), *more]
        if width_of(runs) <= width:
            return runs
    return [*cut_short([(labels[0], "strong")], max(1, width - width_of(more))), *more]


def _loop_clips(state: State) -> bool:
    """Whether the training loop clips its gradients itself."""
    return state.record is not None and state.record.is_clipped_by_loop
