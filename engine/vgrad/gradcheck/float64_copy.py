"""A float64 copy of a live model, and a context in which everything is computed in float64."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from vgrad.errors import ConfigError

_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_SHORTER = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = {Tensor.float: Tensor.double, Tensor.half: Tensor.double, Tensor.bfloat16: Tensor.double}


def float64_copy(model: nn.Module) -> nn.Module:
    """Return a deep copy of ``model`` in float64, in the same modes and on the same device.

    Hooks stay behind: they watch the live model, and must neither be called for a copy nor be
    copied with all that hangs on them. Those of ``torch.nn.utils`` (weight norm, spectral norm,
    pruning) come along, for they compute the weights.

    Raises:
        ConfigError: If the model cannot be copied, or its device has no float64.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name in _HOOKS:
            hooks = vars(module).get(name)
            if hooks:
                kept = [(key, hook) for key, hook in hooks.items() if _computes_weights(hook)]
                memo[id(hooks)] = OrderedDict(kept)
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # what a module keeps of its last pass
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(model, memo).double()
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise ConfigError(f"this model cannot be copied in float64 to be checked: {reason}") from error


def _computes_weights(hook: object) -> bool:
    return type(hook).__module__.startswith("torch.nn.utils")


class Float64Copy(TorchFunctionMode):
    """Inside, every floating tensor that torch is given or makes is float64, even where less is asked for.

    Inputs that a loss function brings along are so cast, and a model that computes a part of
    itself ``.float()`` does not round there. Tensors from outside are read through a cast and never
    written to.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map(_widened, (args, kwargs or {}))
        return tree_map(_widened, _CASTS.get(func, func)(*args, **kwargs))


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in _SHORTER:
        return value.double()
    return torch.float64 if isinstance(value, torch.dtype) and value in _SHORTER else value
