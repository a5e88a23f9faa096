"""Where non-finite values began in a recorded run: the step, what was not finite, and in which layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vgrad.events.notices import LayersChanged, RunStarted, VerdictChanged

if TYPE_CHECKING:
    from vgrad.events.batch import Batch

_MOST_LAYERS = 6


def where_non_finite_began(whole: Batch) -> str | None:
    """Say in words where the first NaN or infinity was recorded; None where every value is finite.

    The verdict of that step knows more than the record holds, such as the module in forward order, so it is
    repeated where there is one. Steps that were dropped have none: for these the record is searched.

    Args:
        whole: The whole record of a run.
    """
    first: tuple[int, int, str] | None = None  # step, part, what
    for block in whole.blocks:
        is_loss = block.loss_known & ~np.isfinite(block.loss)
        is_norm = ~np.isfinite(block.grad_norm)
        rows = np.flatnonzero(is_loss | is_norm)
        if len(rows) and (first is None or int(block.step[rows[0]]) < first[0]):
            row = rows[0]
            what = "the loss" if is_loss[row] else "the gradient"
            if is_loss[row] and is_norm[row]:
                what = "the loss and the gradient"
            first = int(block.step[row]), block.part, what
    if first is None:
        return None
    step, part, what = first
    for notice in whole.notices:
        body = notice.body
        if isinstance(body, VerdictChanged) and body.verdict.kind == "non-finite" and body.step == step:
            return f"non-finite values: {body.verdict.evidence}"
    return f"non-finite values began at step {step:,}: {what}{_layers(whole, part, step)}"


def _layers(whole: Batch, part: int, step: int) -> str:
    """The layers whose norms were not finite at the first recorded step from ``step`` on."""
    names: tuple[str, ...] = ()
    for notice in whole.notices:
        if isinstance(notice.body, RunStarted | LayersChanged) and notice.part == part:
            names = notice.body.info.layers
    known = [(norms.step, norms.grad_norms) for norms in whole.layer_norms if norms.part == part]
    known += [(block.step, block.grad_norms) for block in whole.blocks if block.part == part]
    for steps, rows in known:
        if rows.shape[1] != len(names):
            continue
        for row in np.flatnonzero((steps >= step) & ~np.isfinite(rows).all(axis=1)):
            bad = [names[index] for index in np.flatnonzero(~np.isfinite(rows[row]))]
            more = f" and {len(bad) - _MOST_LAYERS} more" if len(bad) > _MOST_LAYERS else ""
            where = "all" if len(bad) == len(names) else f"{', '.join(bad[:_MOST_LAYERS])}{more}"
            when = "" if int(steps[row]) == step else f" (norms per layer were kept from step {steps[row]:,})"
            return f"; layers: {where}{when}"
    return ""
