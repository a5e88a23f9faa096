"""The article's remedies exactly as it prints them, to show what they really do.

Its prose, formulas and code contradict one another and the standard methods of the same names. None
of them cures vanishing gradients. The docstrings say what each really does, and tests prove it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vgrad.methods.random import RandomTransform
from vgrad.methods.transform import GradTransform
from vgrad.validation import number, positive_float

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class FloorAsPrinted(RandomTransform):
    """Replace every small entry by a positive threshold, as the article's formula has it.

    ``T ~ U(0, t_max)`` for each tensor and step; ``g = g where |g| > T, else +T``. So every entry
    is at least T in size, a small negative one changes its sign, and a weight whose gradient is zero
    drifts by ``-lr * sum(T)``. A NaN is not above T either and becomes T, so only the norm before this
    link shows it.

    Args:
        t_max: Largest threshold; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``t_max`` is not a number in that range.

    Source:
        The article, section 3.2 (clipping, as printed).
    """

    needs_dense: ClassVar[bool] = True

    t_max: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_max", positive_float("t_max", self.t_max))

    def apply_(self, grads: Grads, memory: torch.Generator, *, step: int) -> None:
        """Raise the entries of ``grads`` in place."""
        import torch

        for grad, threshold in zip(grads.tensors, _thresholds(grads, self.t_max, memory), strict=True):
            grad.copy_(torch.where(grad.abs() > threshold, grad, threshold))
        grads.forget_norms()


@dataclass(frozen=True, slots=True)
class FloorSigned(RandomTransform):
    """Raise every small entry to a threshold, with its own sign: FloorAsPrinted with the sign kept.

    ``T ~ U(0, t_max)`` for each tensor and step; ``g = T * sign(g) where |g| <= T``. Every sign is
    kept; zeros and NaN stay what they are.

    Args:
        t_max: Largest threshold; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``t_max`` is not a number in that range.

    Source:
        The article, section 3.2, with the sign it leaves out.
    """

    t_max: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_max", positive_float("t_max", self.t_max))

    def apply_(self, grads: Grads, memory: torch.Generator, *, step: int) -> None:
        """Raise the entries of ``grads`` in place."""
        import torch

        for grad, threshold in zip(grads.tensors, _thresholds(grads, self.t_max, memory), strict=True):
            grad.copy_(torch.where(grad.abs() <= threshold, threshold * grad.sign(), grad))
        grads.forget_norms()


def _thresholds(grads: Grads, t_max: float, generator: torch.Generator) -> list[Tensor]:
    """A 0-d threshold for each gradient, of its dtype, drawn from ``U(0, t_max)``."""
    import torch

    drawn = t_max * torch.rand(len(grads.tensors), generator=generator, device=grads.tensors[0].device)
    return [threshold.to(grad.dtype) for threshold, grad in zip(drawn.unbind(), grads.tensors, strict=True)]


@dataclass(frozen=True, slots=True)
class AscendAsCoded(GradTransform):
    """Move the weights up the gradient just before the step, as the article's code has it.

    ``p += rate * g``, and the step is then done with the old ``g``. Under plain SGD the two add
    up to ascent at ``rate - lr``: training goes backwards while lr is below ``rate``, and stands
    still where they are equal. (Up to rounding: the two are added to the weights one after another.)

    Args:
        rate: How far up, in learning rates; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``rate`` is not a number in that range.

    Source:
        The article, section 4.1 (detection, as coded), where it is 0.1.
    """

    needs_dense: ClassVar[bool] = True

    rate: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", positive_float("rate", self.rate))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Move the weights of ``grads`` in place; the gradients stay as they are."""
        import torch

        torch._foreach_add_(list(grads.params), grads.tensors, alpha=self.rate)


@dataclass(frozen=True, slots=True)
class PerturbAsProse(RandomTransform):
    """Push some of the weights at random before the step, and leave them there.

    ``p += sigma * xi`` with ``xi ~ N(0, 1)`` for a share of the entries, drawn again at each
    step. The article wants to see how the gradient responds, but never measures it. What remains is
    a random walk.

    Args:
        sigma: Standard deviation of the push, in parameter units; 1e-30 to 1e30.
        probability: Share of the entries that are pushed, in [0, 1].

    Raises:
        ConfigError: If a setting is not a number in its range.

    Source:
        The article, section 3.1 (detection, as prose).
    """

    sigma: float = 0.01
    probability: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", positive_float("sigma", self.sigma))
        probability = number("probability", self.probability, at_least=0.0, at_most=1.0)
        object.__setattr__(self, "probability", probability)

    def apply_(self, grads: Grads, memory: torch.Generator, *, step: int) -> None:
        """Push the weights of ``grads`` in place; the gradients stay as they are."""
        import torch

        for param in grads.params:
            # Drawn in single precision, so that a seed means the same push in any lower one.
            dtype = torch.promote_types(param.dtype, torch.float32)
            push = torch.randn(param.shape, generator=memory, device=param.device, dtype=dtype)
            is_pushed = torch.empty_like(param, dtype=torch.bool)
            is_pushed.bernoulli_(self.probability, generator=memory)
            # Chosen rather than multiplied by 0, for adding 0 turns -0 into +0.
            param.copy_(torch.where(is_pushed, param + self.sigma * push, param))


@dataclass(frozen=True, slots=True)
class DoubleAsCoded(GradTransform):
    """Add the gradient to itself, as the article's code for accumulation has it.

    ``g = g + g``: there is no second microbatch. For SGD, with or without momentum, it equals twice
    the learning rate, bit for bit. Adam's steps do not change at all if it is on from the first step
    (apart from eps); turned on later, it lengthens them until the second moment has caught up.

    Source:
        The article, section 4.3 (accumulation, as coded).
    """

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Double ``grads`` in place."""
        import torch

        torch._foreach_add_(grads.tensors, grads.tensors)
        grads.forget_norms()


@dataclass(frozen=True, slots=True)
class HoardAsProse(GradTransform):
    """Step with the sum of all gradients so far, never cleared, as the article's prose has it.

    That is momentum without friction: in a bowl of curvature λ the weights swing through the
    minimum for ever, once in ``2π / sqrt(lr λ)`` steps. A NaN never leaves the sum. The memory is as
    large as all gradients; a weight that has no gradient in a step keeps its sum.

    Source:
        The article, section 3.3 (accumulation, as prose).
    """

    needs_dense: ClassVar[bool] = True

    def start(self, grads: Grads, *, seed: int) -> dict[str, Tensor]:
        """The sums by name of the weight; none yet."""
        return {}

    def restore(self, captured: dict[str, Tensor], *, device: torch.device) -> dict[str, Tensor]:
        """The sums that `capture` was given."""
        return {name: total.to(device) for name, total in captured.items()}

    def apply_(self, grads: Grads, memory: dict[str, Tensor], *, step: int) -> None:
        """Add ``grads`` to the sums, and replace them by these in place."""
        import torch

        for name, grad in zip(grads.names, grads.tensors, strict=True):
            if name not in memory:
                memory[name] = torch.zeros_like(grad)
        sums = [memory[name] for name in grads.names]
        torch._foreach_add_(sums, grads.tensors)
        torch._foreach_copy_(grads.tensors, sums)
        grads.forget_norms()
