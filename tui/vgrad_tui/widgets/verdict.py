"""The verdict: how sure it is, what else is worth knowing, the numbers it rests on, and its remedy."""

from __future__ import annotations

from vgrad.events.notices import RunEnded
from vgrad.events.verdict import Verdict
from vgrad_tui.draw.numbers import number, percent, safe
from vgrad_tui.draw.runs import ELLIPSIS, Field, Runs, fit_fields, width_of
from vgrad_tui.state.glossary import SURE, TAGS
from vgrad_tui.state.remedy import commands_in_words, remedy
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.lines import Lines

_REST: Runs = (("  ", "dim"), ("e", "key"), (" more", "text"))

_VERDICTS = {
    "starting": ("…", "dim"),
    "healthy": ("●", "good"),
    "stalled": ("=", "text"),
    "vanishing": ("▼", "warn"),
    "exploding": ("▲", "bad"),
    "dead": ("○", "bad"),
    "non-finite": ("✗", "bad"),
}


class VerdictLines(Lines):
    """What is wrong and what to do, and below it why; on one row where there is hardly any room."""

    def __init__(self) -> None:
        super().__init__(id="verdict")

    def update(self, state: State) -> None:
        """Show the newest verdict, or how the run ended."""
        width, height = self.size or (self.app.size.width, 1)  # not laid out yet: as wide as it will be
        what, why = _rows(state)
        if height > 1:
            self.show([_first_row(what, state, width), _cut(why, width)])
        else:
            self.show([_cut([*what[:1], *why[:1], *what[1:]], width)])
        tooltip = _tooltip(state.verdict)
        if tooltip != self.tooltip:
            self.tooltip = tooltip


def _rows(state: State) -> tuple[list[Field], list[Field]]:
    if state.ended is not None:
        has_begun = state.info is not None
        why = _reasons(state, also=_kind(state.verdict)) if has_begun else []
        return _end(state.ended, state.of_part(0)), why
    if state.info is None:
        return [(9, [("the model is not ready yet: keys wait until training begins", "dim")])], []
    verdict = state.verdict
    what: list[Field] = [(9, _kind(verdict)), (8, _all_parts(state)), *_beside(verdict)]
    commands = remedy(state)
    is_waiting = verdict.kind == "non-finite" and state.wanted.paused and not state.is_recording
    if is_waiting:
        what.append((6, [("paused", "warn")]))
    if commands:
        front: Runs = [("remedy:", "dim")] if state.is_recording else [("r", "key")]
        what.append((8, [*front, (f" {commands_in_words(commands)}", "text")]))
    elif not verdict.remedy and verdict.advice:
        what.append((2, [(verdict.advice, "dim")]))
    if is_waiting:
        what.append((7, [("␣", "key"), (" resume", "text")]))
    return what, _reasons(state)


def _first_row(what: list[Field], state: State, width: int) -> Runs:
    """The fields, and the advice beside a remedy where there is room for all of it."""
    row = fit_fields(what, width, cut=True)
    if state.ended is not None or not state.verdict.remedy or not state.verdict.advice:
        return row
    longer = [*row, ("  ", "dim"), (state.verdict.advice, "dim")]
    return longer if width_of(longer) <= width else row


def _cut(fields: list[Field], width: int) -> Runs:
    """As much of the fields as fits, and the key that shows the rest."""
    row = fit_fields(fields, width, cut=True)
    if not any(text == ELLIPSIS for text, _ in row):
        return row
    return [*fit_fields(fields, width - width_of(_REST), cut=True), *_REST]


def _kind(verdict: Verdict) -> Runs:
    mark, role = _VERDICTS[verdict.kind]
    return [(f"{mark} {verdict.kind.upper()}", role)]


def _all_parts(state: State) -> Runs:
    """The verdict on every part by its mark, the part that is shown in bold; nothing for a run of one."""
    if len(state.parts) < 2:
        return []
    runs: list[tuple[str, str]] = [("p", "key"), (" part", "dim")]
    for index, part in sorted(state.parts.items()):
        mark, role = _VERDICTS[part.verdict.kind]
        runs += [(f" {index}", "strong" if index == state.shown_part else "dim"), (mark, role)]
    return runs


def _beside(verdict: Verdict) -> list[Field]:
    """How sure the verdict is, and its tags."""
    fields: list[Field] = []
    if verdict.confidence is not None:
        fields.append((3, [(f"{percent(verdict.confidence)} sure", "dim")]))
    if verdict.tags:
        fields.append((4, [(", ".join(verdict.tags), "accent")]))
    return fields


def _reasons(state: State, *, also: Runs = ()) -> list[Field]:
    verdict = state.verdict
    fields: list[Field] = [(5, [(safe(verdict.evidence), "text")])]
    if also:
        fields.insert(0, (6, also))
    if state.rejected is not None and state.ended is None:
        fields.insert(0, (7, [(f"refused: {safe(state.rejected.reason)}", "warn")]))
    return fields


def _end(ended: RunEnded, whose_loss: str) -> list[Field]:
    if ended.reason == "failed":
        error = safe((ended.error or "").splitlines()[0] if ended.error else "")
        return [
            (9, [(f"✗ FAILED at step {ended.step:,}", "bad")]),
            (8, [("e", "key"), (" shows why", "text")]),
            (5, [(error, "text")]),
        ]
    val = "" if ended.val_loss is None else f"  validation {_loss(ended.val_loss)}"
    words = f"■ {ended.reason.upper()} after {ended.step:,} steps:"
    why: list[Field] = [(7, [(safe(ended.message), "text")])] if ended.message else []
    return [
        (9, [(words, "good" if ended.reason == "done" else "warn")]),
        (8, [(f"loss{whose_loss} {_loss(ended.loss_first)} → {_loss(ended.loss_last)}{val}", "strong")]),
        (6, [("q", "key"), (" quits", "text")]),
        (5, [("e", "key"), (" result", "text")]),
        *why,
    ]


def _loss(loss: float | None) -> str:
    if loss is None:
        return "not known"
    return f"{loss:.3f}" if 1e-3 <= abs(loss) < 1e4 else number(loss).strip()


def _tooltip(verdict: Verdict) -> str:
    """What stands beside the verdict, in words."""
    sure = [] if verdict.confidence is None else [f"{percent(verdict.confidence)} sure. {SURE}"]
    return "\n".join([*sure, *(f"{tag}. {TAGS[tag]}" for tag in verdict.tags if tag in TAGS)])
