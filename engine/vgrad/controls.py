"""Everything that can change mid-run: one frozen value, and the one function that changes it.

Commands are imperative and may carry nonsense (they come from keys, scripts and sockets);
`reduce` is where nonsense is refused. A run's journal is its list of applied commands, and
replaying it is a fold of `reduce`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vgrad.checks import brief, count, positive_float
from vgrad.errors import ConfigError
from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue

MAX_ACCUMULATION_STEPS = 4096
MIN_LR_SCALE, MAX_LR_SCALE = 1e-12, 1e6


@dataclass(frozen=True, slots=True)
class Controls:
    """What is done to the gradients, and whether training advances.

    Attributes:
        clip: The clipping in force, or None.
        accumulation_steps: Microbatches per optimizer step.
        lr_scale: Multiplies the learning rate that the optimizer and its scheduler set; from
            1e-12 to 1e6.
        paused: Whether training waits between two steps.
    """

    clip: Clip | None = None
    accumulation_steps: int = 1
    lr_scale: float = 1.0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class SetClip:
    """Clip with ``clip`` from the next step on; None clips nothing."""

    clip: Clip | None


@dataclass(frozen=True, slots=True)
class SetAccumulation:
    """Average the gradient over ``accumulation_steps`` microbatches per optimizer step."""

    accumulation_steps: int


@dataclass(frozen=True, slots=True)
class SetLrScale:
    """Multiply the learning rate by ``lr_scale``."""

    lr_scale: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait at the next safe point."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Train on after a pause."""


@dataclass(frozen=True, slots=True)
class StepOnce:
    """Train for one optimizer step, then pause."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run at the next safe point."""


Command = SetClip | SetAccumulation | SetLrScale | Pause | Resume | StepOnce | Stop


def reduce(controls: Controls, command: Command) -> Controls:
    """Return the controls after ``command``. Pure: nothing else decides what a command means.

    Values are coerced where the meaning is plain (``4.0`` microbatches are 4), so compare
    the result to know what was really applied.

    Raises:
        ConfigError: If the command carries a value that makes no sense, or is no command.
    """
    match command:
        case SetClip(clip=None | ClipGradNorm() | ClipGradValue() as clip):
            return replace(controls, clip=clip)
        case SetClip(clip=other):
            raise ConfigError(f"clip must be ClipGradNorm, ClipGradValue or None, got {brief(other)}")
        case SetAccumulation(accumulation_steps=steps):
            steps = count("accumulation_steps", steps, at_most=MAX_ACCUMULATION_STEPS)
            return replace(controls, accumulation_steps=steps)
        case SetLrScale(lr_scale=scale):
            scale = positive_float("lr_scale", scale, at_least=MIN_LR_SCALE, at_most=MAX_LR_SCALE)
            return replace(controls, lr_scale=scale)
        case Pause() | StepOnce():
            return replace(controls, paused=True)
        case Resume():
            return replace(controls, paused=False)
        case Stop():
            return controls
    raise ConfigError(f"not a command: {brief(command)}")
