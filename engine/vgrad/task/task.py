"""`Task`: a model, its optimizer, its data and its loss, checked against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import InitVar, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.gradients.layers import require_initialised
from vgrad.task.losses import Loss, Metric, mean_cross_entropy
from vgrad.task.microbatch import Microbatch, Stream, Unit, in_words, read_pair
from vgrad.task.pair_stream import PairStream, require_iterable
from vgrad.task.random_state import kept_random_state

_NAMED = 3  # parameters that a message names
_CANNOT_REWIND = (
    "the position in this data cannot be captured: give a list, a DataLoader with one of torch's own "
    "samplers, or data that has state_dict and load_state_dict"
)


def _call(model: nn.Module, inputs: Any) -> Any:
    return model(inputs)


@dataclass(kw_only=True, slots=True, eq=False)
class Task:
    """All that a training run needs to know about what it trains.

    Args:
        model: The model, on its device, in training mode.
        optimizer: Holds all trainable parameters of the model; its ``lr`` is the base learning rate.
        data: The training data: any iterable of pairs ``(inputs, targets)``, such as a `DataLoader`. It
            is started again when it ends; a generator cannot be, and the run then ends. Inputs and targets
            are tensors, or tuples, lists and dicts of tensors; they are moved to the model's device.
        loss: Mean loss of ``(outputs, targets)``, a 0-d tensor.
        validation: Data of the same kind that can be read again and again, or one tuple ``(inputs,
            targets)``, or None. The validation loss is the mean, weighted by samples.
        unit: What is counted for the speed and weighs the microbatches of a window: ``"samples"``, the
            length of the first dimension of the inputs, or ``"tokens"``, the number of targets.
        metric: A number that says more than the loss, where there is one.
        baseline: Training loss of a constant prediction, see `vgrad.task.constant_loss`; None where it is
            not known. Verdicts are more often right with it.
        forward: How the model is called, ``forward(model, inputs)``; ``model(inputs)`` unless given.

    Attributes:
        stream: The training data as microbatches.

    Raises:
        ConfigError: If the model has nothing to train, the optimizer does not hold just its parameters, or
            the data is empty or of another kind; says what there is, and what would do.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    data: InitVar[Stream | Iterable[Any]]
    loss: Loss = mean_cross_entropy
    validation: Microbatch | tuple[Any, Any] | Iterable[Any] | None = None
    unit: Unit = "samples"
    metric: Metric | None = None
    baseline: float | None = None
    forward: Callable[[nn.Module, Any], Any] = _call
    stream: Stream = field(init=False)

    def __post_init__(self, data: Stream | Iterable[Any]) -> None:
        _require_trainable(self.model)
        _require_same_parameters(self.model, self.optimizer)
        if self.unit not in {"samples", "tokens"}:
            raise ConfigError(f'unit must be "samples" or "tokens", got {self.unit!r}')
        for name in ("loss", "forward", "metric"):
            is_absent = name == "metric" and self.metric is None
            if not (is_absent or callable(getattr(self, name))):
                raise ConfigError(f"{name} must be a function, got {in_words(getattr(self, name))}")
        if not (self.baseline is None or _is_finite(self.baseline)):
            raise ConfigError("baseline must be a finite number, or None where it is not known")
        if self.forward is _call and type(self.model).forward is nn.Module.forward:
            raise ConfigError(
                f"a {type(self.model).__name__} has no forward(): give the task a function "
                "forward(model, inputs) that returns the outputs"
            )
        if isinstance(data, Stream):
            self.stream = data
        else:
            self.stream = PairStream(data, device=self.device, unit=self.unit)
        self._read_validation()

    @property
    def device(self) -> torch.device:
        """Where the model is: the device of its first trainable parameter."""
        return next(param.device for param in self.model.parameters() if param.requires_grad)

    def loss_of(self, batch: Microbatch) -> Tensor:
        """Return the mean loss over ``batch``, 0-d, on its device and not read back.

        Raises:
            ConfigError: If the loss function returns something else, or what has no gradient.
        """
        loss: object = self.loss(self.forward(self.model, batch.inputs), batch.targets)
        if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point():
            kind = f"{in_words(loss)}, {loss.dtype}" if isinstance(loss, Tensor) else in_words(loss)
            raise ConfigError(
                f"loss must return a 0-d tensor of floating point, such as a mean, and it returned {kind}"
            )
        if not loss.requires_grad and torch.is_grad_enabled():
            raise ConfigError(
                "the loss has no gradient: it must be computed from the outputs of the model, without "
                "detach() or no_grad()"
            )
        return loss

    @property
    def why_not_captured(self) -> str:
        """Why the position in the data cannot be captured; empty if it can."""
        return "" if self.stream.can_rewind else _CANNOT_REWIND

    def capture(self) -> dict[str, Any]:
        """Return the data's position, and what of a recipe's data was drawn from the run's seed.

        Data of a person's own is not in it: what goes back to this position must have the same data.

        Raises:
            ConfigError: If the data can only be read on.
        """
        if self.why_not_captured:
            raise ConfigError(self.why_not_captured)
        return {"stream": self.stream.state_dict(), "baseline": self.baseline}

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned.

        Raises:
            ValueError: If it belongs to other data.
        """
        self.stream.load_state_dict(captured["stream"])
        self.baseline = captured["baseline"]

    def validate(self) -> float | None:
        """Return the mean loss on the validation data; no weight, mode or random state changes.

        None without validation data.
        """
        return self._on_validation_data(self.loss)

    def validate_metric(self) -> float | None:
        """Return the metric on the validation data, as `validate` does; None without a metric."""
        return None if self.metric is None else self._on_validation_data(self.metric)

    def validation_batches(self) -> Iterator[Microbatch]:
        """Yield the validation data, from its first microbatch on."""
        given = self.validation
        match given:
            case None:
                return
            case Microbatch():
                yield given
            case tuple():
                yield read_pair(given, device=self.device, unit=self.unit)
            case _:
                for pair in given:
                    yield read_pair(pair, device=self.device, unit=self.unit)

    def _read_validation(self) -> None:
        """Find out now, and not at the hundredth step, what cannot be validated on."""
        given = self.validation
        if isinstance(given, Microbatch | None):
            return
        if isinstance(given, tuple):  # a single pair: it is moved once
            self.validation = read_pair(given, device=self.device, unit=self.unit)
            return
        require_iterable(given, "validation")
        if iter(given) is given:
            raise ConfigError(
                "validation can be read only once (it is a generator or an iterator): give a list, a "
                "DataLoader, or one tuple (inputs, targets)"
            )

    def _on_validation_data(self, measure: Callable[[Any, Any], Tensor]) -> float | None:
        modes = [(module, module.training) for module in self.model.modules()]
        is_kept = isinstance(self.validation, Microbatch)  # a loader draws random numbers whenever it begins
        mean, num_samples = None, 0
        self.model.eval()
        try:
            with torch.no_grad(), nullcontext() if is_kept else kept_random_state(self.device):
                for batch in self.validation_batches():
                    value = float(measure(self.forward(self.model, batch.inputs), batch.targets))
                    num_samples += batch.num_samples
                    share = batch.num_samples / num_samples if num_samples else 1.0
                    mean = value if mean is None else mean + (value - mean) * share
        finally:
            for module, was_training in modes:  # parents first; a frozen part may be in another mode
                if module.training != was_training:
                    module.train(was_training)
        return mean


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError):  # no number, or a tensor of several
        return False


def _require_trainable(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model must be a torch.nn.Module, got {in_words(model)}")
    params = list(model.parameters())
    require_initialised(params)
    if not any(param.requires_grad for param in params):
        there = "its parameters have requires_grad=False" if params else "it has no parameters"
        raise ConfigError(f"the model has no trainable parameters: {there}")


def _require_same_parameters(model: nn.Module, optimizer: object) -> None:
    """Check that the optimizer holds the trainable parameters of this model, and no others."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(
            f"optimizer must be one torch.optim.Optimizer, got {in_words(optimizer)}: a task trains one "
            "model by one loss; a loop with several can be watched by vgrad.watch"
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ConfigError("LBFGS runs the model inside its own step, and this loop does not: take another")
    held = [param for group in optimizer.param_groups for param in group["params"]]
    own = {id(param) for param in model.parameters()}
    num_foreign = sum(id(param) not in own for param in held)
    if num_foreign:
        raise ConfigError(
            f"{num_foreign} of the optimizer's {len(held)} parameters are not the model's: make the "
            "optimizer from model.parameters(), after the model is on its device"
        )
    known = {id(param) for param in held}
    left_out = [
        name for name, param in model.named_parameters() if param.requires_grad and id(param) not in known
    ]
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        raise ConfigError(
            f"the optimizer leaves out trainable parameters ({', '.join(left_out[:_NAMED])}{more}): give "
            "them to it, or freeze them with requires_grad_(False)"
        )


def peek(task: Task) -> Microbatch:
    """Return the next training microbatch without taking it.

    Raises:
        StopIteration: If the data has ended.
        ConfigError: If the data is empty, or yields something else than a pair.
    """
    stream = task.stream
    if isinstance(stream, PairStream):
        return stream.peek()
    state = stream.state_dict()
    try:
        return stream.next()
    finally:
        stream.load_state_dict(state)
