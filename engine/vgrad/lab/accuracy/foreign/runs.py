"""Runs the loops under `vgrad.watch`, as a user would, and keeps what became of them and what was said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from vgrad.diagnose.worst import worst
from vgrad.events.notices import VerdictChanged
from vgrad.events.step_record import StepRecord
from vgrad.lab.accuracy.foreign.kind import ForeignKind
from vgrad.lab.accuracy.foreign.kinds import FOREIGN_KINDS
from vgrad.lab.accuracy.foreign.loops import Loop, LoopSetting
from vgrad.lab.accuracy.foreign.report import LONG, ForeignRun
from vgrad.lab.accuracy.foreign.set_1.loops import LOOPS as SET_1
from vgrad.lab.accuracy.foreign.set_2.loops import LOOPS as SET_2
from vgrad.lab.accuracy.foreign.set_3.loops import LOOPS as SET_3
from vgrad.lab.accuracy.foreign.set_4.loops import LOOPS as SET_4
from vgrad.lab.accuracy.foreign.set_5.loops import LOOPS as SET_5
from vgrad.lab.accuracy.foreign.set_6.loops import LOOPS as SET_6
from vgrad.lab.accuracy.foreign.set_7.loops import LOOPS as SET_7
from vgrad.lab.accuracy.foreign.set_8.loops import LOOPS as SET_8
from vgrad.lab.accuracy.foreign.set_9.loops import LOOPS as SET_9
from vgrad.lab.accuracy.foreign.set_10.loops import LOOPS as SET_10
from vgrad.lab.accuracy.foreign.set_11.loops import LOOPS as SET_11
from vgrad.lab.accuracy.foreign.set_12.loops import LOOPS as SET_12
from vgrad.lab.accuracy.foreign.set_13.loops import LOOPS as SET_13
from vgrad.lab.accuracy.labels import Label
from vgrad.lab.accuracy.matrix import SICK
from vgrad.run.watched_loop import watch
from vgrad.watching.watch import Watch

LOOPS: Mapping[str, tuple[Loop, float]] = (
    SET_1 | SET_2 | SET_3 | SET_4 | SET_5 | SET_6 | SET_7 | SET_8 | SET_9 | SET_10 | SET_11 | SET_12 | SET_13
)
"""Each kind's loop, and the number that a run which learnt comes below."""

_STUCK_LABELS = ("vanishing", "dead")
_STUCK = 0.4  # of the way to what the cured run learnt: to find the best constant takes a part of it
_FIRST = 10  # steps whose mean loss is where a run begins

KINDS: Mapping[str, ForeignKind] = {kind.name: kind for kind in FOREIGN_KINDS}


def run_kind(item: tuple[str, int]) -> ForeignRun:
    """Run one loop, watched, and its cure, unwatched.

    Args:
        item: Name of the kind, and the seed.
    """
    name, seed = item
    torch.set_num_threads(1)
    kind, (loop, limit) = KINDS[name], LOOPS[name]
    watches: list[Watch] = []

    def start(model: nn.Module, optimizer: Optimizer) -> None:
        watches.append(watch(model, optimizer, name=name, record=False))

    torch.manual_seed(seed)
    score = loop(LoopSetting(start, False, torch.Generator().manual_seed(seed)))
    verdict = worst(each.verdict for each in watches)
    steps = [each.records() for each in watches]
    losses = [record.loss for records in steps for record in records if record.loss is not None]
    is_finite = all(map(math.isfinite, losses))
    sick_steps = max(map(_sick_steps, watches))
    is_silent = any(map(_is_silent, steps))
    for each in watches:
        each.close()
    learnt = score < limit
    if kind.label != "healthy" and is_finite and not learnt:
        torch.manual_seed(seed)
        cured = loop(LoopSetting(lambda *_: None, True, torch.Generator().manual_seed(seed)))
        learnt_some = kind.label in _STUCK_LABELS and _share_learnt(losses, score, cured) >= _STUCK
        is_another = kind.label == "dead" and not is_silent  # it did not learn, and did not die
        label: Label = kind.label if cured < limit and not learnt_some and not is_another else "unclear"
    elif not is_finite:
        label = "non-finite"
    else:
        label = "healthy" if learnt else "unclear"
    return ForeignRun(name, seed, label, verdict.kind, verdict.rule, sick_steps)


def _is_silent(records: Sequence[StepRecord]) -> bool:
    """Whether some layer got exactly nothing at each of the last hundred steps."""
    if not records:
        return False
    return bool((np.stack([record.grad_norms for record in records[-LONG:]]) == 0).all(0).any())


def _share_learnt(losses: list[float], score: float, cured: float) -> float:
    """How much of the way from its first losses to the cured run's a run has come."""
    if not losses:
        return 0.0  # no step had a gradient
    start = min(losses[0], sum(losses[:_FIRST]) / len(losses[:_FIRST]))
    return (start - score) / (start - cured) if start > cured else 0.0


def _sick_steps(watched: Watch) -> int:
    """For how many steps of this run its verdict was a sickness."""
    total, since = 0, None
    for notice in watched.cursor().take().notices:
        body = notice.body
        if not isinstance(body, VerdictChanged):
            continue
        is_sick = body.verdict.kind in SICK
        if is_sick and since is None:
            since = body.step
        elif not is_sick and since is not None:
            total, since = total + body.step - since, None
    return total if since is None else total + watched.step - since + 1
