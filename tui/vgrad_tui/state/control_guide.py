"""Every control in one list: its order, why it cannot be used here, and its explanation.

Made from `vgrad.controls.catalog.CONTROLS`; knows nothing of Textual.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vgrad.controls.catalog import CONTROLS, find_control, label
from vgrad.controls.choices import Control, Group, Number, OneOf, Variant, Word
from vgrad.controls.controls import Controls, Set
from vgrad.errors import ConfigError
from vgrad.events.run_info import RunInfo
from vgrad_tui.state.next_value import next_parameter, next_value, unset_parameter, usual
from vgrad_tui.state.run_state import State

if TYPE_CHECKING:
    from vgrad.controls.choices import ControlValue

GuideRow = tuple[Sequence[tuple[str, str]], str]
"""Runs of text and role, and the word that a click on the row sets; empty for none."""

WEIGHTS, CHECK = "weights", "check"
"""What can be done beside setting controls, by its topic, see `vgrad_tui.state.pending_commands.topic`."""

_COMMANDS = {WEIGHTS: "reinit", CHECK: "check_gradients"}
_TITLES: tuple[tuple[Group, str], ...] = (
    ("passes", "passes and precision"),
    ("chain", "gradient chain, in this order"),
    ("optimizer", "optimizer and rate"),
    ("model", "model"),
)

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (
        title,
        (
            *(control.name for control in CONTROLS.values() if control.group == group),
            *((WEIGHTS, CHECK) if group == "model" else ()),
        ),
    )
    for group, title in _TITLES
)
"""What a step goes through, in order: titles, and what can be chosen under each."""

ENTRIES = tuple(name for _, names in GROUPS for name in names)
"""All that can be chosen, from top to bottom."""

DEFAULTS = Controls()
_OWN_ROWS = ("clip", "accumulate", "schedule", "lr_scale")  # on the main screen
_LABEL = 15

NOW, CHOSEN, _OTHER = "● ", "▸ ", "○ "
"""In front of what a control can be: in force, chosen and not asked for, neither."""
_MARK_ROLES = {NOW: "good", CHOSEN: "key", _OTHER: "dim"}


def others_on(controls: Controls) -> list[str]:
    """Labels of all that differs from its default and has no row of its own on the main screen."""
    return [
        label(name, getattr(controls, name))
        for name in CONTROLS
        if name not in _OWN_ROWS and getattr(controls, name) != getattr(DEFAULTS, name)
    ]


def obstacle(name: str, info: RunInfo | None, word: str = "") -> str:
    """Why this run cannot use a control, or one word of it, or do what an entry stands for; empty: it can."""
    return "" if info is None else info.capabilities.why_not(_COMMANDS.get(name, name), word)


def words_here(control: Word, info: RunInfo | None) -> tuple[str, ...]:
    """The words of a control that this run can use, besides ``"as-built"``."""
    return tuple(word for word in control.words if not obstacle(control.name, info, word))


def at_hand(control: Control, state: State, choice: Set | None = None) -> ControlValue:
    """The value that the next key starts from: what is chosen, was just refused, or is wanted.

    So keys move on past a refused value, and a refused text can be put right.
    """
    if choice is not None:
        return choice.value
    refused = state.rejected.command if state.rejected is not None else None
    if (
        isinstance(refused, Set)
        and refused.control == control.name
        and state.pending_on(control.name) is None
    ):
        try:
            return control.read(refused.value)
        except ConfigError:
            pass  # no value at all; nothing to go on from
    value: ControlValue = getattr(state.wanted, control.name)
    return value


def next_variant(name: str, direction: int, state: State, choice: Set | None = None) -> Set:
    """The next or previous thing that a control can be on this run, seen from a choice if there is one."""
    control = find_control(name)
    words = (None, *words_here(control, state.info)) if isinstance(control, Word) else None
    return next_value(control, at_hand(control, state, choice), direction, words=words)


def moved_parameter(name: str, direction: int, state: State, choice: Set | None = None) -> Set | None:
    """The first parameter, of a choice if there is one, a rung up or down; None where none moves."""
    control = find_control(name)
    now = at_hand(control, state, choice)
    if isinstance(control, Number):
        return next_value(control, now, direction)
    moved = next_parameter(now, direction, unset=unset_parameter(state.controls, state.record))
    return None if moved == now else Set(name, moved)


def with_word(name: str, word: str, state: State) -> Set:
    """A control set to one of its words, with the usual parameters."""
    control = find_control(name)
    if isinstance(control, OneOf):
        return Set(name, usual(control.variants[word], at_hand(control, state)))
    return Set(name, control.read(word))


def palette() -> Iterator[tuple[str, str, str, str]]:
    """Every control with every word that it can be: title, help, name of the control, word."""
    for control in CONTROLS.values():
        match control:
            case OneOf():
                for variant in control.variants.values():
                    yield (
                        f"{control.title} {variant.word}",
                        variant_in_words(variant, control),
                        control.name,
                        variant.word,
                    )
            case Word():
                for word in ("as-built", *control.words):
                    yield f"{control.title} {word}", control.help, control.name, word


def variant_in_words(variant: Variant, control: OneOf) -> str:
    """A variant in one line."""
    tag = provenance(variant, control)
    parts = (
        f"{variant.label}{f' ({tag})' if tag else ''}",
        f"helps: {variant.helps}" if variant.helps else "",
        f"fails, costs: {variant.fails}" if variant.fails else "",
    )
    return f"{control.help}. {'; '.join(part for part in parts if part)}"


def provenance(variant: Variant, control: OneOf) -> str:
    """Whether a method is the article's or the standard one; empty where the article has none.

    Which of the article's versions (printed, coded, in prose, repaired) its label and source say.
    """
    if variant.type is None or not any(other.as_printed for other in control.variants.values()):
        return ""
    return "from the article" if variant.as_printed else "standard"


def hint(control: Control, text: str) -> str:
    """What may be typed after what was typed so far."""
    if isinstance(control, Number):
        return f"{control.least:g} to {control.most:g}"
    if isinstance(control, Word):
        return f"as-built, {', '.join(control.words)}"
    variant = control.variants.get(text.partition(":")[0].strip().lower())
    if variant is None:
        return f"one of {', '.join(control.words)}"
    return f"{variant.word}: {_parameters(variant)}"


def explain(name: str, state: State, width: int, choice: Set | None = None) -> list[GuideRow]:
    """All that there is to know of a control, in rows of at most ``width`` cells.

    ``●`` marks what is in force, ``▸`` what is chosen and not asked for.
    """
    control = find_control(name)
    now = getattr(state.controls, name)
    chosen = now if choice is None else choice.value
    rows = _wrapped(f"{control.title}: ", control.help + ".", width, role="title")
    rows += _wrapped("as text", f"{control.format(now)}", width)
    reason = obstacle(name, state.info)
    if reason:
        rows += _wrapped("not here", f"{reason}; asking is harmless, and is refused", width, text_role="warn")
    if name == "accumulate":
        scale, why = state.noise_scale()
        value = f"undetermined: {why}" if why else f"{scale:,.0f} samples: up to there larger batches pay"
        rows += _wrapped("noise scale", value, width)
    if isinstance(control, OneOf):
        for variant in control.variants.values():
            mark = _mark(variant is control.variant_of(now), variant is control.variant_of(chosen))
            why_not = "" if reason else obstacle(name, state.info, variant.word)
            rows += _variant_rows(variant, control, width, mark, why_not)
    elif isinstance(control, Word):
        for word in ("as-built", *words_here(control, state.info)):
            read = control.read(word)
            rows.append(_choice(word, "", "", _mark(now == read, chosen == read)))
    else:
        rows += _wrapped("range", f"{hint(control, '')}; ← and → halve and double it", width)
    return rows


def _variant_rows(variant: Variant, control: OneOf, width: int, mark: str, reason: str) -> list[GuideRow]:
    rows = [_choice(variant.word, variant.label, provenance(variant, control), mark)]
    facts = (
        ("not here", reason),
        ("helps", variant.helps),
        ("fails, costs", variant.fails),
        ("parameters", _parameters(variant) if variant.parameters else ""),
        ("source", variant.source),
    )
    for what, text in facts:
        if text:
            rows += [(runs, variant.word) for runs, _ in _wrapped(f"  {what}", text, width)]
    return rows


def _mark(is_now: bool, is_chosen: bool) -> str:
    return NOW if is_now else CHOSEN if is_chosen else _OTHER


def _choice(word: str, words: str, tag: str, mark: str) -> GuideRow:
    runs = [(mark, _MARK_ROLES[mark]), (word, "strong" if mark == NOW else "key")]
    if words and words != word:
        runs.append((f"  {words}", "text"))
    if tag:
        runs.append((f"  [{tag}]", "accent"))
    return runs, word


def _parameters(variant: Variant) -> str:
    return variant.usage().replace("=None", " (the usual unless given)")


def _wrapped(
    what: str, text: str, width: int, *, role: str = "dim", text_role: str = "text"
) -> list[GuideRow]:
    lead = max(_LABEL, len(what)) if role == "dim" else len(what)
    pieces = textwrap.wrap(text, max(10, width - lead)) or [""]
    heads = [f"{what:<{lead}}", *[" " * lead] * (len(pieces) - 1)]
    return [([(head, role), (piece, text_role)], "") for head, piece in zip(heads, pieces, strict=True)]
