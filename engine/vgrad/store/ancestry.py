"""The runs that a run goes on from: what they recorded up to there is the beginning of its course."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vgrad.errors import VgradError
from vgrad.events.batch import Batch, LayerNorms
from vgrad.events.notices import (
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    MetricsLogged,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.step_block import joined
from vgrad.store.folder import RunFolder
from vgrad.store.reader import ROWS_PER_LEVEL, RunReader

if TYPE_CHECKING:
    from vgrad.events.run_info import Parent

# What happened to the training. How its process began and ended, and what it saved, is not of the course.
_OF_THE_COURSE = (
    CommandApplied | CommandRejected | GradientsChecked | MetricsLogged | Validated | VerdictChanged
)


def with_ancestors(batch: Batch, *, rows_per_level: int = ROWS_PER_LEVEL) -> Batch:
    """The batch; where a run begins in it that goes on from another one, with what happened before.

    What is no longer there, or cannot be read, is left out.

    Args:
        batch: What a reader of the run has taken.
        rows_per_level: As for `RunReader.overview`.
    """
    parent = _parent_in(batch)
    if parent is None:
        return batch
    before = _history_until(parent, rows_per_level)
    return replace(batch, before=before) if before.blocks or before.notices else batch


def _parent_in(batch: Batch) -> Parent | None:
    for notice in batch.notices:
        if isinstance(notice.body, RunStarted) and notice.body.info.parent is not None:
            return notice.body.info.parent
    return None


def _history_until(parent: Parent | None, rows_per_level: int) -> Batch:
    stretches: list[Batch] = []
    seen: set[str] = set()
    while parent is not None and parent.run not in seen:
        seen.add(parent.run)
        try:
            with RunReader(RunFolder.find(parent.run)) as reader:
                whole = reader.overview(rows_per_level=rows_per_level)
        except VgradError:
            break
        stretches.append(_until(whole, parent.step))
        parent = _parent_in(whole)
    stretches.reverse()
    return Batch(
        blocks=tuple(joined(block for stretch in stretches for block in stretch.blocks)),
        notices=tuple(notice for stretch in stretches for notice in stretch.notices),
        layer_norms=tuple(norms for stretch in stretches for norms in stretch.layer_norms),
    )


def _until(whole: Batch, step: int) -> Batch:
    """What of a run is the beginning of one that goes on from it; all norms per layer by themselves."""
    blocks, norms = [], list(whole.layer_norms)
    for block in whole.blocks:
        if block.grad_norms.shape[1]:
            norms.append(LayerNorms(block.part, block.step, block.grad_norms))
        blocks.append(replace(block[block.step <= step], grad_norms=block.grad_norms[block.step <= step, :0]))
    kept = ((each, each.step <= step) for each in norms)
    return Batch(
        blocks=tuple(blocks),
        notices=tuple(n for n in whole.notices if isinstance(n.body, _OF_THE_COURSE) and n.step <= step),
        layer_norms=tuple(
            LayerNorms(each.part, each.step[rows], each.grad_norms[rows]) for each, rows in kept if rows.any()
        ),
    )
