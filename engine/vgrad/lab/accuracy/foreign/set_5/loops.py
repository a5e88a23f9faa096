"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_5 import healthy, healthy_models, sick, sick_steps

LOOPS = {**healthy.LOOPS, **healthy_models.LOOPS, **sick.LOOPS, **sick_steps.LOOPS}
