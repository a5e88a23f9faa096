"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_11 import healthy, sick

LOOPS = {**healthy.LOOPS, **sick.LOOPS}
