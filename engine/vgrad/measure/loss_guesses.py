"""What constant predictions cost, as the loss function itself shows.

Nobody tells vgrad what a constant prediction costs in a training loop of somebody's own. Two kinds of loss
show something of it. Where the loss is a mean cross entropy over ``C`` classes, a guess that gives each class
the same chance costs ``log C``, whatever the targets are. A loss above that is worse than knowing nothing;
one below proves nothing, for a constant prediction may cost much less. Where the loss is a mean squared
error, its targets can be had, and the best constant prediction costs their variance. A loss below that,
batch for batch, is one of a model that uses its inputs; one above proves nothing: perhaps nothing can be
learnt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vgrad.measure.squared_errors import squared_errors_of

_MEAN = 1  # what torch saves for ``reduction="mean"``
_RESHAPES = ("View", "UnsafeView", "Unsqueeze", "Reshape")  # of more dimensions than two


@dataclass(frozen=True, slots=True)
class SeenGuesses:
    """What one look at a loss has shown: `Guesses` whose numbers may still be on a device.

    Attributes:
        uniform: As there; a float, or 0-d on the device of the loss.
        over_constant: Likewise.
    """

    uniform: Tensor | float = math.nan
    over_constant: Tensor | float = math.nan

    def plus(self, other: SeenGuesses) -> SeenGuesses:
        """Of two backward passes of one step, whose losses add up."""
        return SeenGuesses(self.uniform + other.uniform, (self.over_constant + other.over_constant) / 2)


NOTHING_SEEN = SeenGuesses()


def guesses_of(loss: Tensor, *, is_scaled: bool = False) -> SeenGuesses:
    """Look at the node of the graph that made ``loss``.

    A uniform guess is known of the mean of `torch.nn.functional.cross_entropy` and of
    ``binary_cross_entropy_with_logits``. Of the latter only where its targets differ: a player of a GAN is
    asked for one and the same answer, and its loss may stay above ``log 2`` for good reason. A constant
    prediction is known of a squared error, see `squared_errors_of`. Sums of losses are not looked into.

    Args:
        loss: The loss as it is given to ``backward``, with its graph. One entry; one backward pass reads it.
            On an accelerator it is not waited for.
        is_scaled: Whether a `GradScaler` has multiplied it. What is returned is of the loss before that.
    """
    node: Any = loss.grad_fn
    if is_scaled and type(node).__name__ == "MulBackward0":
        node = node.next_functions[0][0]
    name = type(node).__name__
    if name.startswith("NllLoss"):
        return SeenGuesses(uniform=_uniform_of_cross_entropy(node))
    if name.startswith("BinaryCrossEntropyWithLogits"):
        return SeenGuesses(uniform=_uniform_of_binary(node))
    return SeenGuesses(over_constant=_over_constant(node))


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


def _uniform_of_binary(node: Any) -> Tensor | float:
    targets = getattr(node, "_saved_target", None)
    is_plain = all(getattr(node, key, None) is None for key in ("_saved_weight", "_saved_pos_weight"))
    is_mean = getattr(node, "_saved_reduction", None) == _MEAN
    if not is_plain or not is_mean or targets is None or not targets.numel():
        return math.nan
    with torch.no_grad():
        differ = (targets != targets.flatten()[0]).any()
        return _on_host_if_there(_where(differ, torch.full_like(differ, math.log(2), dtype=torch.float32)))


def _over_constant(node: Any) -> Tensor | float:
    """The squared error over the targets' variance from sample to sample, each entry for itself."""
    found = squared_errors_of(node)
    if found is None or not found.targets.dim() or len(found.targets) < 2:
        return math.nan
    with torch.no_grad():
        # Divided by one sample less than there are: so it is right on average, whatever the batch size.
        variance = found.targets.var(0).mean()
        error = found.errors.square().mean()
        return _on_host_if_there(_where(variance > found.least_variance, error / variance))


def _where(condition: Tensor, value: Tensor) -> Tensor:
    """``value``, and NaN where ``condition`` is false. Both are 0-d, on one device that is not waited for."""
    return value.masked_fill(~condition, math.nan)


def _on_host_if_there(value: Tensor) -> Tensor | float:
    return float(value) if value.is_cpu else value
