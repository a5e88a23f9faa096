"""Finds the models that an optimizer trains, in a process that knows nothing of us."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
    whole = [module for module in holdings.holders if holdings.of(module) == wanted]
    if whole:
        return (max(whole, key=holdings.size),)
    found: list[nn.Module] = []
    left = set(wanted)
    for module in sorted(
        holdings.holders, key=lambda module: (-len(holdings.of(module)), holdings.size(module))
    ):
        if holdings.of(module) & left:
            found.append(module)
            left -= holdings.of(module)
    return tuple(found)


class _Holdings:
    """Which of the wanted parameters each module holds, itself or in a submodule."""

    def __init__(self, modules: Sequence[nn.Module], wanted: set[int]) -> None:
        self._held: dict[int, frozenset[int]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._wanted = wanted
        for module in modules:
            self._measure(module, set())
        self.holders = [module for module in modules if self._held.get(id(module))]

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
