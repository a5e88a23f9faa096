"""Clipping whose limit follows the run: the weights' size, or the norms seen so far.

None of them cures vanishing gradients: a limit can only shorten a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vgrad.methods.transform import GradTransform
from vgrad.validation import count, number, positive_float

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vgrad.gradients.grads import Grads

MAX_WARMUP_STEPS = 1_000_000

# AutoClip counts norms in bins a 64th of a factor of 2 wide, from 2**-64 to 2**64.
_BINS_PER_OCTAVE = 64
_LOWEST_OCTAVE = -64
_NUM_BINS = 128 * _BINS_PER_OCTAVE


@dataclass(frozen=True, slots=True)
class AGC(GradTransform):
    """Adaptive gradient clipping: limit each unit's gradient relative to that unit's weights.

    Unit by unit: if ``‖G_i‖ > clipping * max(‖W_i‖, eps)``, then ``G_i`` is rescaled to that
    length. A unit is what produces one output: index i of the first dimension. A tensor with at
    most one dimension longer than 1 is one unit: a bias, a 0-d parameter, ``Linear(1, n).weight``.

    The last linear layer (`Grads.last_linear`) is not clipped, as in the paper; nor is its weight
    where an embedding shares it, for one gradient cannot be clipped in part. A unit with a NaN is
    left as it is. An inf becomes NaN and makes the rest of its unit 0, as with ClipGradNorm.

    Args:
        clipping: Largest ratio of a unit's gradient norm to its weight norm; 1e-30 to 1e30.
        eps: Smallest weight norm that is assumed, so that zero weights can grow; 1e-30 to 1e30.

    Raises:
        ConfigError: If a setting is not a number in its range.

    Source:
        Brock, De, Smith & Simonyan 2021, arXiv:2102.06171, equation 3; what a unit is, from the
        authors' code (deepmind-research, nfnets/optim.py).
    """

    needs_dense: ClassVar[bool] = True

    clipping: float = 0.01
    eps: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "clipping", positive_float("clipping", self.clipping))
        object.__setattr__(self, "eps", positive_float("eps", self.eps))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Rescale the units of ``grads`` in place."""
        import torch

        for grad, param in zip(grads.tensors, grads.params, strict=True):
            if param in grads.last_linear:
                continue
            norms = _unit_norms(grad)
            limits = self.clipping * _unit_norms(param).clamp(min=self.eps)
            factors = torch.where(norms > limits, limits / norms, 1.0)
            # In single precision at least: in half precision a small factor would be 0.
            grad.mul_(factors.to(torch.promote_types(grad.dtype, torch.float32)))
        grads.forget_norms()


def _unit_norms(tensor: Tensor) -> Tensor:
    """L2 norm of each unit, of as many dimensions as ``tensor``, so that the two can be multiplied."""
    import torch

    is_one_unit = sum(size > 1 for size in tensor.shape) <= 1
    dims = None if is_one_unit else tuple(range(1, tensor.dim()))
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    norms: Tensor
    if tensor.device.type in {"cpu", "mps"}:  # MPS has no float64, and a CPU takes 16 times as long over it
        norms = torch.linalg.vector_norm(tensor, dim=dims, keepdim=True, dtype=dtype)
        if tensor.device.type == "mps" or norms.isfinite().all():  # nothing to wait for on a CPU
            return norms
    # In float32, finite entries from 1.8e19 on have no norm, and would be scaled to 0.
    norms = torch.linalg.vector_norm(tensor, dim=dims, keepdim=True, dtype=torch.float64)
    return norms


@dataclass(slots=True)
class ZClipMemory:
    """What ZClip has learned of the norms: 0-d tensors on the gradients' device.

    Attributes:
        num_seen: Number of finite norms so far.
        mean: Their mean while warming up, their moving average from then on.
        var: Their population variance, likewise.
    """

    num_seen: Tensor
    mean: Tensor
    var: Tensor


