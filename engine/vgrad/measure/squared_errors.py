"""A squared error and its targets, as the graph of a loss shows them.

Of `torch.nn.functional.mse_loss` the graph keeps predictions and targets. Of ``((a - b) ** 2).mean()`` and
its like it keeps the difference alone. There the prediction is computed again from what the last linear layer
has saved, and the targets are what is left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vgrad.measure.saved_tensors import TELLS_HOOKS, saved

# Views of all entries in their order, if there are as many of them as before; and conversions.
_VIEWS = ("View", "UnsafeView", "Squeeze", "Unsqueeze", "Select", "Slice", "ToCopy")
_ROUNDINGS = 100  # a spread of the targets that is fewer of them wide may be rounding alone


class SquaredErrors(NamedTuple):
    """What a model was off by, and what it was asked for.

    Attributes:
        errors: Prediction less target, or the negative of that.
        targets: Of the same shape, on the same device.
        least_variance: A variance of the targets that is not above this may be rounding. 0-d, or 0.
    """

    errors: Tensor
    targets: Tensor
    least_variance: Tensor | float


def squared_errors_of(node: Any) -> SquaredErrors | None:
    """The errors that a loss is the mean or the sum of the squares of, times any number; None if it is not.

    Args:
        node: The node of the graph that made the loss. Nothing is written to, and no device is waited for.
    """
    while _is(node, "Mul", "Div") and len(_inputs(node)) == 1:
        node = node.next_functions[0][0]  # None where a number is divided by the loss
    with torch.no_grad():
        return _of_function(node) if _is(node, "MseLoss") else _by_hand(node)


def _of_function(node: Any) -> SquaredErrors | None:
    outputs, targets = saved(node, "self"), saved(node, "target")
    if outputs is None or targets is None or outputs.device != targets.device:
        return None
    targets = targets.float()
    return SquaredErrors(outputs.float() - targets, targets, 0.0)


def _by_hand(node: Any) -> SquaredErrors | None:
    square = _inputs(node)[0] if _is(node, "Mean", "Sum") else None
    if square is None or type(square).__name__ != "PowBackward0" or square._saved_exponent != 2:
        return None
    errors, difference = saved(square, "self"), _inputs(square)[0]
    if errors is None or not _is(difference, "Sub") or difference._saved_alpha != 1:
        return None
    sides = [side for side, _ in difference.next_functions]
    if len(sides) != 2 or (sides[0] is None) == (sides[1] is None):
        return None
    outputs = _outputs_of(sides[0] or sides[1])
    # Of another number of entries where only some of them are asked for, or where shapes were broadcast.
    if outputs is None or outputs.numel() != errors.numel():
        return None
    rounding = _ROUNDINGS * torch.finfo(outputs.dtype).eps
    outputs, errors = outputs.reshape(errors.shape).float(), errors.float()
    targets = outputs - errors if sides[0] is not None else outputs + errors
    return SquaredErrors(errors, targets, (rounding * outputs).square().mean())


def _outputs_of(node: Any) -> Tensor | None:
    """What a linear layer answered, of which ``node`` is a view; in any shape. None where it is not known."""
    while _is(node, *_VIEWS):
        node = _inputs(node)[0]
    if not TELLS_HOOKS or not _is(node, "Addmm") or node._saved_alpha != 1 or node._saved_beta != 1:
        return None
    bias_node = node.next_functions[0][0]
    if _is(bias_node, "ToCopy"):  # autocast has converted it
        [bias_node] = _inputs(bias_node)
    bias: Any = getattr(bias_node, "variable", None)
    inputs, weight = saved(node, "mat1"), saved(node, "mat2")
    if type(bias) not in (Tensor, torch.nn.Parameter) or inputs is None or weight is None:
        return None
    return torch.addmm(bias.to(inputs.dtype), inputs, weight)


def _is(node: Any, *names: str) -> bool:
    return node is not None and type(node).__name__.rstrip("0123456789") in {f"{n}Backward" for n in names}


def _inputs(node: Any) -> list[Any]:
    return [each for each, _ in node.next_functions if each is not None]
