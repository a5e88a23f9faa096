"""Finds the models that an optimizer trains, in a process that knows nothing of us."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from vgrad.watching.frame_variables import variables_of_callers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_MOST_ENTRIES = 1_000  # of a list or dict that may hold models


def find_models(params: Iterable[Tensor]) -> tuple[nn.Module, ...]:
    """Return the outermost modules of this process that hold ``params``, as few as possible.

    Looks through all objects that the garbage collector knows: about 0.1 s for 375,000 of them, so ask once.

    Args:
        params: Parameters of one optimizer, each of any shape.

    Returns:
        The outermost module that holds all of them, so that layers have the names that the user's own model
        gives them; where there is none, the outermost modules that hold some, the one with the most first.
        Empty if no module holds any.
    """
    wanted = {id(param) for param in params}
    # `type` asks the object nothing: a proxy's own `__class__` would be somebody's code.
    modules = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.Module)]
    holdings = _Holdings(modules, wanted)
    whole = holdings.whole()
    if whole is not None:
        return (whole,)
    found: list[nn.Module] = []
    left = set(wanted)
    for module in sorted(
        holdings.holders, key=lambda module: (-len(holdings.of(module)), holdings.size(module))
    ):
        if holdings.of(module) & left:
            found.append(module)
            left -= holdings.of(module)
    return tuple(found)


def find_model_of_this_thread(params: Iterable[Tensor]) -> nn.Module | None:
    """Return the outermost module that holds all ``params`` among what the calling thread's variables name.

    A model is found that a variable holds, or an attribute, list or dict of one. It takes about 1 ms, where
    `find_models` looks through the whole process. A module around the model is missed where it is held
    elsewhere: its part in the names of the layers is then missing.

    Args:
        params: Parameters of one optimizer, each of any shape.

    Returns:
        The module; None where no variable names one that holds all of them.
    """
    modules: dict[int, nn.Module] = {}
    for _, variables in variables_of_callers(sys._getframe(1)):
        modules.update((id(module), module) for module in _modules_in([value for _, value in variables]))
    return _Holdings(list(modules.values()), {id(param) for param in params}).whole()


def _modules_in(values: Iterable[object]) -> Iterator[nn.Module]:
    """The modules among ``values``, among the attributes of each, and in each list, tuple and dict."""
    for value in list(values):
        if issubclass(type(value), nn.Module):
            yield cast("nn.Module", value)
        else:
            held = _held_by(value)
            found = held if len(held) <= _MOST_ENTRIES else ()
            yield from (cast("nn.Module", each) for each in list(found) if issubclass(type(each), nn.Module))


def _held_by(thing: object) -> Collection[object]:
    """What a list, tuple or dict holds, or the attributes of an object; none of its own code is run."""
    if type(thing) in {list, tuple}:
        return cast("Sequence[object]", thing)
    try:
        found = thing if type(thing) is dict else object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return ()
    return cast("dict[object, object]", found).values() if type(found) is dict else ()


class _Holdings:
    """Which of the wanted parameters each module holds, itself or in a submodule."""

    def __init__(self, modules: Sequence[nn.Module], wanted: set[int]) -> None:
        self._held: dict[int, frozenset[int]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._wanted = wanted
        for module in modules:
            self._measure(module, set())
        self.holders = [module for module in modules if self._held.get(id(module))]

    def whole(self) -> nn.Module | None:
        """The outermost module that holds all wanted parameters."""
        whole = [module for module in self.holders if self.of(module) == self._wanted]
        return max(whole, key=self.size) if whole else None

    def of(self, module: nn.Module) -> frozenset[int]:
        """Identities of the wanted parameters that ``module`` holds."""
        return self._held[id(module)]

    def size(self, module: nn.Module) -> tuple[int, int]:
        """Number of parameters in ``module``, then the depth of its tree: what is around it is one deeper."""
        return self._sizes[id(module)]

    def _measure(self, module: nn.Module, above: set[int]) -> frozenset[int]:
        key = id(module)
        if key in self._held or key in above:
            return self._held.get(key, frozenset())
        parts = vars(module)
        # Lists: another thread may be making this very module.
        params, children = (list((parts.get(name) or {}).values()) for name in ("_parameters", "_modules"))
        held = {id(param) for param in params if param is not None}
        num_params, depth = len(held), 0
        held &= self._wanted
        for child in children:
            if child is None:
                continue
            held |= self._measure(child, above | {key})
            num_inner, depth_inner = self._sizes.get(id(child), (0, 0))
            num_params, depth = num_params + num_inner, max(depth, depth_inner + 1)
        self._held[key], self._sizes[key] = frozenset(held), (num_params, depth)
        return self._held[key]
