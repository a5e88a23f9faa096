"""Where a NaN or an infinity began, as far as one step's own norms can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vgrad.events.step_record import StepRecord


def non_finite_in_words(record: StepRecord, layers: Sequence[str], forward_origin: str = "") -> str:
    """Say what is not finite at this step, and where it began.

    The backward pass goes from the last layer to the first, and what is not finite stays so on its way. So
    the last of the layers whose gradient is not finite is the first that it happened to, unless the loss
    itself was not finite: then it began in the forward pass, or in the weights that the step before has left.

    Args:
        record: The step, with a loss, a norm or a layer's norm that is not finite.
        layers: Layer names, in the model's parameter order.
        forward_origin: Where the forward pass stopped being finite, in words; empty: not known.
    """
    bad = np.flatnonzero(~np.isfinite(record.grad_norms))
    is_loss_bad = record.loss is not None and not math.isfinite(record.loss)
    found = []
    if is_loss_bad:
        found.append(f"the loss is {record.loss}")
    if bad.size:
        found.append(f"the gradient of {bad.size} of {len(layers)} layers is not finite")
    elif not math.isfinite(record.grad_norm):
        found.append(f"the gradient norm is {record.grad_norm}")
    part = f" of part {record.part}" if record.part else ""
    origin = forward_origin if is_loss_bad and forward_origin else _origin(record, layers, is_loss_bad)
    return f"at step {record.step:,}{part} {' and '.join(found)}; {origin}"


def _origin(record: StepRecord, layers: Sequence[str], is_loss_bad: bool) -> str:
    bad = np.flatnonzero(~np.isfinite(record.grad_norms))
    if is_loss_bad:
        return "it began in the forward pass, and gradients cannot tell in which layer"
    if not bad.size:
        return "it began when finite norms of layers were joined: they are too large"
    first = int(bad[-1])
    unknown = "" if record.loss is not None else " (the loss is not known: maybe in the forward pass)"
    if first == len(layers) - 1:
        return f"it began at the last layer, {layers[first]}, or between it and the loss{unknown}"
    after = layers[first + 1]
    return f"the first in backward order is {layers[first]}, and {after} after it is still finite{unknown}"
