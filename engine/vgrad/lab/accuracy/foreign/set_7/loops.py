"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_7 import healthy, healthy_models, healthy_updates, sick, sick_numbers

LOOPS = {
    **healthy.LOOPS,
    **healthy_models.LOOPS,
    **healthy_updates.LOOPS,
    **sick.LOOPS,
    **sick_numbers.LOOPS,
}
