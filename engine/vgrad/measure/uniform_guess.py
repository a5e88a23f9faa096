"""What a uniform guess costs, as the loss function itself shows: an upper limit for any constant prediction.

Nobody tells vgrad what a constant prediction costs in a training loop of somebody's own. Where the loss is a
mean cross entropy over ``C`` classes, though, a guess that gives each class the same chance costs ``log C``,
whatever the targets are. A loss above that is worse than knowing nothing; one below proves nothing, for a
constant prediction may cost much less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = 1  # what torch saves for ``reduction="mean"``
_RESHAPES = ("View", "UnsafeView", "Unsqueeze", "Reshape")  # of more dimensions than two


def uniform_loss(loss: Tensor) -> float:
    """Return what a uniform guess costs, from the node of the graph that made ``loss``; NaN: not known.

    Known of the mean of `torch.nn.functional.cross_entropy` and of ``binary_cross_entropy_with_logits``. Of
    the latter only where its targets differ: a player of a GAN is asked for one and the same answer, and its
    loss may stay above ``log 2`` for good reason. Sums of several losses are not looked into.

    Args:
        loss: The loss as it is given to ``backward``, with its graph. One entry; one backward pass reads it.
    """
    node = loss.grad_fn
    name = type(node).__name__
    if node is not None and name.startswith("NllLoss"):
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
    if name.startswith("BinaryCrossEntropyWithLogits"):
        targets = getattr(node, "_saved_target", None)
        is_plain = all(getattr(node, key, None) is None for key in ("_saved_weight", "_saved_pos_weight"))
        is_mean = getattr(node, "_saved_reduction", None) == _MEAN
        if is_plain and is_mean and targets is not None and bool((targets != targets.flatten()[0]).any()):
            return math.log(2)
    return math.nan
