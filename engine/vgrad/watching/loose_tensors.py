"""Finds what a script trains that holds its parameters as tensors of their own, in no module."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vgrad.watching.frame_variables import variables_of_callers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KINDS = (Tensor, nn.Parameter)  # a subclass may run code of its own when it is looked at
_MOST_ENTRIES = 10_000  # of a list that may hold parameters: a longer one is data


def loose_tensors() -> list[Tensor]:
    """All leaf tensors of this process that have a gradient, but parameters of modules."""
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) in _KINDS and thing.requires_grad and thing.is_leaf and thing.grad is not None
    ]


def module_of(tensors: Sequence[Tensor]) -> nn.Module:
    """A module whose parameters are those of ``tensors`` that the calling thread's variables name.

    ``w`` is called ``w``, and ``weights[0]`` or ``weights["w"]`` are ``weights.0`` and ``weights.w``.
    """
    unnamed = {id(tensor): tensor for tensor in tensors}
    module = nn.Module()
    for frame, variables in variables_of_callers(sys._getframe(1)):
        is_ours = str(frame.f_globals.get("__name__")).startswith("vgrad.")
        for name, value in () if is_ours else _named(variables):
            tensor = unnamed.pop(id(value), None)
            if tensor is not None and name not in module._parameters:
                module._parameters[name] = tensor  # type: ignore[assignment]
        if not unnamed:
            break
    return module


def _named(variables: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, object]]:
    """What variables hold, themselves or in a list, tuple or dict, in the order in which they were made.

    So the variable of a loop over the tensors names none of them.
    """
    for name, value in variables:
        if type(value) in _KINDS:
            yield name, value
        elif type(value) is dict and len(value) <= _MOST_ENTRIES:
            yield from ((f"{name}.{key}", each) for key, each in list(value.items()) if type(key) is str)
        elif type(value) in {list, tuple} and len(value) <= _MOST_ENTRIES:
            yield from ((f"{name}.{index}", each) for index, each in enumerate(value))
