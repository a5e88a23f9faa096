"""A control's value as the engine has it, what is pending, and since which step it holds."""

from __future__ import annotations

from vgrad.controls.catalog import find_control
from vgrad.controls.controls import Command, Set
from vgrad.controls.wording import describe
from vgrad.errors import ConfigError
from vgrad_tui.draw.runs import Runs
from vgrad_tui.state.run_state import State


def pending(now: str, value: str, state: State) -> Runs:
    """The value in force, the one that was asked for, and when it is applied."""
    when = "" if state.controls.accumulation_steps == 1 else ": window's end"
    return [(f"{now} → ", "dim"), (value, "warn"), (f"  pending{when}", "warn")]


def applied(now: str, state: State, topic: str, *, strong: bool) -> Runs:
    """The value in force, and since which step if it was changed."""
    step = state.applied_at.get(topic)
    runs = [(now, "strong" if strong else "text")]
    return runs if step is None else [*runs, (f"  @ {step:,}", "accent")]


def chosen(name: str, choice: Set, state: State) -> Runs:
    """The present value, the one that was chosen in its place, and the key that sets it."""
    now = find_control(name).shown(getattr(state.wanted, name))
    return [(f"{now} → ", "dim"), (pending_value(choice), "key"), ("  enter sets it", "dim")]


def pending_value(command: Command) -> str:
    """The value that a command will set, as its control shows it; in plain words where it has none."""
    if not isinstance(command, Set):
        return describe(command)
    control = find_control(command.control)
    try:
        return control.shown(control.read(command.value))
    except ConfigError:
        return describe(command)
