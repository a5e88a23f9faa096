"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_10 import healthy, healthy_models, healthy_tasks, sick

LOOPS = {**healthy.LOOPS, **healthy_models.LOOPS, **healthy_tasks.LOOPS, **sick.LOOPS}
