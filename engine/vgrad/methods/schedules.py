"""How the base learning rate changes with the step: pure functions of the step's number.

A schedule keeps no state, so it can be set, changed and removed in mid-run, and a restored run needs
only its step. It multiplies the base learning rate, as ``lr_scale`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vgrad.errors import ConfigError
from vgrad.validation import count, number, positive_float

MAX_STEPS = 10**9


def _require_step(step: int) -> None:
    if step < 1:
        raise ValueError(f"steps are counted from 1, got {step}")


@dataclass(frozen=True, slots=True)
class Constant:
    """The base learning rate at every step."""

    def factor(self, step: int) -> float:
        """Return 1."""
        _require_step(step)
        return 1.0


@dataclass(frozen=True, slots=True)
class WarmupCosine:
    """A straight line up to the base learning rate, then half a cosine down.

    Step ``warmup_steps`` is the first at full rate, step ``total_steps`` the first at ``final``
    of it, where it stays: torch's cosine would climb again.

    Args:
        warmup_steps: Steps of the warm-up, below ``total_steps``; 0 and 1 both mean no warm-up.
        total_steps: Step at which the decay ends, counted from the start of the run.
        final: Share of the base learning rate that remains, in [0, 1].

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5, without restarts; warm-up as in
        Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    """

    warmup_steps: int = 100
    total_steps: int = 1000
    final: float = 0.0

    def __post_init__(self) -> None:
        warmup = count("warmup_steps", self.warmup_steps, at_least=0, at_most=MAX_STEPS)
        total = count("total_steps", self.total_steps, at_most=MAX_STEPS)
        if warmup >= total:
            raise ConfigError(f"warmup_steps must be below total_steps, got {warmup} and {total}")
        object.__setattr__(self, "warmup_steps", warmup)
        object.__setattr__(self, "total_steps", total)
        object.__setattr__(self, "final", number("final", self.final, at_least=0.0, at_most=1.0))

    def factor(self, step: int) -> float:
        """Return what the base learning rate of optimizer step number ``step`` is multiplied with."""
        _require_step(step)
        warmup = max(1, self.warmup_steps)
        if step <= warmup:
            return step / warmup
        if step >= self.total_steps:
            return self.final
        progress = (step - warmup) / (self.total_steps - warmup)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True, slots=True)
class StepDecay:
    """The base learning rate, multiplied by ``gamma`` after every ``every`` steps.

    Args:
        every: Steps at one rate.
        gamma: What each following rate is multiplied with, in (0, 1].

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        ``torch.optim.lr_scheduler.StepLR``.
    """

    every: int = 1000
    gamma: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", count("every", self.every, at_most=MAX_STEPS))
        object.__setattr__(self, "gamma", positive_float("gamma", self.gamma, at_most=1.0))

    def factor(self, step: int) -> float:
        """Return what the base learning rate of optimizer step number ``step`` is multiplied with."""
        _require_step(step)
        return self.gamma ** ((step - 1) // self.every)


Schedule = Constant | WarmupCosine | StepDecay
