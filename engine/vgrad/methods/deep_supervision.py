"""Deep supervision at perturbed weights: what the article's formula for "detection" says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.methods.restored_weights import restored
from vgrad.validation import number

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class DeepSupervision:
    """Give every layer a loss of its own, and take all their gradients at perturbed weights.

    A layer's own loss reaches it without passing through the layers above, so its gradient cannot
    vanish on the way. What the model then learns is not the last layer's loss alone.

    Args:
        sigma: Standard deviation of what is added to a perturbed weight, >= 0; 0 perturbs none.
        probability: Share of the weights that are perturbed, in [0, 1].

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        The article's section 3.1, its formula; without the perturbation Lee et al. 2014,
        "Deeply-supervised nets", arXiv:1409.5185.
    """

    sigma: float = 0.01
    probability: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", number("sigma", self.sigma, at_least=0.0, at_most=1e6))
        probability = number("probability", self.probability, at_least=0.0, at_most=1.0)
        object.__setattr__(self, "probability", probability)


def supervised_backward(
    outputs: Callable[[], Sequence[Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    targets: Tensor,
    params: Sequence[Tensor],
    value: DeepSupervision,
    generator: torch.Generator,
) -> Tensor:
    """Add the gradient of the sum of all layers' losses, at perturbed weights, to ``p.grad``.

    Args:
        outputs: Runs the forward pass and returns every layer's own prediction, the model's last.
        loss_fn: Mean loss of ``(prediction, targets)``, 0-d.
        targets: What every layer should predict.
        params: The weights to perturb. Restored bit for bit, also if a pass raises.
        value: How much is perturbed.
        generator: Source of the perturbations, advanced by every call unless ``sigma`` is 0. On the
            weights' device it avoids a copy.

    Returns:
        The model's normal loss, that of the last prediction, at the perturbed weights; 0-d and
        detached.

    Raises:
        ConfigError: If there is no prediction.
    """
    with restored(params):
        _perturb_(params, value, generator)
        losses = [loss_fn(prediction, targets) for prediction in outputs()]
        if not losses:
            raise ConfigError("deep supervision needs a prediction of at least one layer")
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    return losses[-1].detach()


def _perturb_(params: Sequence[Tensor], value: DeepSupervision, generator: torch.Generator) -> None:
    """``p += sigma * mask * xi``, with mask ~ Bernoulli(probability) and xi ~ N(0, 1)."""
    import torch

    if not value.sigma:
        return
    with torch.no_grad():
        for param in params:
            shape, device = param.shape, generator.device
            mask = torch.rand(shape, generator=generator, device=device) < value.probability
            kick = value.sigma * torch.randn(shape, generator=generator, device=device)
            # Selected, not multiplied by 0: adding -0.0 or 0.0 could change the bits of a zero.
            kicked = param + kick.to(param)
            param.copy_(torch.where(mask.to(param.device), kicked, param))
