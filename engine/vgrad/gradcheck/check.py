"""Is the gradient right? Autograd against central differences, on a float64 copy of the live model."""

from __future__ import annotations

import bisect
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.validation import count, positive_float

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vgrad.gradients.layers import Layers

TOLERANCE = 1e-4
"""Largest relative error that passes: a tenth of what ``torch.autograd.gradcheck`` allows.

The worst of 19,000 entries of the built-in models, fresh and trained for 30 steps, was 1e-5. A
wrong formula is hardly ever wrong by so little.
"""

# Times the loss's rounding: smaller differences say nothing. In that measurement no two gradients
# were further apart than 1.0 times.
_SURE = 10.0


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """One entry of one parameter, by both ways.

    Attributes:
        layer: Name of its layer.
        parameter: Name of its parameter, as ``model.named_parameters()`` has it.
        index: Its place in the parameter.
        autograd: Its gradient as autograd computes it.
        numeric: The same by central differences.
        error: ``|autograd - numeric| / max(|autograd|, |numeric|, floor)``.
    """

    layer: str
    parameter: str
    index: tuple[int, ...]
    autograd: float
    numeric: float
    error: float


@dataclass(frozen=True, slots=True)
class GradCheck:
    """What a gradient check found.

    Attributes:
        layers: Names of the layers.
        errors: Worst relative error of each layer; NaN where no entry could be compared.
        worst: The entry with the largest error; None if none could be compared.
        tolerance: Largest error that passes.
        floor: Gradients smaller than this are compared relative to it, for rounding in the loss
            hides the rest; ``tolerance * floor`` is the smallest difference that can be seen.
        num_entries: Entries that were looked at.
        num_unresolved: Those whose gradients, both ways, cannot be distinguished from rounding, or
            whose weight is too large for the step.
        num_kinks: Those at which the loss has a kink, and so no derivative to compare with.
        num_left_out: Entries left out to keep to the number of evaluations allowed.
        took_s: Seconds it took.

    Raises:
        ConfigError: If there are not as many errors as layers.
    """

    layers: tuple[str, ...]
    errors: tuple[float, ...]
    worst: CheckedEntry | None
    tolerance: float
    floor: float
    num_entries: int
    num_unresolved: int
    num_kinks: int
    num_left_out: int
    took_s: float

    def __post_init__(self) -> None:
        """Refuse what another program may have written: every reader counts on this."""
        if len(self.layers) != len(self.errors):
            raise ConfigError(f"{len(self.layers)} layers cannot have {len(self.errors)} errors")

    @property
    def passed(self) -> bool:
        """Whether there was something to compare, and all of it agreed."""
        return self.worst is not None and self.worst.error <= self.tolerance

    def words(self) -> str:
        """One honest line."""
        num = self.num_entries - self.num_unresolved - self.num_kinks
        if self.worst is None:
            return f"nothing could be compared: {self._aside()}"
        worst = self.worst
        line = f"{num} entries agree, the worst to {worst.error:.0e}"
        if not self.passed:
            place = f"{worst.parameter}{list(worst.index)}"
            line = f"{place}: autograd says {worst.autograd:.6g}, differences say {worst.numeric:.6g}"
        aside = self._aside()
        return f"{line}; {aside}" if aside else line

    def _aside(self) -> str:
        named = (
            (self.num_unresolved, "too small to tell"),
            (self.num_kinks, "at a kink"),
            (self.num_left_out, "left out"),
        )
        return ", ".join(f"{num} {what}" for num, what in named if num)


