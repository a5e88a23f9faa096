"""Finds the model or optimizer inside the wrappers that other libraries put around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from vgrad.errors import ConfigError
from vgrad.gradients.module_tree import named_children, named_modules

if TYPE_CHECKING:
    from collections.abc import Callable

# Optimizers that call the step of an inner one: Accelerate's and Lightning's.
_OPTIMIZER_WRAPPERS = {"AcceleratedOptimizer", "LightningOptimizer"}
# Attributes that only a wrapper has: of `torch.compile`, FSDP and activation checkpointing.
_WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Wrappers that call the model ``module``, which a model of somebody's own may do, too.
_MODULE_WRAPPERS = {"DataParallel", "DistributedDataParallel", "AveragedModel"}


def unwrap_optimizer(optimizer: object) -> torch.optim.Optimizer:
    """Return the torch optimizer whose ``step`` does the work.

    Raises:
        ConfigError: If ``optimizer`` is none and wraps none.
    """
    found, seen = optimizer, [optimizer]
    while (inner := _inner_optimizer(found)) is not None and not any(inner is each for each in seen):
        seen.append(inner)
        found = inner
    if not isinstance(found, torch.optim.Optimizer):
        raise ConfigError(f"not a torch optimizer, and no wrapper of one: {type(optimizer).__name__}")
    return found


def is_wrapper(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its ``step`` calls that of another optimizer, which has the hooks."""
    return _inner_optimizer(optimizer) is not None


def shards_of(optimizer: torch.optim.Optimizer) -> Sequence[torch.optim.Optimizer]:
    """Optimizers that ``optimizer`` steps itself over parameters of its own, as `ZeroRedundancyOptimizer`."""
    if is_wrapper(optimizer):
        return ()
    own = {id(param) for param in _params_of(optimizer)}
    return [each for each in _held_by(optimizer) if own.issuperset(map(id, _params_of(each)))]


def _inner_optimizer(outer: object) -> object | None:
    """What ``outer`` calls to make a step; None where it makes its own.

    An optimizer that is no wrapper by its class, such as SAM or Lookahead, makes its step by another one
    where it holds one of the very same parameter groups.
    """
    if _kinds(outer) & _OPTIMIZER_WRAPPERS:
        return getattr(outer, "optimizer", None)
    held = _held_by(outer)
    if isinstance(outer, torch.optim.Optimizer):
        groups = getattr(outer, "param_groups", None)
        held = [each for each in held if groups is not None and getattr(each, "param_groups", None) is groups]
        return held[0] if held else None
    return held[0] if len(held) == 1 else getattr(outer, "optimizer", None)


def _held_by(thing: object) -> list[torch.optim.Optimizer]:
    held = getattr(thing, "__dict__", {}).values()
    return [each for each in held if isinstance(each, torch.optim.Optimizer)]


def _params_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [param for group in getattr(optimizer, "param_groups", ()) for param in group["params"]]


def as_module(model: nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]) -> nn.Module:
    """One module for a model or several; those keep their names, or get their number as a name.

    Raises:
        ConfigError: If something else is given.
    """
    if isinstance(model, nn.Module):
        return model
    is_several = isinstance(model, Mapping | Sequence)
    parts = model if isinstance(model, Mapping) else dict(enumerate(model)) if is_several else {}
    if not parts or not all(isinstance(part, nn.Module) for part in parts.values()):
        raise ConfigError(f"model must be a torch module, or several, got {type(model).__name__}")
    joined = nn.Module()
    for name, part in parts.items():
        joined._modules[str(name)] = part
    return joined


def class_name(model: nn.Module) -> str:
    """The class of the model: its own, where it stands inside wrappers; of several in one module, of each."""
    if type(model) is nn.Module:  # several, see `as_module`
        return "+".join(dict.fromkeys(class_name(part) for _, part in named_children(model)))
    attributes = _WRAPPED | ({"module"} if _kinds(model) & _MODULE_WRAPPERS else set())
    inner = next((part for name, part in named_children(model) if name in attributes), None)
    return type(model).__name__ if inner is None else class_name(inner)


def plain_names(model: nn.Module) -> Callable[[str], str]:
    """Return what turns a module's name into the one that it has without wrappers."""
    wrappers = {name for name, module in named_modules(model) if _kinds(module) & _MODULE_WRAPPERS}

    def plain(name: str) -> str:
        kept: list[str] = []
        so_far: list[str] = []
        for word in name.split("."):
            is_of_wrapper = word in _WRAPPED or (word == "module" and ".".join(so_far) in wrappers)
            if not is_of_wrapper:
                kept.append(word)
            so_far.append(word)
        return ".".join(kept)

    return plain


def _kinds(thing: object) -> set[str]:
    return {kind.__name__ for kind in type(thing).__mro__}
