"""The parameters of a control's value as text and back: ``2.5,alpha=0.97``.

A value is a frozen dataclass, and its fields, in order, are its parameters. The first may stand
without its name. Text that could be taken for something else is written in double quotes, with the
escapes of JSON: ``"a,b"``. Where the only parameter is text, quotes are not needed to read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError
from vgrad.validation import brief

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TRUE, _FALSE = ("on", "true", "yes"), ("off", "false", "no")
_PART = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")*')
"""What stands between two commas that are not inside quotes."""


def defaults(kind: type[DataclassInstance]) -> Mapping[str, object]:
    """Default of each parameter of a class of values."""
    return {field.name: _default(field) for field in _fields(kind)}


def usage(kind: type[DataclassInstance]) -> str:
    """The parameters with their defaults: ``z=2.5, alpha=0.97``."""
    shown = (f"{name}={_write(default)}" for name, default in defaults(kind).items())
    return ", ".join(shown) or "no parameters"


def read(kind: type[DataclassInstance], text: str, *, word: str) -> DataclassInstance:
    """Read ``"2.5,alpha=0.97"`` as a value of class ``kind``.

    Args:
        kind: Class of the value.
        text: Its parameters; empty for all defaults.
        word: What the class is called in messages.

    Raises:
        ConfigError: If a parameter is unknown, given twice, unreadable or makes no sense.
    """
    known = {field.name: field for field in _fields(kind)}
    given: dict[str, object] = {}
    for position, part in enumerate(_split(text, known)):
        name, value = _named(part, known if position == 0 else {})
        if name not in known or name in given or not value:
            raise ConfigError(f"{word} takes {usage(kind)}, got {brief(text)}")
        given[name] = _read(known[name], value)
    return kind(**given)


def format_parameters(value: DataclassInstance) -> list[str]:
    """The parameters that differ from their defaults, and the first of all, each as text.

    Joined by commas they are read back as ``value``.
    """
    given = []
    for position, field in enumerate(_fields(type(value))):
        now = getattr(value, field.name)
        if position == 0 and now is not None:
            given.append(_write(now))
        elif now != _default(field):
            given.append(f"{field.name}={_write(now)}")
    return given


def read_number(text: str, name: str = "the value") -> int | float:
    """Read a number; raises `ConfigError` if it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ConfigError(f"{name} must be a number, got {brief(text)}")


def _fields(kind: type[DataclassInstance]) -> tuple[Field[Any], ...]:
    return tuple(field for field in fields(kind) if field.init)


def _default(field: Field[Any]) -> object:
    if field.default is MISSING:
        raise TypeError(f"parameter {field.name} of a control's value needs a default")
    return field.default


def _is_one_text(known: Mapping[str, Field[Any]]) -> bool:
    return [type(_default(field)) for field in known.values()] == [str]


def _split(text: str, known: Mapping[str, Field[Any]]) -> list[str]:
    if not text:
        return []
    if _is_one_text(known) and not text.startswith('"'):
        return [text]  # a comma in it means itself
    parts, position = [], 0
    while True:
        found = _PART.match(text, position)
        assert found is not None  # it matches nothing, too
        parts.append(found[0])
        position = found.end()
        if position >= len(text) or text[position] != ",":
            break
        position += 1
    if position < len(text):  # a quote that never ends
        parts[-1] += text[position:]
    return parts


def _named(part: str, first: Mapping[str, Field[Any]]) -> tuple[str, str]:
    """The name and the text of a parameter; the first one of all may come without its name."""
    name, equals, value = (piece.strip() for piece in part.partition("="))
    is_unnamed = not equals or name.startswith('"') or (_is_one_text(first) and name not in first)
    return (next(iter(first)), part.strip()) if first and is_unnamed else (name, value)


def _read(field: Field[Any], text: str) -> object:
    """Read a parameter by the type of its default; None stands for a number not given."""
    default = _default(field)
    if isinstance(default, bool):
        if text.lower() not in _TRUE + _FALSE:
            raise ConfigError(f"{field.name} must be on or off, got {brief(text)}")
        return text.lower() in _TRUE
    if isinstance(default, str):
        return _unquoted(field.name, text) if text.startswith('"') else text
    return read_number(text, name=field.name)


def _unquoted(name: str, text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise ConfigError(f"{name} begins with a quote and does not end with one: {brief(text)}")
    return value


def _write(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, str):
        return repr(value)
    is_plain = value == value.strip() != "" and value.isprintable() and not set(value) & set(',="')
    return value if is_plain else json.dumps(value, ensure_ascii=not value.isprintable())
