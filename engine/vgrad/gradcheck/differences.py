"""Central differences of a loss, the size of its rounding error, and the comparison of one entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.gradcheck.float64_copy import Float64Copy
from vgrad.methods.restored_weights import restored

EVALUATIONS_PER_ENTRY = 4
"""At most: two, and two more where there may be a kink."""

_ORDER = 4
_POINTS = 9
_SPACING = 1e-9
_SHRINK = 8.0


class PureLoss:
    """The loss as a function of a model's weights and of nothing else. Make one with `pure`.

    Attributes:
        num_evaluations: Forward passes so far.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Tensor], device: torch.device) -> None:
        self.num_evaluations = 0
        self._model = model
        self._loss = loss
        self._device = device
        self._buffers = [
            (module, name, buffer.clone())
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self._state = torch.get_rng_state()
        self._device_state = None
        if device.type != "cpu":
            self._device_state = torch.get_device_module(device).get_rng_state(device)

    def __call__(self) -> Tensor:
        """Return the loss, 0-d, with its graph where gradients are enabled.

        Raises:
            ConfigError: If it is no 0-d tensor.
        """
        self.num_evaluations += 1
        for module, name, buffer in self._buffers:
            setattr(module, name, buffer.clone())
        torch.set_rng_state(self._state)
        if self._device_state is not None:
            torch.get_device_module(self._device).set_rng_state(self._device_state, self._device)
        with Float64Copy():
            value: object = self._loss(self._model)
        if not isinstance(value, Tensor) or value.dim():
            raise ConfigError("the loss to check must be a 0-d tensor: take its mean")
        return value

    def value(self) -> float:
        """Return the loss alone."""
        with torch.no_grad():
            return float(self())


@contextmanager
def pure(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Iterator[PureLoss]:
    """Make ``loss`` a pure function of ``model``'s weights; torch's random states return at the end."""
    device = next(model.parameters()).device
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng(
        devices=[] if on_cpu else [device], device_type="cuda" if on_cpu else device.type
    ):
        yield PureLoss(model, loss, device)


def differentiate(loss: PureLoss, params: Sequence[Tensor]) -> tuple[float, list[Tensor | None]]:
    """Return the loss and its gradients by autograd, None where it does not depend on a parameter.

    Raises:
        ConfigError: If the loss is no finite 0-d tensor, or depends on none of ``params``.
    """
    with torch.enable_grad():
        value = loss()
    base = float(value.detach())
    if not math.isfinite(base):
        raise ConfigError(f"the loss is {base}: there is no gradient to check")
    gradients: list[Tensor | None] = [None] * len(params)
    if value.requires_grad:
        gradients = list(torch.autograd.grad(value, list(params), allow_unused=True))
    if all(gradient is None for gradient in gradients):
        raise ConfigError("the loss does not depend on the model it is given: use that one, a copy")
    return base, gradients


def noise_of(loss: PureLoss, params: Sequence[Tensor], *, seed: int) -> float:
    """Return how far rounding throws the loss off: the standard deviation of its last digits.

    From fourth differences along a ray too short for the loss itself to bend.

    Source:
        Moré & Wild 2011, "Estimating computational noise", SIAM J. Sci. Comput. 33, 1292, eq. 2.2.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = [torch.randint(2, param.shape, generator=generator, device="cpu") * 2.0 - 1.0 for param in params]
    starts = [param.detach().clone() for param in params]
    values = []
    with restored(params):
        for number in range(_POINTS):
            with torch.no_grad():
                for param, start, sign in zip(params, starts, signs, strict=True):
                    param.copy_(start + number * _SPACING * sign.to(start))
            values.append(loss.value())
    differences = torch.tensor(values, dtype=torch.float64, device="cpu").diff(n=_ORDER)
    variance = float(differences.square().mean()) / math.comb(2 * _ORDER, _ORDER)
    return max(math.sqrt(variance), torch.finfo(torch.float64).eps * abs(values[0]))


class Comparison(NamedTuple):
    """What central differences say of one entry's gradient.

    Attributes:
        numeric: The gradient by central differences.
        error: How far autograd's is from it, relatively; NaN unless they were compared.
        outcome: ``unresolved``: both cannot be distinguished from rounding, or the weight is so
            large that the step is lost in its own rounding (``numeric`` is then NaN); ``kink``: the
            loss has no derivative there.
    """

    numeric: float
    error: float
    outcome: Literal["compared", "unresolved", "kink"]


def compare(
    loss: PureLoss,
    param: Tensor,
    index: tuple[int, ...],
    autograd: float,
    *,
    base: float,
    step: float,
    resolution: float,
    tolerance: float,
) -> Comparison:
    """Compare one entry's gradient with a central difference.

    Args:
        loss: The loss.
        param: The parameter, float64; changed and restored.
        index: The entry.
        autograd: Its gradient by autograd.
        base: The loss at the weights themselves.
        step: Half the distance of the two points.
        resolution: Smallest difference of gradients that is not rounding, at this step.
        tolerance: Largest relative error that passes.
    """
    bend = math.nan
    if not _can_step(float(param.detach()[index]), step / _SHRINK):
        return Comparison(math.nan, math.nan, "unresolved")
    for attempt in range(2):
        left, right = _slopes(loss, param, index, base, step)
        numeric = (left + right) / 2
        if not math.isfinite(numeric):
            return Comparison(numeric, math.nan, "kink")  # the edge of where the loss is defined
        larger = max(abs(autograd), abs(numeric))
        if 0 < larger <= resolution and not attempt:
            return Comparison(numeric, math.nan, "unresolved")
        difference = abs(autograd - numeric)
        error = difference / max(larger, resolution / tolerance) if difference else 0.0
        error = math.inf if math.isnan(error) else error
        if error <= tolerance:
            return Comparison(numeric, error, "compared")
        was, bend = bend, abs(right - left)
        if bend <= max(tolerance * max(abs(left), abs(right)), 2 * resolution):
            return Comparison(numeric, error, "compared")  # straight, and still not autograd's
        step, resolution = step / _SHRINK, resolution * _SHRINK
    # At a kink the slopes to both sides stay apart; where the loss is merely curved they close in.
    is_kink = bend > was / 2
    return Comparison(numeric, math.nan if is_kink else error, "kink" if is_kink else "compared")


def _can_step(start: float, step: float) -> bool:
    """Whether a float64 next to ``start`` is near enough to go ``step`` in both directions."""
    return start - step < start < start + step


def _slopes(
    loss: PureLoss, param: Tensor, index: tuple[int, ...], base: float, step: float
) -> tuple[float, float]:
    """The difference quotients of ``loss`` to the left and to the right, along one entry."""
    start = float(param.detach()[index])
    below, above = start - step, start + step  # rounded: divide by what was really gone
    values = []
    for place in (below, above):
        _write(param, index, place)
        values.append(loss.value())
    _write(param, index, start)
    return (base - values[0]) / (start - below), (values[1] - base) / (above - start)


def _write(param: Tensor, index: tuple[int, ...], value: float) -> None:
    with torch.no_grad():
        param[index] = value
