"""Kinds of plain PyTorch loops that verdicts are fitted to and counted on. Free of torch.

The recipes' cases share one loop, known baselines and one model builder. These kinds share nothing: each
is a small loop of its own, driven from outside, with whatever loss it has. What each is labelled with follows
from how it is built, and a run counts only where its outcome confirms the label: a healthy one reached what
can be reached, a sick one did not, and its cure did. One that is labelled as vanishing or dead and came
four tenths of the way from its first losses to its cure's is left out, and so is one that is labelled as dead
and of which no layer got exactly nothing over the last hundred steps.

Rules were fitted to the first set from the beginning. Each later one was chosen and committed before any rule
was changed after its choice, and was counted once; then its errors were looked at, and rules are fitted to it
since. What was found when they were counted, at the end of each run:

    set   sick called sick   healthy called sick
    4     52 of 54           0 of 54
    5     52 of 52           4 of 55
    6     30 of 32           3 of 80
    7     54 of 54           6 of 118
    8     15 of 16           4 of 44
    9     38 of 42           10 of 84
    10    38 of 38           2 of 100
    11    18 of 18           0 of 44
    12    30 of 32           0 of 86
    13    34 of 41           0 of 60

The tenth set and those after it are of trainings as people write them every day. The last seven sets are the
held-out ones until others are chosen. Rules had been fitted to each of them before the next one was written.
What is counted on them stands in ``data/foreign.json`` as it was counted, whatever rules are fitted to them
afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from vgrad.lab.accuracy.cases import Part
from vgrad.lab.accuracy.foreign.kind import ForeignKind
from vgrad.lab.accuracy.foreign.set_1.kinds import KINDS as SET_1
from vgrad.lab.accuracy.foreign.set_2.kinds import KINDS as SET_2
from vgrad.lab.accuracy.foreign.set_3.kinds import KINDS as SET_3
from vgrad.lab.accuracy.foreign.set_4.kinds import KINDS as SET_4
from vgrad.lab.accuracy.foreign.set_5.kinds import KINDS as SET_5
from vgrad.lab.accuracy.foreign.set_6.kinds import KINDS as SET_6
from vgrad.lab.accuracy.foreign.set_7.kinds import KINDS as SET_7
from vgrad.lab.accuracy.foreign.set_8.kinds import KINDS as SET_8
from vgrad.lab.accuracy.foreign.set_9.kinds import KINDS as SET_9
from vgrad.lab.accuracy.foreign.set_10.kinds import KINDS as SET_10
from vgrad.lab.accuracy.foreign.set_11.kinds import KINDS as SET_11
from vgrad.lab.accuracy.foreign.set_12.kinds import KINDS as SET_12
from vgrad.lab.accuracy.foreign.set_13.kinds import KINDS as SET_13

FITTED_KINDS: tuple[ForeignKind, ...] = (*SET_1, *SET_2, *SET_3, *SET_4, *SET_5, *SET_6)
HELD_OUT_KINDS: tuple[ForeignKind, ...] = (*SET_7, *SET_8, *SET_9, *SET_10, *SET_11, *SET_12, *SET_13)
FOREIGN_KINDS: tuple[ForeignKind, ...] = (*FITTED_KINDS, *HELD_OUT_KINDS)

PART_OF: Mapping[str, Part] = {
    **{kind.name: "fit" for kind in FITTED_KINDS},
    **{kind.name: "held-out" for kind in HELD_OUT_KINDS},
}
"""Whether rules may be fitted to a kind, by its name."""