def check_gradients(
    model: nn.Module,
    loss: Callable[[nn.Module], Tensor],
    layers: Layers,
    *,
    entries_per_tensor: int = 4,
    step: float = 1e-6,
    seed: int = 0,
    max_evaluations: int = 2000,
    on_progress: Callable[[int, int], None] | None = None,
) -> GradCheck:
    """Compare the gradients that autograd computes with central differences of the loss.

    ``(L(p + h e) - L(p - h e)) / 2h`` for a few random entries of every parameter and the one with
    its largest gradient. On a float64 copy: of the live model neither weights, gradients, modes,
    buffers, hooks nor torch's random states change. The copy's buffers and torch's random numbers
    are put back before every evaluation, so that dropout drops the same units each time.

    How much rounding makes the loss wobble is measured, and differences below that are not judged.
    Where the loss has a kink (ReLU at 0, max at a tie) the slopes to both sides differ and neither
    way is wrong: such an entry is tried again with a shorter step, and if that does not get
    away from the kink it is counted and not judged. What a model hides from autograd on purpose
    (``detach``, straight-through estimators) is reported as wrong, because it is not the loss's slope.

    Args:
        model: The live model.
        loss: Returns the mean loss of the model it is given, 0-d, on fixed data, such as
            ``lambda model: task.loss(model(batch.inputs), batch.targets)``. Runs inside
            `vgrad.gradcheck.float64_copy.Float64Copy`, which casts its data.
        layers: The layers of ``model``.
        entries_per_tensor: Random entries of each parameter, besides the largest.
        step: ``h``, in units of the weights.
        seed: Of the choice of entries.
        max_evaluations: Bound on the forward passes. The largest entries come first; if even they
            are too many, those of evenly spaced parameters.
        on_progress: Called with the number of entries done, and of all.

    Raises:
        ConfigError: If the model cannot be copied in float64, ``loss`` is no finite 0-d tensor or
            does not depend on the model it is given, all weights are too large for the step, or a
            setting makes no sense.
    """
    from vgrad.gradcheck.differences import EVALUATIONS_PER_ENTRY, compare, differentiate, noise_of, pure
    from vgrad.gradcheck.float64_copy import float64_copy

    begin = time.perf_counter()
    num_random = count("entries_per_tensor", entries_per_tensor, at_most=10**6)
    step = positive_float("step", step, at_least=1e-12, at_most=1.0)
    most = count("max_evaluations", max_evaluations, at_most=10**9)
    names = _names(model, layers)
    shadow = float64_copy(model)
    twins = dict(shadow.named_parameters())
    params = [twins[name] for name in names]
    results: list[_Result] = []
    with pure(shadow, loss) as pure_loss:
        base, gradients = differentiate(pure_loss, params)
        noise = noise_of(pure_loss, params, seed=seed)
        resolution = _SURE * noise / step
        largest, others = _choose(params, gradients, num_random, random.Random(seed))
        room = max(0, most - pure_loss.num_evaluations) // 2
        plan = _evenly(largest, room) + others
        total = len(plan)
        for place, index in plan:
            if pure_loss.num_evaluations + EVALUATIONS_PER_ENTRY > most:
                break
            gradient = gradients[place]
            autograd = 0.0 if gradient is None else float(gradient[index])
            found = compare(
                pure_loss, params[place], index, autograd,
                base=base, step=step, resolution=resolution, tolerance=TOLERANCE,
            )  # fmt: skip
            layer = layers.names[_layer_of(layers, place)]
            entry = CheckedEntry(layer, names[place], index, autograd, found.numeric, found.error)
            results.append((place, found.outcome, entry))
            if on_progress is not None:
                on_progress(len(results), total)
    if results and all(
        outcome == "unresolved" and math.isnan(entry.numeric) for _, outcome, entry in results
    ):
        raise ConfigError(f"the weights are too large: a step of {step:g} is lost in their rounding")
    return _summed_up(
        results,
        layers,
        floor=resolution / TOLERANCE,
        num_left_out=len(largest) + len(others) - len(results),
        took_s=time.perf_counter() - begin,
    )


_Place = tuple[int, tuple[int, ...]]  # which parameter, and which of its entries
_Result = tuple[int, str, CheckedEntry]  # which parameter, the outcome of `compare`, and the entry


def _summed_up(
    results: Sequence[_Result], layers: Layers, *, floor: float, num_left_out: int, took_s: float
) -> GradCheck:
    """What the entries say of each layer and of all."""
    compared = [(place, entry) for place, outcome, entry in results if outcome == "compared"]
    errors = [math.nan] * len(layers.names)
    for place, entry in compared:
        number = _layer_of(layers, place)
        errors[number] = entry.error if math.isnan(errors[number]) else max(errors[number], entry.error)
    outcomes = [outcome for _, outcome, _ in results]
    return GradCheck(
        layers=layers.names,
        errors=tuple(errors),
        worst=max((entry for _, entry in compared), key=lambda entry: entry.error, default=None),
        tolerance=TOLERANCE,
        floor=floor,
        num_entries=len(results),
        num_unresolved=outcomes.count("unresolved"),
        num_kinks=outcomes.count("kink"),
        num_left_out=num_left_out,
        took_s=took_s,
    )


def _names(model: nn.Module, layers: Layers) -> list[str]:
    """The names of all parameters of ``layers``, in their order."""
    named = {id(param): name for name, param in model.named_parameters()}
    try:
        return [named[id(param)] for param in layers.params]
    except KeyError:
        raise ConfigError("the layers to check are not of this model: use find_layers(model)") from None


def _layer_of(layers: Layers, place: int) -> int:
    return bisect.bisect_right(layers.starts, place) - 1


def _choose(
    params: Sequence[Tensor], gradients: Sequence[Tensor | None], num: int, source: random.Random
) -> tuple[list[_Place], list[_Place]]:
    """The entry with the largest gradient of each parameter, and up to ``num`` random others of each."""
    import numpy as np

    largest: list[_Place] = []
    others: list[_Place] = []
    for place, (param, gradient) in enumerate(zip(params, gradients, strict=True)):
        size = param.numel()
        if not size:
            continue
        first = source.randrange(size) if gradient is None else int(gradient.abs().argmax())
        drawn = source.sample(range(size), min(num + 1, size))
        more = [number for number in drawn if number != first][:num]
        for target, numbers in ((largest, [first]), (others, more)):
            for number in numbers:
                index = tuple(int(i) for i in np.unravel_index(number, tuple(param.shape)))
                target.append((place, index))
    return largest, others


def _evenly(places: list[_Place], room: int) -> list[_Place]:
    """``places``, or ``room`` of them at even distances if that is all there is."""
    if room >= len(places):
        return places
    return [places[number * len(places) // room] for number in range(room)]
