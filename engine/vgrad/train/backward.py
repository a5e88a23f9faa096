"""How one microbatch becomes gradients: the forward and backward passes, as the controls have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vgrad.measure.hidden_gradients import require_recurrent
from vgrad.measure.latest_guesses import LatestGuesses
from vgrad.measure.loss_guesses import guesses_of
from vgrad.measure.non_finite_module import first_non_finite_in_words
from vgrad.methods.deep_supervision import DeepSupervision, supervised_backward
from vgrad.methods.omega import omega_backward
from vgrad.methods.precision import Float16, LossScale, autocast
from vgrad.methods.sam import SAM, sam_backward

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.events.guesses import Guesses
    from vgrad.task import Microbatch, Task

_LOOK_UP_EVERY = 20  # passes
_STREAM = 0x5EED  # keeps the perturbations' numbers apart from the data's


class Backward:
    """Runs the passes of one microbatch at a time.

    Args:
        task: What is trained.
        seed: Seed of the perturbations.

    Attributes:
        extras: Ω's gradients of the last microbatch, by parameter; they are not in ``p.grad``.
    """

    def __init__(self, task: Task, *, seed: int) -> None:
        self.extras: Mapping[nn.Parameter, Tensor] = {}
        self._latest_guesses = LatestGuesses()
        self._num_passes = 0  # whose losses could be looked at
        self._task = task
        self._params = [param for param in task.model.parameters() if param.requires_grad]
        self._device = self._params[0].device
        self._generator = torch.Generator(self._device).manual_seed(seed ^ _STREAM)
        self._scale: LossScale | None = None

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost, where the task knows no baseline and its loss shows it.

        Looked up in one pass of twenty.
        """
        return self._latest_guesses.guesses

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied with now."""
        return 1.0 if self._scale is None else self._scale.scale

    def set(self, before: Controls | None, controls: Controls) -> None:
        """Run the passes as ``controls`` have them; a loss scale is kept while its settings are."""
        self._controls = controls
        if before is None or before.precision != controls.precision:
            precision = controls.precision
            self._scale = LossScale(precision) if isinstance(precision, Float16) else None

    def capture(self) -> dict[str, Any]:
        """Return the loss scale or None, the generator's state, and what constant predictions cost."""
        return {
            "generator": self._generator.get_state(),
            "loss_scale": None if self._scale is None else self._scale.capture(),
            "guesses": self._latest_guesses.capture(),
            "num_passes": self._num_passes,
        }

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned. The same controls must have been `set`.

        Raises:
            ValueError: If there is a loss scale in one of the two only.
        """
        scale = captured["loss_scale"]
        if (scale is None) != (self._scale is None):
            raise ValueError("a loss scale belongs to float16, and to nothing else")
        if self._scale is not None:
            self._scale.restore_(scale)
        self._generator.set_state(captured["generator"])
        self._latest_guesses.restore_(captured["guesses"])
        self._num_passes = captured["num_passes"]

    def stepped(self, *, skipped: bool) -> None:
        """Adapt the loss scale to how a step went."""
        if self._scale is not None:
            self._scale.update(not skipped)

    def run(self, batch: Microbatch) -> Tensor:
        """Fill ``p.grad`` from one microbatch; it must be empty.

        Returns:
            The microbatch's mean loss, 0-d and unscaled.
        """
        self.extras = {}
        match self._controls.detect:
            case SAM(rho=rho):
                loss = sam_backward(lambda: self._loss(batch), self._params, rho=rho)
            case DeepSupervision() as value:
                loss = supervised_backward(
                    lambda: self._layer_outputs(batch),
                    lambda outputs, targets: self._scaled(self._task.loss(outputs, targets)),
                    batch.targets,
                    self._params,
                    value,
                    self._generator,
                )
            case _ if self._controls.omega is not None:
                model = require_recurrent(self._task.model)
                loss, self.extras = omega_backward(
                    model.rnn,
                    lambda: model.unrolled(batch.inputs),
                    lambda outputs: self._task.loss(outputs, batch.targets),
                )
            case _:
                loss = self._loss(batch)
                if self._task.baseline is None and self._scale is None:
                    if self._num_passes % _LOOK_UP_EVERY == 0:
                        self._latest_guesses.take(guesses_of(loss))
                    self._num_passes += 1
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        return self._unscale_(loss.detach())

    def origin_in_words(self, batch: Microbatch) -> str:
        """Say where the forward pass of this microbatch stops being finite, by running it again."""
        return first_non_finite_in_words(self._task.model, lambda: self._loss(batch), batch.targets)

    def _loss(self, batch: Microbatch) -> Tensor:
        with autocast(self._controls.precision, self._device):
            return self._scaled(self._task.loss_of(batch))

    def _layer_outputs(self, batch: Microbatch) -> list[Tensor]:
        layer_outputs = cast("Callable[[Tensor], list[Tensor]]", self._task.model.layer_outputs)
        with autocast(self._controls.precision, self._device):
            return layer_outputs(batch.inputs)

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self._scale is None else loss * self._scale.scale

    def _unscale_(self, loss: Tensor) -> Tensor:
        if self._scale is None:
            return loss
        grads = [param.grad for param in self._params if param.grad is not None]
        torch._foreach_mul_(grads, 1.0 / self._scale.scale)
        return loss / self._scale.scale
