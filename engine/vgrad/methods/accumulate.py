"""How the microbatches of an accumulation window become one gradient: their mean, or their sum.

`accumulation_window.py` carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass

from vgrad.validation import count

MAX_STEPS = 4096


@dataclass(frozen=True, slots=True)
class MeanOver:
    """The mean over all tokens (or samples) of ``steps`` microbatches, then one optimizer step.

    This equals one batch of all their items, even if the microbatches differ in size. A mean of means
    does not. In a loop that is not vgrad's the sizes are not known, and every microbatch counts alike.

    Args:
        steps: Microbatches per optimizer step, 1 to 4096.

    Raises:
        ConfigError: If ``steps`` is not a whole number in that range.
    """

    steps: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", count("accumulate", self.steps, at_most=MAX_STEPS))


@dataclass(frozen=True, slots=True)
class SumOver:
    """The sum of the mean gradients of ``steps`` microbatches, as in a loop that forgets to divide.

    For microbatches of equal size it is `MeanOver` with ``steps`` times the learning rate.

    Args:
        steps: Microbatches per optimizer step, 1 to 4096.

    Raises:
        ConfigError: If ``steps`` is not a whole number in that range.
    """

    steps: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", count("accumulate", self.steps, at_most=MAX_STEPS))
