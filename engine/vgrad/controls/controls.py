"""All controls as one frozen value, the commands of a run, and the one function that applies a command.

`Controls` reads its own fields and refuses what makes no sense or does not go together, so it is
always a state that some run can be in. Commands may carry anything, for they come from keys, scripts
and files; `reduce` refuses what makes no sense, and what the run at hand cannot use. A run's journal
is its list of applied commands, and replaying it is a fold of `reduce`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vgrad.controls.capabilities import EVERYTHING, Capabilities
from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.choices import Control, Number, OneOf, Word
from vgrad.errors import ConfigError
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.deep_supervision import DeepSupervision
from vgrad.methods.init_schemes import REINITS
from vgrad.methods.precision import Float32
from vgrad.methods.sam import SAM
from vgrad.methods.schedules import Constant
from vgrad.validation import brief

if TYPE_CHECKING:
    from vgrad.controls.choices import ControlValue
    from vgrad.methods.accumulate import SumOver
    from vgrad.methods.article import AscendAsCoded, DoubleAsCoded, HoardAsProse, PerturbAsProse
    from vgrad.methods.freeze import Freeze
    from vgrad.methods.omega import Omega
    from vgrad.methods.optimizers import OptimizerChoice
    from vgrad.methods.precision import Precision
    from vgrad.methods.schedules import Schedule
    from vgrad.methods.skip_non_finite import SkipNonFinite
    from vgrad.methods.transform import GradTransform


@dataclass(frozen=True, slots=True)
class Controls:
    """What is done to the gradients, and whether training advances.

    There is a field for each control of `vgrad.controls.catalog.CONTROLS`, which says what it can be
    set to. None means off, or as the recipe has it. Text is read: ``Controls(clip="norm:1")``.

    Attributes:
        detect: The gradient at other weights than the current ones: the article's detection, or SAM.
        accumulate: How many microbatches make a step, and how they are combined.
        skip_non_finite: Whether a step with NaN or inf is dropped.
        freeze: Layers that are not trained.
        centralize: Whether the mean is subtracted from each unit's gradient.
        normalize: Layer-wise scaling.
        omega: Pascanu's regulariser.
        clip: Gradient clipping.
        noise: Noise added after clipping.
        precision: What the forward and backward passes compute in.
        optimizer: The optimizer; None for the recipe's own.
        schedule: How the base learning rate changes with the step.
        lr_scale: Multiplies the learning rate that the optimizer and its schedule set; from
            1e-12 to 1e6.
        activation: The model's nonlinearity; None as it was built.
        skip: ``"on"`` or ``"off"``: skip connections; None as it was built.
        layer_norm: ``"on"`` or ``"off"``; None as it was built.
        paused: Whether training waits between two steps.

    Raises:
        ConfigError: If a value makes no sense, or two of them cannot be used together.
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

    def __post_init__(self) -> None:
        for name, control in CONTROLS.items():
            object.__setattr__(self, name, control.read(getattr(self, name)))
        if not isinstance(self.paused, bool):
            raise ConfigError(f"paused must be true or false, got {brief(self.paused)}")
        if self.omega is not None:
            if isinstance(self.detect, SAM | DeepSupervision):
                raise ConfigError("Ω needs a backward pass of its own: turn detection off first")
            if not isinstance(self.precision, Float32):
                raise ConfigError("Ω is differentiated twice and needs float32: set precision to fp32 first")

    @property
    def accumulation_steps(self) -> int:
        """Microbatches per optimizer step."""
        return getattr(self.accumulate, "steps", 1)


@dataclass(frozen=True, slots=True)
class Set:
    """Set ``control`` to ``value`` from the next step on.

    Attributes:
        control: Name of a field of `Controls` other than ``paused``.
        value: One of its values, or the text of one: ``Set("clip", "norm:1")``.
    """

    control: str
    value: ControlValue


@dataclass(frozen=True, slots=True)
class Reinit:
    """Re-initialise the weights by ``scheme``; `UndoReinit` brings the old ones back.

    Attributes:
        scheme: One of `vgrad.methods.init_schemes.REINITS`; those that begin with ``hh-`` change the
            hidden-to-hidden matrices only.
    """

    scheme: str


