"""Notices as versioned plain data, and back: what JSON and a database can hold.

The form of each value follows from the type that its class declares, so a new kind of notice, or a new
field, needs nothing here. JSON has no NaN and no infinity: they are the texts ``"nan"`` and ``"-inf"``.
Reading refuses whatever another program may have written wrong, with `DataError` and with nothing else.
Snapshots are in `vgrad.events.snapshot_codec`, steps in `vgrad.store.columns`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vgrad.controls.capabilities import Capabilities
from vgrad.controls.codec import (
    capabilities_from_data,
    capabilities_to_data,
    command_from_data,
    command_to_data,
    controls_from_data,
    controls_to_data,
)
from vgrad.controls.controls import Command, Controls
from vgrad.errors import ConfigError, DataError
from vgrad.events.notices import CommandRejected, Notice, NoticeBody
from vgrad.validation import brief

VERSION = 1

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(NoticeBody)}
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def notice_to_data(notice: Notice) -> dict[str, object]:
    """A notice as plain data, which `json.dumps` writes with ``allow_nan=False``."""
    body = notice.body
    return {
        "version": VERSION,
        "sequence": notice.sequence,
        "time_s": notice.time_s,
        "step": notice.step,
        "part": notice.part,
        "command_id": notice.command_id,
        "sender": notice.sender,
        "kind": type(body).__name__,
        "body": _refused(body) if isinstance(body, CommandRejected) else plain(body),
    }


def notice_from_data(data: object) -> Notice:
    """The notice that `notice_to_data` wrote.

    Raises:
        DataError: If ``data`` is no such thing, or of a newer version.
    """
    values = _table(data, "a notice")
    version = values.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise DataError(f"a notice must be of version {VERSION}, got {brief(version)}")
    name = values.pop("kind", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise DataError(f"no notice is called {brief(name)}")
    body = values.pop("body", None)
    try:
        if kind is CommandRejected:  # what was refused may be nonsense, and is kept as it was
            table = _table(body, "body")
            if not isinstance(table.get("command"), str):  # the text of what is no command
                table["command"] = command_from_data(table.get("command"), refused=True)
            step, reason = (
                read_plain(table.get("step"), int, "step"),
                read_plain(table.get("reason"), str, "reason"),
            )
            return _notice(values, CommandRejected(step, table["command"], reason))
        return _notice(values, read_plain(body, kind, "body"))
    except (ConfigError, RecursionError, OverflowError) as error:
        raise DataError(f"a notice cannot be read: {error}") from None


def _refused(body: CommandRejected) -> dict[str, object]:
    """A refusal; of what is no command, as a script may pass it by mistake, only the text is kept."""
    given: object = body.command
    is_command = isinstance(given, get_args(Command))
    text = given if isinstance(given, str) else brief(given)
    return {"step": body.step, "command": plain(given) if is_command else text, "reason": body.reason}


def _notice(values: Mapping[str, object], body: NoticeBody) -> Notice:
    read = {
        name: read_plain(values.get(name), hint, name)
        for name, hint in _hints(Notice).items()
        if name != "body"
    }
    return Notice(body=body, **read)


def plain(value: object) -> object:  # noqa: PLR0911  # a line for each form
    """A value that a notice may hold as plain data."""
    match value:
        case Controls():
            return controls_to_data(value)
        case Capabilities():
            return capabilities_to_data(value)
        case float() if not math.isfinite(value):
            return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(name): plain(inner) for name, inner in value.items()}
        case tuple() | list():
            return [plain(inner) for inner in value]
    if isinstance(value, get_args(Command)):
        return command_to_data(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"a notice cannot hold a {type(value).__name__}")


def read_plain(data: object, hint: Any, name: str) -> Any:  # noqa: C901, PLR0911  # a line for each form
    """The value of type ``hint`` that `plain` wrote; ``name`` says in errors which value it is.

    Raises:
        DataError: If ``data`` is no such value.
        ConfigError: If controls or a command in it make no sense.
    """
    if hint is Controls:
        return controls_from_data(data)
    if hint is Capabilities:
        return capabilities_from_data(data)
    if hint == Command:
        return command_from_data(data)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        if data is None and type(None) in inner:
            return None
        [rest] = [part for part in inner if part is not type(None)]
        return read_plain(data, rest, name)
    if origin is Literal:
        if data not in inner:
            raise DataError(f"{name} must be one of {', '.join(map(str, inner))}, got {brief(data)}")
        return data
    if origin is tuple:
        return _read_tuple(data, inner, name)
    if origin is not None and issubclass(origin, Mapping):
        return {
            key: read_plain(value, inner[1], f"{name}.{key}") for key, value in _table(data, name).items()
        }
    if is_dataclass(hint):
        return _read_dataclass(data, hint, name)
    return _read_scalar(data, hint, name)


def _read_tuple(data: object, inner: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise DataError(f"{name} must be a list, got {brief(data)}")
    if len(inner) == 2 and inner[1] is ...:
        return tuple(read_plain(value, inner[0], name) for value in data)
    if len(data) != len(inner):
        raise DataError(f"{name} must have {len(inner)} values, got {len(data)}")
    return tuple(read_plain(value, hint, name) for value, hint in zip(data, inner, strict=True))


def _read_dataclass(data: object, kind: Any, name: str) -> Any:
    values = _table(data, name)
    hints = _hints(kind)
    read = {}
    for field in fields(kind):
        if field.name in values:
            read[field.name] = read_plain(values[field.name], hints[field.name], f"{name}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{name} lacks {field.name}")
    return kind(**read)


def _read_scalar(data: object, hint: Any, name: str) -> Any:
    if hint is object or hint is Any:
        return data
    if hint is float:
        if isinstance(data, str) and data in _NON_FINITE:
            return _NON_FINITE[data]
        if isinstance(data, int | float) and not isinstance(data, bool):
            return float(data)
    elif type(data) is hint:
        return data
    raise DataError(f"{name} must be {getattr(hint, '__name__', hint)}, got {brief(data)}")


def _table(data: object, name: str) -> dict[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise DataError(f"{name} must be a table of names and values, got {brief(data)}")
    return dict(data)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)
