"""The loops of this set, each with the number that a run which learnt comes below."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.set_13 import (
    healthy,
    healthy_agents,
    healthy_training,
    sick_large,
    sick_stuck,
)

LOOPS = {
    **healthy.LOOPS,
    **healthy_agents.LOOPS,
    **healthy_training.LOOPS,
    **sick_stuck.LOOPS,
    **sick_large.LOOPS,
}
