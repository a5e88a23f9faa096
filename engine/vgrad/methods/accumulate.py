"""How the microbatches of a window become one gradient: their mean, or their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vgrad.validation import count

MAX_STEPS = 4096


@dataclass(frozen=True, slots=True)
class MeanOver:
    """The mean over all tokens (or samples) of ``steps`` microbatches, then one optimizer step.

    Equals one batch of all their items, with unequal counts too: a mean of means would not.

    Args:
        steps: Microbatches per optimizer step, 1 to 4096.

    Raises:
        ConfigError: If ``steps`` is no such number.
    """

    needs_dense: ClassVar[bool] = True

    steps: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", count("accumulate", self.steps, at_most=MAX_STEPS))


@dataclass(frozen=True, slots=True)
class SumOver:
    """The sum of the mean gradients of ``steps`` microbatches: what a loop that forgets to divide does.

    It is `MeanOver` with a learning rate ``steps`` times as large, where microbatches are equal.

    Args:
        steps: Microbatches per optimizer step, 1 to 4096.

    Raises:
        ConfigError: If ``steps`` is no such number.
    """

    needs_dense: ClassVar[bool] = True

    steps: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", count("accumulate", self.steps, at_most=MAX_STEPS))