@dataclass(frozen=True, slots=True)
class ZClip(GradTransform):
    """Shorten a step whose norm stands out from those before it, and cap every step.

    With μ and σ of the norms n so far, ``z = (n - μ) / (σ + 1e-6)``. Where that is above z*, the
    norm becomes ``μ + z*² σ / z``: the larger the spike, the closer to the mean. The result is then
    cut to ``max_norm``. During the first ``warmup_steps`` steps only this cap acts, and μ and σ are
    those of the norms so far. From then on they are moving averages of the norms before the cap, in
    which a spike counts with its shortened norm.

    A norm that is not finite is not counted. If it is NaN, all entries stay as they are. A single inf
    becomes NaN and makes all other entries 0, as with ClipGradNorm.

    Args:
        z: z*, the standard deviations above the mean that pass; 1e-30 to 1e30.
        alpha: Weight of the past in the moving averages, in [0, 1].
        warmup_steps: Number of steps of the warm-up; from 1 to 1,000,000.
        max_norm: Largest joint norm that passes in any case, the warm-up included; 1e-30 to 1e30.

    Raises:
        ConfigError: If a setting is not a number in its range.

    Source:
        Kumar et al. 2025, arXiv:2504.02507; warm-up, variance and cap as in the authors' code
        (github.com/bluorion-com/ZClip).
    """

    z: float = 2.5
    alpha: float = 0.97
    warmup_steps: int = 25
    max_norm: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "z", positive_float("z", self.z))
        object.__setattr__(self, "alpha", number("alpha", self.alpha, at_least=0.0, at_most=1.0))
        warmup_steps = count("warmup_steps", self.warmup_steps, at_most=MAX_WARMUP_STEPS)
        object.__setattr__(self, "warmup_steps", warmup_steps)
        object.__setattr__(self, "max_norm", positive_float("max_norm", self.max_norm))

    def start(self, grads: Grads, *, seed: int) -> ZClipMemory:
        """A memory that has seen nothing."""
        import torch

        return ZClipMemory(*torch.zeros_like(grads.norm().expand(3)).unbind())

    def capture(self, memory: ZClipMemory) -> dict[str, Tensor]:
        """The three numbers by name."""
        return {"num_seen": memory.num_seen, "mean": memory.mean, "var": memory.var}

    def restore(self, captured: dict[str, Tensor], *, device: torch.device) -> ZClipMemory:
        """The memory that `capture` was given."""
        return ZClipMemory(**{name: number.to(device) for name, number in captured.items()})

    def apply_(self, grads: Grads, memory: ZClipMemory, *, step: int) -> None:
        """Rescale ``grads`` in place."""
        import torch

        norm = grads.norm()
        std = memory.var.sqrt()
        z = (norm - memory.mean) / (std + 1e-6)
        is_spike = (memory.num_seen >= self.warmup_steps) & (z > self.z)
        target = torch.where(is_spike, memory.mean + self.z**2 * std / z, norm)
        self._learn(memory, target, norm.isfinite())
        grads.scale_(_shortening(norm, target.clamp(max=self.max_norm)))

    def _learn(self, memory: ZClipMemory, norm: Tensor, is_finite: Tensor) -> None:
        """Count one norm if it is finite, without reading back whether it is."""
        import torch

        # The plain mean of n norms moves by 1/n, a moving average by 1 - alpha.
        num_seen = memory.num_seen + 1
        is_warm = memory.num_seen >= self.warmup_steps
        mean = memory.mean + (norm - memory.mean) * torch.where(is_warm, 1 - self.alpha, 1 / num_seen)
        warming_up = memory.var + ((norm - memory.mean) * (norm - mean) - memory.var) / num_seen  # Welford
        moving = self.alpha * memory.var + (1 - self.alpha) * (norm - mean).square()
        memory.num_seen = torch.where(is_finite, num_seen, memory.num_seen)
        memory.mean = torch.where(is_finite, mean, memory.mean)
        memory.var = torch.where(is_finite, torch.where(is_warm, moving, warming_up), memory.var)


@dataclass(frozen=True, slots=True)
class AutoClip(GradTransform):
    """Clip the joint norm at a percentile of all norms seen so far, including this one.

    That share of the steps passes unchanged, whatever the scale of the loss. At 10, nine of ten
    steps are cut to about the length of the shortest tenth, which is much like normalising.

    The norms are counted and not stored: 64 KiB however long the run, in bins a 64th of a factor
    of 2 wide. So the limit is never below the exact percentile and at most 1.1 % above it, for norms
    from 5.4e-20 to 1.8e19. Smaller norms count as the smallest of these, larger ones as the largest.

    A norm that is not finite is not counted. If it is NaN, all entries stay as they are. A single inf
    becomes NaN and makes all other entries 0, as with ClipGradNorm.

    Args:
        percentile: Percentile of the norms to clip at, interpolated linearly; in [0, 100].

    Raises:
        ConfigError: If ``percentile`` is not a number in that range.

    Source:
        Seetharaman, Wichern, Pardo & Le Roux 2020, arXiv:2007.14469; counting in bins of equal
        ratio as in Masson, Rim & Lee 2019 (DDSketch), arXiv:1908.10693.
    """

    percentile: float = 10.0

    def __post_init__(self) -> None:
        percentile = number("percentile", self.percentile, at_least=0.0, at_most=100.0)
        object.__setattr__(self, "percentile", percentile)

    def start(self, grads: Grads, *, seed: int) -> Tensor:
        """How many norms fell into each bin, int64 of shape ``(8192,)``."""
        import torch

        return torch.zeros(_NUM_BINS, dtype=torch.long, device=grads.norm().device)

    def restore(self, captured: Tensor, *, device: torch.device) -> Tensor:
        """The counts that `capture` was given."""
        if captured.shape != (_NUM_BINS,):
            raise ValueError(f"AutoClip counts in {_NUM_BINS} bins, got shape {tuple(captured.shape)}")
        return captured.to(device)

    def apply_(self, grads: Grads, memory: Tensor, *, step: int) -> None:
        """Count the norm of ``grads``, then rescale them in place."""
        import torch

        norm = grads.norm()
        position = ((norm.log2() - _LOWEST_OCTAVE) * _BINS_PER_OCTAVE).floor().nan_to_num()
        index = position.clamp(0, _NUM_BINS - 1).long()
        memory.index_add_(0, index.view(1), norm.isfinite().view(1).long())

        num_up_to = memory.cumsum(0)
        rank = (num_up_to[-1].to(norm.dtype) - 1) * (self.percentile / 100)
        below, above = rank.floor(), rank.ceil()
        bins = torch.searchsorted(num_up_to, torch.stack((below, above)).long() + 1)
        upper_edges = torch.exp2((bins + 1).to(norm.dtype) / _BINS_PER_OCTAVE + _LOWEST_OCTAVE)
        grads.scale_(_shortening(norm, torch.lerp(upper_edges[0], upper_edges[1], rank - below)))


def _shortening(norm: Tensor, limit: Tensor) -> Tensor:
    """The factor that brings ``norm`` down to ``limit``, or 1 where it is below it already, or NaN.

    Without the 1e-6 that torch adds to the norm: limits that follow the run can be that small.
    """
    import torch

    return torch.where(norm > limit, limit / norm, 1.0)
