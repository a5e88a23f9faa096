"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_12 import healthy, healthy_recurrent, healthy_training, sick

LOOPS = {**healthy.LOOPS, **healthy_recurrent.LOOPS, **healthy_training.LOOPS, **sick.LOOPS}
