"""What answers that ignore the inputs cost, as the loss function itself shows.

Nobody tells vgrad what a constant prediction costs in a training loop of somebody's own. Two kinds of loss
show something of it. Where the loss is a mean cross entropy over ``C`` classes, a guess that gives each class
the same chance costs ``log C``, whatever the targets are. A loss above that is worse than knowing nothing;
one below proves nothing, for a constant prediction may cost much less. Where the loss is a mean squared
error, its targets are at hand, and the best constant prediction costs their variance. A loss below that,
batch for batch, is one of a model that uses its inputs; one above proves nothing: perhaps nothing can be
learnt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vgrad.events.guesses import UNKNOWN, Guesses

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = 1  # what torch saves for ``reduction="mean"``
_RESHAPES = ("View", "UnsafeView", "Unsqueeze", "Reshape")  # of more dimensions than two


def guesses_of(loss: Tensor) -> Guesses:
    """Look at the node of the graph that made ``loss``.

    A uniform guess is known of the mean of `torch.nn.functional.cross_entropy` and of
    ``binary_cross_entropy_with_logits``. Of the latter only where its targets differ: a player of a GAN is
    asked for one and the same answer, and its loss may stay above ``log 2`` for good reason. A constant
    prediction is known of ``mse_loss``. Sums of several losses are not looked into.

    Args:
        loss: The loss as it is given to ``backward``, with its graph. One entry; one backward pass reads it.
    """
    node = loss.grad_fn
    name = type(node).__name__
    if name.startswith("NllLoss"):
        return Guesses(uniform=_uniform_of_cross_entropy(node))
    if name.startswith("BinaryCrossEntropyWithLogits"):
        return Guesses(uniform=_uniform_of_binary(node))
    if name.startswith("MseLoss"):
        return Guesses(over_constant=_over_constant(node))
    return UNKNOWN


def _uniform_of_cross_entropy(node: Any) -> float:
    is_mean = getattr(node, "_saved_reduction", None) == _MEAN
    inputs = getattr(node, "_saved_self", None)
    # The inputs are logarithms of chances only where `log_softmax` made them.
    before = node.next_functions[0][0]
    while before is not None and type(before).__name__.startswith(_RESHAPES):
        before = before.next_functions[0][0]
    is_cross_entropy = type(before).__name__.startswith("LogSoftmax")
    if not is_mean or not is_cross_entropy or inputs is None or inputs.dim() < 2:
        return math.nan
    return math.log(inputs.shape[1])


def _uniform_of_binary(node: Any) -> float:
    targets = getattr(node, "_saved_target", None)
    is_plain = all(getattr(node, key, None) is None for key in ("_saved_weight", "_saved_pos_weight"))
    is_mean = getattr(node, "_saved_reduction", None) == _MEAN
    if is_plain and is_mean and targets is not None and bool((targets != targets.flatten()[0]).any()):
        return math.log(2)
    return math.nan


def _over_constant(node: Any) -> float:
    """The squared error over the targets' variance from sample to sample, each entry for itself.

    Not known on an accelerator, which would have to be waited for.
    """
    outputs, targets = getattr(node, "_saved_self", None), getattr(node, "_saved_target", None)
    if type(outputs) is not torch.Tensor or type(targets) is not torch.Tensor:
        return math.nan  # there are none, or they are pieces of others
    if not (outputs.is_cpu and targets.is_cpu) or not targets.dim() or len(targets) < 2:
        return math.nan
    with torch.no_grad():
        # Divided by one sample less than there are: so it is right on average, whatever the batch size.
        variance = float(targets.float().var(0).mean())
        return float((outputs.float() - targets).square().mean()) / variance if variance > 0 else math.nan
