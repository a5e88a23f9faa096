"""The modules and parameters of a model, as torch has them registered.

A model may have methods or attributes of its own called ``parameters``, ``modules`` or ``children``: a MAML
learner that returns a list of tensors, an ODE that returns nothing, ``self.modules = nn.ModuleList()``. Torch
never asks for these in a step, so whoever watches must not either. Names, their order, and what comes only
once are those of torch's own `named_modules` and `named_parameters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """``model``, called "", and all modules in it by their names, each once, parents first."""
    seen: set[int] = set()
    waiting = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield name, module
        inner = [(f"{name}.{key}" if name else key, child) for key, child in named_children(module)]
        waiting += reversed(inner)


def modules_of(model: nn.Module) -> Iterator[nn.Module]:
    """``model`` and all modules in it, each once, parents first."""
    return (module for _, module in named_modules(model))


def named_children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that ``module`` itself holds."""
    return ((name, child) for name, child in list(module._modules.items()) if child is not None)


def own_params(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and tensor of each parameter that ``module`` itself holds, each once."""
    seen: set[int] = set()
    for name, param in list(module._parameters.items()):
        if param is not None and id(param) not in seen:
            seen.add(id(param))
            yield name, param


def params_of(model: nn.Module) -> Iterator[nn.Parameter]:
    """All parameters of ``model``, each once."""
    seen: set[int] = set()
    for module in modules_of(model):
        for _, param in own_params(module):
            if id(param) not in seen:
                seen.add(id(param))
                yield param
