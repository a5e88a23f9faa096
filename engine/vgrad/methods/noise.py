"""Gradient noise that fades as training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vgrad.methods.random import RandomTransform
from vgrad.validation import number, positive_float

if TYPE_CHECKING:
    import torch

    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class AddGradNoise(RandomTransform):
    """Add ``N(0, eta / (1 + t)**gamma)`` to every entry of every gradient.

    The second argument is the variance. ``t`` is the number of steps the run has done, 0 in its
    first, whenever the noise was turned on. It is added after clipping, which would shorten it too.
    It helps some poor initialisations; it made our own runs worse.

    Args:
        eta: Variance at the first step; the paper tries 0.01, 0.3 and 1; 1e-30 to 1e30.
        gamma: How fast it fades; in [0, 10].

    Raises:
        ConfigError: If a setting is not a number in its range.

    Source:
        Neelakantan et al. 2015, arXiv:1511.06807, section 3.
    """

    needs_dense: ClassVar[bool] = True

    eta: float = 0.01
    gamma: float = 0.55

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", positive_float("eta", self.eta))
        object.__setattr__(self, "gamma", number("gamma", self.gamma, at_least=0.0, at_most=10.0))

    def std(self, step: int) -> float:
        """Standard deviation of the noise in step number ``step``, from 1."""
        return float((self.eta / step**self.gamma) ** 0.5)

    def apply_(self, grads: Grads, memory: torch.Generator, *, step: int) -> None:
        """Add noise to ``grads`` in place."""
        import torch

        std = self.std(step)
        for grad in grads.tensors:  # one after another: all noise at once takes another model's memory
            # Drawn in single precision, so that a seed means the same noise in any lower one.
            dtype = torch.promote_types(grad.dtype, torch.float32)
            noise = torch.randn(grad.shape, generator=memory, device=grad.device, dtype=dtype)
            grad.add_(noise, alpha=std)
        grads.forget_norms()
