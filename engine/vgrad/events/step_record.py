"""One optimizer step as a row of numbers: what `Trainer.train_step` returns.

Steps travel as columns, see `vgrad.events.step_block`; a record is one row of such a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32s = NDArray[np.float32]


LOOP_CLIP = "loop_clip"  # names the link that a training loop's own clipping makes


class ChainLink(NamedTuple):
    """A link of the chain of transforms, as a record names it.

    Attributes:
        control: Name of the control that put it there: ``"clip"``; `LOOP_CLIP` for what the loop does itself.
        label: What it is called: ``"clip norm 1"``.
    """

    control: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class StepRecord:
    """One optimizer step of one part of a run.

    Attributes:
        step: Number of this step, counted from 1.
        loss: Training loss, mean over the window's tokens (or samples). None where it is not known;
            NaN where it really is NaN.
        lr: Learning rate of the first group of parameters that was really used: ``base_lr`` times the
            controls' ``lr_scale``.
        base_lr: The same as the optimizer and its scheduler set it.
        grad_norm: Joint L2 norm of the accumulated gradient before any transform, and before clipping that
            the loop itself does by torch's functions.
        applied_norm: The same after all transforms: what the optimizer stepped with.
        grad_norms: L2 norm per layer before any transform, float32 of shape ``(num_layers,)``.
        num_tokens: Tokens in the window (0 where the data has none).
        num_samples: Samples (sequences, images) in the window.
        num_microbatches: Microbatches that were accumulated.
        elapsed_s: Seconds of training up to the end of this step, pauses left out.
        step_s: Seconds this step took, watching included.
        watch_s: Seconds of ``step_s`` spent on watching.
        links: The chain's links, in the order in which they acted; the loop's own clipping is the first.
        link_norms: Joint norm after each link, float32; before the first it is ``grad_norm``. None
            where the norms between the links were not measured.
        microbatch_square: Mean squared norm of the microbatches' gradients; NaN for a single one.
        skipped: Whether the step was dropped because its gradient was not finite.
        loss_scale: What the loss was multiplied with for the backward pass, and its gradient divided by.
        part: Which part of the run stepped: an optimizer with its layers. A run of one has part 0.
        max_lr: Largest learning rate that any group of parameters was stepped with, where ``lr`` is that of
            the first group; NaN where it is not known.
    """

    step: int
    loss: float | None
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
    links: tuple[ChainLink, ...] = ()
    link_norms: Float32s | None = None
    microbatch_square: float = math.nan
    skipped: bool = False
    loss_scale: float = 1.0
    part: int = 0
    max_lr: float = math.nan

    @property
    def is_clipped_by_loop(self) -> bool:
        """Whether the loop itself has clipped the gradients, before any control."""
        return bool(self.links) and self.links[0].control == LOOP_CLIP

    @property
    def norm_left_by_loop(self) -> float:
        """Joint norm after what the loop clips itself, and before any control.

        A step that the loop itself keeps short is no explosion, however long its gradient was.
        """
        if self.link_norms is None or not self.is_clipped_by_loop:
            return self.grad_norm
        return float(self.link_norms[0])

    @property
    def largest_lr(self) -> float:
        """Largest learning rate of any group; that of the first group where no other is known."""
        return self.lr if math.isnan(self.max_lr) else self.max_lr

    @property
    def loss_or_nan(self) -> float:
        """The loss, for charts and averages, where NaN may stand for "not known" as well."""
        return math.nan if self.loss is None else self.loss
