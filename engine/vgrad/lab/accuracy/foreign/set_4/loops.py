"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_4 import healthy, healthy_training, sick, sick_rates

LOOPS = {**healthy.LOOPS, **healthy_training.LOOPS, **sick.LOOPS, **sick_rates.LOOPS}
