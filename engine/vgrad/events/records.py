"""What the engine tells: frozen values that cross from the training thread to whoever listens.

Records are many and may be dropped when nobody reads; notices were promised and never are.
Numbers per layer travel as one array, never as an object per layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vgrad.controls.controls import Command, Controls
from vgrad.gradcheck.check import GradCheck

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32s = NDArray[np.float32]
    Int64s = NDArray[np.int64]


# Bins of `LayerStats.histogram`: decades of |gradient entry|, from 1e-14 to 1e2.
HISTOGRAM_DECADES = (-14, 2)


@dataclass(frozen=True, slots=True, eq=False)
class StepRecord:
    """One optimizer step.

    Attributes:
        step: Number of this step, counted from 1.
        loss: Training loss, mean over the window's tokens (or samples); NaN stays NaN.
        lr: Learning rate that was really used: ``base_lr`` times the controls' ``lr_scale``.
        base_lr: Learning rate as the optimizer and its scheduler set it.
        grad_norm: Joint L2 norm of the accumulated gradient before any transform.
        applied_norm: The same after all transforms: what the optimizer stepped with.
        grad_norms: L2 norm per layer before any transform, float32 of shape ``(num_layers,)``.
        num_tokens: Tokens in the window (0 where the data has none).
        num_samples: Samples (sequences, images) in the window.
        num_microbatches: Microbatches that were accumulated.
        elapsed_s: Seconds of training up to the end of this step, pauses left out.
        step_s: Seconds this step took, watching included.
        watch_s: Seconds of ``step_s`` spent on watching.
        links: Labels of the chain's links, in the order in which they acted.
        link_norms: Joint norm after each link, float32; before the first it is ``grad_norm``.
        microbatch_square: Mean squared norm of the microbatches' gradients; NaN for a single one.
        skipped: Whether the step was dropped because its gradient was not finite.
        loss_scale: What the loss was multiplied with for the backward pass, and its gradient divided by.
    """

    step: int
    loss: float
    lr: float
    base_lr: float
    grad_norm: float
    applied_norm: float
    grad_norms: Float32s
    num_tokens: int
    num_samples: int
    num_microbatches: int
    elapsed_s: float
    step_s: float
    watch_s: float
    links: tuple[str, ...] = ()
    link_norms: Float32s | None = None
    microbatch_square: float = math.nan
    skipped: bool = False
    loss_scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class LayerStats:
    """The dear statistics, each as old as the budget made it. NaN: not measured yet.

    Every array has a row per layer, in the order of `RunInfo.layers`.

    Attributes:
        measured_step: Step at which the row was measured, int64; -1 for never.
        weight_norm: L2 norm of the layer's weights.
        update_ratio: L2 norm of the real update over that of the weights.
        grad_max: Largest absolute entry of the gradient, before any transform.
        zero_share: Share of exactly zero gradient entries, in [0, 1].
        underflow_share: Share of entries that float16 would round to zero at the present loss scale.
        num_non_finite: Number of entries that are NaN or inf.
        histogram: Shares of gradient entries by magnitude, float32 of shape
            ``(num_layers, num_decades)``; the decades are `HISTOGRAM_DECADES`.
    """

    measured_step: Int64s
    weight_norm: Float32s
    update_ratio: Float32s
    grad_max: Float32s
    zero_share: Float32s
    underflow_share: Float32s
    num_non_finite: Float32s
    histogram: Float32s


@dataclass(frozen=True, slots=True, eq=False)
class TimeStats:
    """The gradient through time of a recurrent model, as measured last.

    Attributes:
        step: Step after which it was measured.
        norms: ‖dE/dh_t‖ per recurrent layer and time step, L2 over batch and units, float32 of shape
            ``(num_layers, seq_len)``; time step 0 reads the first input.
        slope: Slope of its log10 per step backwards, in the last layer; NaN: undetermined.
        ratio: That of the first time step over that of the last; NaN: undetermined.
        spectral_radius: Largest |eigenvalue| of the recurrent matrices; NaN: too large to know.
        names: Names of the recurrent matrices.
    """

    step: int
    norms: Float32s
    slope: float
    ratio: float
    spectral_radius: float
    names: tuple[str, ...]


VerdictKind = Literal["starting", "healthy", "vanishing", "exploding", "dead", "non-finite"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine makes of the gradients.

    Attributes:
        kind: The finding, most serious first match.
        evidence: The numbers it rests on, in words.
        layers: Indices of the layers it is about; empty when it is about all.
        remedy: Commands that may help, to be applied one after another; empty where none of ours does.
        advice: What to do, in words.
        rule: Which of the rules of this kind found it; see `vgrad.diagnose.rules`.
        tags: What is worth knowing though it is no sickness: ``compensated``, ``cold``, ``hot``,
            ``spike``, ``underflow``.
        confidence: In [0, 1], from the share of runs with a known ending that really had this when
            this rule said so; see `vgrad.diagnose.confidence`. None where it never spoke of one.
    """

    kind: VerdictKind
    evidence: str
    layers: tuple[int, ...] = ()
    remedy: tuple[Command, ...] = ()
    advice: str = ""
    rule: str = ""
    tags: tuple[str, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is, known before its first step.

    Attributes:
        recipe: Name of the recipe.
        description: One line of what it shows.
        seed: Seed of weights and data.
        device: Device of the model, as torch names it.
        layers: Layer names, in the model's parameter order.
        layer_sizes: Number of parameters of each layer.
        unit: What is counted for the speed: ``"tokens"`` or ``"samples"``.
        num_steps: Optimizer steps asked for, or None for no end.
        controls: The controls at the first step.
        recurrent: Whether the model has a dimension of time.
        structure: Parts of the model that can be changed mid-run, each with what it can be.
        built: What each of these parts is where no control says otherwise.
        baseline: Loss of who ignores the inputs; NaN where it is not known.
    """

    recipe: str
    description: str
    seed: int
    device: str
    layers: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    unit: Literal["tokens", "samples"]
    num_steps: int | None
    controls: Controls
    recurrent: bool = False
    structure: tuple[tuple[str, tuple[str, ...]], ...] = ()
    built: tuple[tuple[str, str], ...] = ()
    baseline: float = math.nan


@dataclass(frozen=True, slots=True)
class Preparing:
    """The run is not ready yet; ``what`` says what it is waiting for."""

    what: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The model and the data are ready; the first step follows."""

    info: RunInfo


@dataclass(frozen=True, slots=True)
class CommandApplied:
    """A command took effect.

    Attributes:
        step: The first optimizer step that it affects; 0 before any step.
        command: The command, with the values that were really applied.
        controls: All controls from that step on.
    """

    step: int
    command: Command
    controls: Controls


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A command was refused, and training went on as before."""

    step: int
    command: Command
    reason: str


@dataclass(frozen=True, slots=True)
class Validated:
    """Validation loss after optimizer step ``step``."""

    step: int
    loss: float
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Checking:
    """A gradient check is at work, and training waits for it."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class GradientsChecked:
    """A gradient check has ended; ``step`` optimizer steps had been done."""

    step: int
    check: GradCheck


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """The verdict is another one from ``step`` on."""

    step: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Training is over.

    Attributes:
        step: Number of optimizer steps that were done.
        reason: ``done`` (all steps), ``stopped`` (somebody asked), or ``failed``.
        loss_first: Training loss of the first step; NaN if there was none.
        loss_last: Training loss of the last step.
        val_loss: Last validation loss, or None if it was never measured.
        steps_per_s: Optimizer steps per second of training, pauses and validation left out.
        error: One line of what went wrong, for ``failed``.
        traceback_text: The traceback, for ``failed``; None where ``error`` says all there is.
    """

    step: int
    reason: Literal["done", "stopped", "failed"]
    loss_first: float
    loss_last: float
    val_loss: float | None
    steps_per_s: float
    error: str | None = None
    traceback_text: str | None = None


Notice = (
    Preparing
    | RunStarted
    | CommandApplied
    | CommandRejected
    | Validated
    | Checking
    | GradientsChecked
    | VerdictChanged
    | RunEnded
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """All that happened since the last drain.

    Attributes:
        records: Steps, oldest first; the newest always among them.
        notices: Notices, oldest first, none missing.
        stats: The newest statistics, or None if they have not changed.
        time: The newest gradient through time, or None if there is none.
        verdict: The verdict with its newest evidence, or None if that has not changed.
        num_dropped: Records that were lost because nobody drained in time.
    """

    records: tuple[StepRecord, ...] = ()
    notices: tuple[Notice, ...] = ()
    stats: LayerStats | None = None
    verdict: Verdict | None = None
    num_dropped: int = field(default=0)
    time: TimeStats | None = None
