"""Everything that can change mid-run: one frozen value, and the one function that changes it.

Commands are imperative and may carry nonsense (they come from keys, scripts and sockets);
`reduce` is where nonsense is refused. A run's journal is its list of applied commands, and
replaying it is a fold of `reduce`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vgrad.controls.catalog import find_control
from vgrad.errors import ConfigError
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.precision import Float32
from vgrad.methods.schedules import Constant
from vgrad.validation import brief

if TYPE_CHECKING:
    from vgrad.methods.accumulate import SumOver
    from vgrad.methods.article import AscendAsCoded, DoubleAsCoded, HoardAsProse, PerturbAsProse
    from vgrad.methods.deep_supervision import DeepSupervision
    from vgrad.methods.freeze import Freeze
    from vgrad.methods.omega import Omega
    from vgrad.methods.optimizers import OptimizerChoice
    from vgrad.methods.precision import Precision
    from vgrad.methods.sam import SAM
    from vgrad.methods.schedules import Schedule
    from vgrad.methods.skip_non_finite import SkipNonFinite
    from vgrad.methods.transform import GradTransform

SCHEMES = ("torch", "xavier", "he", "orthogonal", "hh-orthogonal", "hh-identity")


@dataclass(frozen=True, slots=True)
class Controls:
    """What is done to the gradients, and whether training advances.

    The names are those of `vgrad.controls.catalog.CONTROLS`, which says what each can be set to. None
    means off, or as the recipe has it.

    Attributes:
        detect: Looking around before a step: the article's detection, or SAM.
        accumulate: How many microbatches make a step, and how they are joined.
        skip_non_finite: Whether a step with NaN or inf is dropped.
        freeze: Layers that are not trained.
        centralize: Whether the mean is taken out of each unit's gradient.
        normalize: Layer-wise scaling.
        omega: Pascanu's regulariser.
        clip: The clipping in force.
        noise: Noise added after clipping.
        precision: What the passes compute in.
        optimizer: The optimizer; None for the recipe's own.
        schedule: How the base learning rate changes with the step.
        lr_scale: Multiplies the learning rate that the optimizer and its schedule set; from
            1e-12 to 1e6.
        activation: The model's nonlinearity; None as it was built.
        skip: ``"on"`` or ``"off"``: skip connections; None as it was built.
        layer_norm: ``"on"`` or ``"off"``; None as it was built.
        paused: Whether training waits between two steps.
    """

    detect: SAM | DeepSupervision | AscendAsCoded | PerturbAsProse | None = None
    accumulate: MeanOver | SumOver | DoubleAsCoded | HoardAsProse = MeanOver(1)  # noqa: RUF009  # frozen
    skip_non_finite: SkipNonFinite | None = None
    freeze: Freeze | None = None
    centralize: GradTransform | None = None
    normalize: GradTransform | None = None
    omega: Omega | None = None
    clip: GradTransform | None = None
    noise: GradTransform | None = None
    precision: Precision = Float32()  # noqa: RUF009  # frozen
    optimizer: OptimizerChoice | None = None
    schedule: Schedule = Constant()  # noqa: RUF009  # frozen
    lr_scale: float = 1.0
    activation: str | None = None
    skip: str | None = None
    layer_norm: str | None = None
    paused: bool = False

    @property
    def accumulation_steps(self) -> int:
        """Microbatches per optimizer step."""
        return getattr(self.accumulate, "steps", 1)


@dataclass(frozen=True, slots=True)
class Set:
    """Set ``control`` to ``value`` from the next step on.

    Attributes:
        control: Name of a control, as in `Controls`.
        value: One of its values, or the text of one: ``Set("clip", "norm:1")``.
    """

    control: str
    value: object


@dataclass(frozen=True, slots=True)
class Reinit:
    """Draw weights anew, by ``scheme``; `UndoReinit` brings the old ones back.

    Attributes:
        scheme: One of `SCHEMES`; those that begin with ``hh-`` draw the hidden-to-hidden matrices only.
    """

    scheme: str


@dataclass(frozen=True, slots=True)
class UndoReinit:
    """Bring back the weights and the optimizer's memory of before the last `Reinit`."""


@dataclass(frozen=True, slots=True)
class CheckGradients:
    """Compare autograd with central differences on a float64 copy of the model as it is now."""


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


Command = Set | Reinit | UndoReinit | CheckGradients | Pause | Resume | StepOnce | Stop


def reduce(controls: Controls, command: Command) -> Controls:
    """Return the controls after ``command``. Pure: nothing else decides what a command means.

    Values are coerced where the meaning is plain (``"norm:1"`` is `ClipGradNorm`), so compare
    the result to know what was really applied. Whether a value fits the model is for the trainer.

    Raises:
        ConfigError: If the command carries a value that makes no sense, or is no command.
    """
    match command:
        case Set(control=name, value=value):
            control = find_control(name)
            change: dict[str, Any] = {control.name: control.read(value)}
            return replace(controls, **change)
        case Reinit(scheme=scheme):
            if scheme not in SCHEMES:
                raise ConfigError(f"scheme must be one of {', '.join(SCHEMES)}, got {brief(scheme)}")
            return controls
        case Pause() | StepOnce():
            return replace(controls, paused=True)
        case Resume():
            return replace(controls, paused=False)
        case UndoReinit() | CheckGradients() | Stop():
            return controls
    raise ConfigError(f"not a command: {brief(command)}")


def as_applied(command: Command, controls: Controls) -> Command:
    """The command with the value that was really applied, coerced as `reduce` did."""
    if isinstance(command, Set):
        control = find_control(command.control)
        return Set(control.name, getattr(controls, control.name))
    return command
