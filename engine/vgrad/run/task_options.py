"""The parameters of a task file's function, filled in from a run's settings."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError
from vgrad.validation import brief, did_you_mean

if TYPE_CHECKING:
    import torch

    from vgrad.config import RunConfig

_FLAGS = ("lr", "batch_size", "text")  # of a run, that a task may have parameters for
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def read_options(
    function: Callable[..., Any], config: RunConfig, device: torch.device, *, where: str
) -> dict[str, Any]:
    """Return what to call ``function`` with: seed, device, and a checked value for each option that is set.

    An option is read as its annotation says, or else as its default's type.

    Args:
        function: Takes ``seed`` and ``device`` (or not), and options by name.
        config: The run.
        device: Where the model is to live.
        where: File and function, for messages.

    Raises:
        ConfigError: If an option is unknown, of another type, or missing; says which there are.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(param.kind is param.VAR_KEYWORD for param in parameters.values())
    own = {"seed": config.seed, "device": device}
    options = {
        name: param
        for name, param in parameters.items()
        if name not in own and param.kind in {param.POSITIONAL_OR_KEYWORD, param.KEYWORD_ONLY}
    }
    flags = {name: value for name in _FLAGS if (value := getattr(config, name)) is not None}
    given = {**flags, **config.options}
    values: dict[str, Any] = {name: value for name, value in own.items() if takes_any or name in parameters}
    hints = _hints(function)
    for name, value in given.items():
        if name in options:
            kind = hints.get(name, type(options[name].default))
            try:
                values[name] = _read(name, value, kind)
            except ConfigError as error:
                raise ConfigError(f"{error} ({_in_words(options, where)})") from None
        elif takes_any and name not in own:
            values[name] = value
        else:
            raise ConfigError(
                f"{where} has no option {brief(name)}{did_you_mean(name, options)} "
                f"({_in_words(options, where)})"
            )
    for name, param in options.items():
        if param.default is param.empty and name not in values:
            raise ConfigError(f"{where} needs {name}: add --set {name}=VALUE ({_in_words(options, where)})")
    return values


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # of names that are there for type checkers alone
        return {}


def _in_words(options: Mapping[str, inspect.Parameter], where: str) -> str:
    shown = (
        name if param.default is param.empty else f"{name}={param.default}" for name, param in options.items()
    )
    return f"options of {where}: {', '.join(shown) or 'none'}"


def _read(name: str, value: Any, kind: Any) -> Any:
    """``value`` as ``kind``; a kind that is not known takes it as it is."""
    members = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        if value in members:
            return value
        raise ConfigError(f"{name} must be one of {', '.join(map(str, members))}, got {brief(value)}")
    if origin in {typing.Union, types.UnionType}:
        return _read_one_of(name, value, members)
    if kind not in _NAMES:
        return value
    found = _as_kind(value, kind)
    if found is None:
        hint = f""": quote it, --set {name}='"{value}"'""" if kind is str else ""
        raise ConfigError(f"{name} must be {_NAMES[kind]}, got {brief(value)}{hint}")
    return found


def _read_one_of(name: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    if types.NoneType in kinds and value == "none":
        return None
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType)
    for kind in kinds[:-1]:
        try:
            return _read(name, value, kind)
        except ConfigError:
            continue
    return _read(name, value, kinds[-1])


def _as_kind(value: Any, kind: type) -> Any:
    """``value`` as one of the plain types, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool:
        return {"on": True, "off": False}.get(value) if isinstance(value, str) else _if(value, bool)
    if kind is int:
        return int(value) if is_number and value == value // 1 else None
    if kind is float:
        return float(value) if is_number else None
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) else None
    return str(value) if isinstance(value, str | Path) else None


def _if(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
