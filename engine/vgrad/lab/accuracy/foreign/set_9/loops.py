"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_9 import healthy, healthy_models, healthy_recurrent, sick, sick_rates

LOOPS = {
    **healthy.LOOPS,
    **healthy_models.LOOPS,
    **healthy_recurrent.LOOPS,
    **sick.LOOPS,
    **sick_rates.LOOPS,
}
