"""Controls, commands and capabilities as plain data, and back: what JSON and a database can hold.

Every form says its version. A value of a control is its text, as in a flag. Reading refuses
whatever another program may have written wrong, with `ConfigError` and with nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, cast

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.controls import COMMANDS, NAMES, Command, Controls, Reinit, Rewind, Set
from vgrad.errors import ConfigError
from vgrad.validation import brief

VERSION = 1


def controls_to_data(controls: Controls) -> dict[str, object]:
    """Controls as plain data: the text of each that is not at its default, and ``paused``."""
    default = Controls()
    texts: dict[str, object] = {
        name: control.format(value)
        for name, control in CONTROLS.items()
        if (value := getattr(controls, name)) != getattr(default, name)
    }
    return {"version": VERSION, **texts, "paused": controls.paused}


def controls_from_data(data: object) -> Controls:
    """The controls that `controls_to_data` wrote; what is not given is at its default.

    Raises:
        ConfigError: If ``data`` is no such thing, or of another version.
    """
    values = _versioned(data, "controls")
    for name, value in values.items():
        if name != "paused":
            find_control(name)
            _text(name, value)
    return Controls(**values)


def command_to_data(command: Command) -> dict[str, object]:
    """A command as plain data: ``{"version": 1, "command": "set", "control": "clip", "value": "norm:1.0"}``.

    A command that carries nonsense, and so was or will be refused, is written too, with its nonsense
    as text.
    """
    name = NAMES.get(type(command))
    if name is None:
        raise ConfigError(f"not a command: {brief(command)}")
    values = {field.name: getattr(command, field.name) for field in fields(command)}
    if isinstance(command, Set):
        values = {"control": _shown(command.control), "value": _value_to_text(command)}
    elif isinstance(command, Reinit):
        values = {"scheme": _shown(command.scheme)}
    elif isinstance(command, Rewind):
        values = {"step": command.step if type(command.step) is int else _shown(command.step)}
    return {"version": VERSION, "command": name, **values}


def command_from_data(data: object, *, refused: bool = False) -> Command:
    """The command that `command_to_data` wrote.

    Args:
        data: Plain data.
        refused: Whether it is one that was refused: then the value of a `Set` may be nonsense, and
            stays the text that it is.

    Raises:
        ConfigError: If ``data`` is no such thing, of another version, or, unless it was ``refused``,
            names no control or a value that the control cannot have.
    """
    values = _versioned(data, "command")
    name = values.pop("command", None)
    kind = COMMANDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"no command is called {brief(name)} (commands: {', '.join(COMMANDS)})")
    known = {field.name for field in fields(kind)}
    if values.keys() != known:
        wanted = ", ".join(sorted(known)) or "nothing else"
        raise ConfigError(f"{name} takes {wanted}, got {brief(sorted(values))}")
    if kind is Rewind:
        return _rewind(values["step"], refused=refused)
    texts = {key: _text(key, value) for key, value in values.items()}
    if kind is Set and not refused:
        control = find_control(texts["control"])
        return Set(control.name, control.read(texts["value"]))
    if kind is Set:
        return _set_as_far_as_possible(texts["control"], texts["value"])
    make: Callable[..., Command] = kind
    return make(**texts)


def capabilities_to_data(capabilities: Capabilities) -> dict[str, object]:
    """Capabilities as plain data: one ``[subject, word, reason]`` for each refusal."""
    rows = [[refusal.subject, refusal.word, refusal.reason] for refusal in capabilities.refusals]
    return {"version": VERSION, "refusals": rows}


def capabilities_from_data(data: object) -> Capabilities:
    """The capabilities that `capabilities_to_data` wrote.

    Raises:
        ConfigError: If ``data`` is no such thing, or of another version.
    """
    rows = _versioned(data, "capabilities").get("refusals")
    if not isinstance(rows, list | tuple):
        raise ConfigError(f"refusals must be a list, got {brief(rows)}")
    refusals = []
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != len(fields(Refusal)):
            raise ConfigError(f"a refusal must be a subject, a word and a reason, got {brief(row)}")
        refusals.append(Refusal(*(_text("refusal", part) for part in row)))
    return Capabilities(tuple(refusals))


def _versioned(data: object, what: str) -> dict[str, Any]:
    """A copy of ``data`` without its version."""
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{what} must be a table of names and values, got {brief(data)}")
    values = dict(data)
    version = values.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise ConfigError(f"{what} must be of version {VERSION}, got {brief(version)}")
    return values


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, got {brief(value)}")
    return value


def _rewind(step: object, *, refused: bool) -> Rewind:
    if type(step) is not int and not (refused and isinstance(step, str)):
        raise ConfigError(f"step must be a whole number, got {brief(step)}")
    return Rewind(cast("int", step))


def _value_to_text(command: Set) -> str:
    try:
        control = find_control(command.control)
        return control.format(control.read(command.value))
    except ConfigError:
        return _shown(command.value)


def _set_as_far_as_possible(name: str, text: str) -> Set:
    try:
        control = find_control(name)
        return Set(control.name, control.read(text))
    except ConfigError:
        return Set(name, text)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else brief(value)
