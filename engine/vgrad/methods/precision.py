"""What the forward and backward passes compute in, and the loss scale that float16 needs.

Weights and gradients stay float32; autocast computes matrix products in the shorter dtype.
"""

from __future__ import annotations

import textwrap
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.validation import brief, count, positive_float

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    import torch

MIN_SCALE, MAX_SCALE = 1.0, 2.0**24


@dataclass(frozen=True, slots=True)
class Float32:
    """Compute in the weights' own dtype: no autocast."""


@dataclass(frozen=True, slots=True)
class BFloat16:
    """Autocast to bfloat16: float32's range with 8 bits of precision, so no loss scale is needed."""


@dataclass(frozen=True, slots=True)
class Float16:
    """Autocast to float16 with a loss scale: below 6e-8 a float16 gradient is zero.

    The loss is multiplied before backward and gradients are divided after it, so that small ones
    survive in between. ``Float16(scale=1, dynamic=False)`` is float16 without that protection.

    Args:
        scale: The loss scale at the start, 1 to 2**24; torch's default is 65536.
        dynamic: Halve the scale after a step with NaN or inf, double it after
            ``growth_interval`` finite steps in a row. Otherwise it never moves.
        growth_interval: Finite steps before the scale is doubled.

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Micikevicius et al. 2017, arXiv:1710.03740, section 3.2; ``torch.amp.GradScaler``.
    """

    scale: float = 65536.0
    dynamic: bool = True
    growth_interval: int = 2000

    def __post_init__(self) -> None:
        scale = positive_float("scale", self.scale, at_least=MIN_SCALE, at_most=MAX_SCALE)
        object.__setattr__(self, "scale", scale)
        if not isinstance(self.dynamic, bool):
            raise ConfigError(f"dynamic must be true or false, got {brief(self.dynamic)}")
        interval = count("growth_interval", self.growth_interval, at_most=10**9)
        object.__setattr__(self, "growth_interval", interval)


Precision = Float32 | BFloat16 | Float16


class LossScale:
    """The loss scale of a run as it is now, in plain numbers.

    Args:
        value: Where it starts and how it moves.

    Attributes:
        scale: What the next loss is to be multiplied with.
        num_finite: Finite steps since the scale last moved.

    Source:
        ``torch.amp.GradScaler``, with the same scales as long as they stay in [1, 2**24]. Torch's go
        on beyond that range: down to 0, where the gradient is lost, and up to inf.
    """

    __slots__ = ("_value", "num_finite", "scale")

    def __init__(self, value: Float16) -> None:
        self.scale = value.scale
        self.num_finite = 0
        self._value = value

    def capture(self) -> dict[str, float]:
        """What moves: the scale, and how long it has stood."""
        return {"scale": self.scale, "num_finite": self.num_finite}

    def restore_(self, captured: Mapping[str, float]) -> None:
        """Go back to what `capture` returned."""
        self.scale, self.num_finite = float(captured["scale"]), int(captured["num_finite"])

    def update(self, all_finite: bool) -> None:
        """Take one optimizer step into account.

        Args:
            all_finite: Whether every gradient of the step was finite; if not, it was skipped.
        """
        if not self._value.dynamic:
            return
        if not all_finite:
            self.scale = max(0.5 * self.scale, MIN_SCALE)
            self.num_finite = 0
            return
        self.num_finite += 1
        if self.num_finite == self._value.growth_interval:
            self.scale = min(2.0 * self.scale, MAX_SCALE)
            self.num_finite = 0


def autocast(value: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a forward pass on ``device`` computes in ``value``.

    The backward pass belongs outside; it follows the dtypes of the forward pass.
    """
    import torch

    match value:
        case Float32():
            return nullcontext()
        case BFloat16():
            return torch.autocast(device.type, torch.bfloat16)
        case Float16():
            return torch.autocast(device.type, torch.float16)


def supports(value: Precision, device: torch.device) -> str | None:
    """Return why ``device`` cannot train in ``value``, or None if it can.

    Found out by training: a tiny linear layer, forward and backward. Waits for the device, so ask
    between two steps. Draws no random numbers.
    """
    import torch

    if isinstance(value, Float32):
        return None
    name = "bfloat16" if isinstance(value, BFloat16) else "float16"
    weight = torch.eye(8, device=device, requires_grad=True)
    inputs = torch.ones(4, 8, device=device)
    try:
        with warnings.catch_warnings():
            # Where a device has no such autocast torch only warns, on the terminal, and computes in float32.
            warnings.simplefilter("ignore")
            with autocast(value, device):
                outputs = torch.nn.functional.linear(inputs, weight)
        (gradient,) = torch.autograd.grad(outputs.sum(), weight)
        is_right = bool((gradient == 4.0).all())
    except RuntimeError as error:  # also NotImplementedError: a kernel that is not there
        reason = textwrap.shorten(str(error), 80, placeholder=" …")
        return f"{device} cannot train in {name} ({reason}): use fp32"
    if outputs.dtype is not getattr(torch, name) or not is_right:
        return f"{device} does not compute in {name} when asked to: use fp32"
    return None
