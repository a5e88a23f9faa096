"""All tensors of a model by name, and the parts of it that can be changed: captured, compared, put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from vgrad.train.model_parts import current, set_structure_

if TYPE_CHECKING:
    from torch import Tensor, nn


def capture_model(model: nn.Module) -> dict[str, Any]:
    """Return the parameters and buffers, not copied, and what each changeable part is."""
    return {"tensors": tensors_of(model), "structure": current(model)}


def restore_model_(model: nn.Module, captured: Mapping[str, Any]) -> None:
    """Go back to what `capture_model` returned; every tensor of the model stays the same object.

    The model must be one for which `how_models_differ` returns None.
    """
    for name, value in captured["structure"].items():
        set_structure_(model, name, value)
    put_tensors_(model, captured["tensors"])


def put_tensors_(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the tensors of ``model`` these values, by name; every tensor of it stays the same object."""
    own = tensors_of(model)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def how_models_differ(model: nn.Module, captured: Mapping[str, Any]) -> str | None:
    """Return in words how the captured model is not ``model``, or None if one can become the other."""
    own, other = tensors_of(model), captured["tensors"]
    for name in (*own, *other):
        if name not in other:
            return f"this model has {name}, which the state has not"
        if name not in own:
            return f"the state has {name}, which this model has not"
        mine, its = own[name], other[name]
        if mine.shape != its.shape or mine.dtype != its.dtype:
            return f"{name} is {_in_words(its)} in the state and {_in_words(mine)} in this model"
    if captured["structure"].keys() != current(model).keys():
        return "the state has other parts that can be changed"
    return None


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, those too that ``state_dict`` leaves out; what is tied comes once."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def _in_words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
