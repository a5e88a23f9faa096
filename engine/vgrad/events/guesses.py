"""What constant predictions cost, as far as a loss function shows it."""

from __future__ import annotations

import math
from typing import NamedTuple


class Guesses(NamedTuple):
    """What the loss function shows of constant predictions. NaN is what is not known.

    Attributes:
        uniform: Loss of a uniform guess.
        over_constant: Loss of a batch, over that of the best constant prediction for the same targets.
    """

    uniform: float = math.nan
    over_constant: float = math.nan


UNKNOWN = Guesses()