@dataclass(frozen=True, slots=True)
class UndoReinit:
    """Bring back the weights and the optimizer's state from before the last `Reinit`."""


@dataclass(frozen=True, slots=True)
class CheckGradients:
    """Compare autograd with central differences on a float64 copy of the model as it is now."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next step, until `Resume` or `StepOnce`."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue training after a pause."""


@dataclass(frozen=True, slots=True)
class StepOnce:
    """Train for one optimizer step, then pause."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run before the next step."""


@dataclass(frozen=True, slots=True)
class SaveCheckpoint:
    """Save the whole state of the run as it is now, to be resumed from later."""


@dataclass(frozen=True, slots=True)
class Rewind:
    """Go back to the state after ``step`` optimizer steps, and train on from there in a run of its own.

    Attributes:
        step: A step that the run has done.
    """

    step: int


Command = (
    Set | Reinit | UndoReinit | CheckGradients | Pause | Resume | StepOnce | Stop | SaveCheckpoint | Rewind
)


COMMANDS: Mapping[str, type[Command]] = MappingProxyType(
    {
        "set": Set,
        "reinit": Reinit,
        "undo_reinit": UndoReinit,
        "check_gradients": CheckGradients,
        "pause": Pause,
        "resume": Resume,
        "step_once": StepOnce,
        "stop": Stop,
        "checkpoint": SaveCheckpoint,
        "rewind": Rewind,
    }
)
"""The name of every command, in its plain-data form and in `Capabilities`."""

NAMES: Mapping[type[Command], str] = MappingProxyType({kind: name for name, kind in COMMANDS.items()})
"""The name of every command, by its type."""

_DEFAULTS = Controls()


def reduce(controls: Controls, command: Command, capabilities: Capabilities = EVERYTHING) -> Controls:
    """Return the controls after ``command``. Pure: nothing else decides what a command means.

    Values are coerced where the meaning is plain (``"norm:1"`` is `ClipGradNorm`), so compare
    the result to know what was really applied.

    Args:
        controls: The controls before it.
        command: What is asked for.
        capabilities: What the run can use.

    Raises:
        ConfigError: If the command carries a value that makes no sense, asks for what the run cannot
            use or what does not go with its other controls, or is no command.
    """
    name = NAMES.get(type(command))
    if name is None:
        raise ConfigError(f"not a command: {brief(command)}")
    match command:
        case Set():
            control = find_control(command.control)
            change: dict[str, Any] = {control.name: control.read(command.value)}
            changed = replace(controls, **change)
            _require_usable(changed, control, capabilities)
            return changed
        case Reinit(scheme=scheme):
            if scheme not in REINITS:
                raise ConfigError(f"scheme must be one of {', '.join(REINITS)}, got {brief(scheme)}")
            capabilities.require(name, scheme)
            return controls
    capabilities.require(name)
    match command:
        case Rewind(step=step) if type(step) is not int or step < 0:
            raise ConfigError(f"step must be a whole number from 0, got {brief(step)}")
        case Pause() | StepOnce():
            return replace(controls, paused=True)
        case Resume():
            return replace(controls, paused=False)
        case _:
            return controls


def require_usable(controls: Controls, capabilities: Capabilities) -> None:
    """Check that a run can use all of ``controls``, those of its first step.

    Raises:
        ConfigError: If it cannot; says why.
    """
    for control in CONTROLS.values():
        _require_usable(controls, control, capabilities)


def _require_usable(controls: Controls, control: Control, capabilities: Capabilities) -> None:
    value = getattr(controls, control.name)
    if value == getattr(_DEFAULTS, control.name):
        return  # asks for nothing
    match control:
        case OneOf():
            capabilities.require(control.name, control.variant_of(value).word)
        case Word():
            capabilities.require(control.name, value)
        case Number():
            capabilities.require(control.name)


def as_applied(command: Command, controls: Controls) -> Command:
    """The command with the value that was really applied, as `reduce` read it."""
    if isinstance(command, Set):
        control = find_control(command.control)
        return Set(control.name, getattr(controls, control.name))
    return command
