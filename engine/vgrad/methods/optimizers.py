"""The optimizers that a run can be switched to: frozen values, and torch's optimizers made from them.

Everything that is not a field here has torch's default. An optimizer made in mid-run starts with
empty state: no momentum, no averages.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vgrad.errors import ConfigError
from vgrad.validation import decay_rate, number, positive_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

Family = Literal["sgd", "adaptive"]
"""Whether a step is proportional to the gradient, or hardly depends on its scale."""

USUAL_LR: dict[Family, float] = {"sgd": 1e-2, "adaptive": 1e-3}
"""The learning rate to start with when nothing is known: 1e-3 is torch's default of its adaptive optimizers,
1e-2 what its examples for SGD begin with. Neither was tuned to any recipe."""

MIN_LR, MAX_LR = 1e-12, 1e6


def _check(value: object, **numbers: float) -> None:
    for name, checked in numbers.items():
        object.__setattr__(value, name, checked)


def _lr(lr: object) -> float | None:
    return None if lr is None else positive_float("lr", lr, at_least=MIN_LR, at_most=MAX_LR)


@dataclass(frozen=True, slots=True)
class SGD:
    """Plain gradient descent: ``p -= lr * (g + weight_decay * p)``.

    Args:
        lr: Learning rate, 1e-12 to 1e6; None leaves it to `default_lr`.
        weight_decay: L2 penalty, >= 0.

    Raises:
        ConfigError: If a value makes no sense.
    """

    family: ClassVar[Family] = "sgd"
    lr: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(self, weight_decay=number("weight_decay", self.weight_decay, at_least=0.0))


@dataclass(frozen=True, slots=True)
class Momentum:
    """Gradient descent with momentum: ``v = momentum * v + g; p -= lr * v``.

    A steady gradient moves weights ``1 / (1 - momentum)`` times as far as under `SGD`.

    Args:
        lr: As in `SGD`.
        momentum: In (0, 1).
        weight_decay: As in `SGD`.

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Polyak 1964, in the form of Sutskever et al. 2013 that ``torch.optim.SGD`` documents.
    """

    family: ClassVar[Family] = "sgd"
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(
            self,
            momentum=decay_rate("momentum", self.momentum, may_be_zero=False),
            weight_decay=number("weight_decay", self.weight_decay, at_least=0.0),
        )


@dataclass(frozen=True, slots=True)
class Nesterov:
    """Momentum with a look ahead: ``v = momentum * v + g; p -= lr * (g + momentum * v)``.

    Args:
        lr: As in `SGD`.
        momentum: In (0, 1).
        weight_decay: As in `SGD`.

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """

    family: ClassVar[Family] = "sgd"
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(
            self,
            momentum=decay_rate("momentum", self.momentum, may_be_zero=False),
            weight_decay=number("weight_decay", self.weight_decay, at_least=0.0),
        )


@dataclass(frozen=True, slots=True)
class Adam:
    """Step by the mean gradient over the root of its mean square, both corrected for their start.

    Args:
        lr: As in `SGD`.
        beta1: Decay of the mean, in [0, 1).
        beta2: Decay of the mean square, in [0, 1).
        eps: Added to the root, so that a weight without a gradient does not move; > 0.

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Kingma & Ba 2014, arXiv:1412.6980, algorithm 1.
    """

    family: ClassVar[Family] = "adaptive"
    needs_dense: ClassVar[bool] = True
    lr: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(
            self,
            beta1=decay_rate("beta1", self.beta1),
            beta2=decay_rate("beta2", self.beta2),
            eps=positive_float("eps", self.eps),
        )


@dataclass(frozen=True, slots=True)
class AdamW:
    """`Adam` with weight decay that does not pass through the averages.

    Args:
        lr: As in `SGD`.
        weight_decay: Share of ``lr * p`` taken off at each step, >= 0.
        beta1: As in `Adam`.
        beta2: As in `Adam`.
        eps: As in `Adam`.

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2.
    """

    family: ClassVar[Family] = "adaptive"
    needs_dense: ClassVar[bool] = True
    lr: float | None = None
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(
            self,
            weight_decay=number("weight_decay", self.weight_decay, at_least=0.0),
            beta1=decay_rate("beta1", self.beta1),
            beta2=decay_rate("beta2", self.beta2),
            eps=positive_float("eps", self.eps),
        )


@dataclass(frozen=True, slots=True)
class RMSprop:
    """Step by the gradient over the root of its mean square.

    Args:
        lr: As in `SGD`.
        alpha: Decay of the mean square, in [0, 1).
        momentum: Of the step, in [0, 1).

    Raises:
        ConfigError: If a value makes no sense.

    Source:
        Tieleman & Hinton 2012, lecture 6e of "Neural networks for machine learning".
    """

    family: ClassVar[Family] = "adaptive"
    needs_dense: ClassVar[bool] = True
    lr: float | None = None
    alpha: float = 0.99
    momentum: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _lr(self.lr))
        _check(self, alpha=decay_rate("alpha", self.alpha), momentum=decay_rate("momentum", self.momentum))


OptimizerChoice = SGD | Momentum | Nesterov | Adam | AdamW | RMSprop


def default_lr(choice: OptimizerChoice, recipe: OptimizerChoice | None) -> float:
    """Return the learning rate to use ``choice`` with.

    Its own where it has one. Else the recipe's, if the recipe's optimizer is of the same family
    and its rate therefore means the same; else the family's usual one, `USUAL_LR`: 1e-2 for sgd,
    1e-3 for adaptive ones. The recipe's rate is not corrected for a momentum taken on or off.

    Args:
        choice: The optimizer.
        recipe: What `choice_of` says of the recipe's own optimizer.
    """
    if choice.lr is not None:
        return choice.lr
    if recipe is not None and recipe.family == choice.family and recipe.lr is not None:
        return recipe.lr
    return USUAL_LR[choice.family]


def make(choice: OptimizerChoice, params: Iterable[Tensor], *, lr: float) -> torch.optim.Optimizer:
    """Return torch's optimizer for ``choice``, with empty state.

    Args:
        choice: Which optimizer, and its settings except the learning rate.
        params: The parameters that it trains, in one group.
        lr: Its learning rate, see `default_lr`.
    """
    import torch

    match choice:
        case SGD(weight_decay=decay):
            return torch.optim.SGD(params, lr=lr, weight_decay=decay)
        case Momentum(momentum=momentum, weight_decay=decay):
            return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=decay)
        case Nesterov(momentum=momentum, weight_decay=decay):
            return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=decay, nesterov=True)
        case Adam(beta1=beta1, beta2=beta2, eps=eps):
            return torch.optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps)
        case AdamW(weight_decay=decay, beta1=beta1, beta2=beta2, eps=eps):
            return torch.optim.AdamW(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
        case RMSprop(alpha=alpha, momentum=momentum):
            return torch.optim.RMSprop(params, lr=lr, alpha=alpha, momentum=momentum)


def choice_of(optimizer: torch.optim.Optimizer) -> OptimizerChoice | None:
    """Return the value that `make` would make ``optimizer`` from, with its learning rate as it is now.

    None if there is no such value: another class, groups with settings of their own, or a setting
    that is no field here (``amsgrad``, ``dampening``, ``maximize``, …).
    """
    import torch

    first, *others = (_settings(group) for group in optimizer.param_groups)
    if any(other != first for other in others):
        return None
    candidate = _candidate(optimizer, first)
    if candidate is None:
        return None
    # Made again from the candidate, it must have the same settings, also those that are no fields here.
    twin = make(candidate, [torch.zeros((), device="cpu")], lr=first["lr"])
    return candidate if _settings(twin.param_groups[0]) == first else None


# Settings of how a step is computed. They do not change its result.
_NO_SETTINGS = ("params", "param_names", "initial_lr", "foreach", "fused", "capturable", "differentiable")


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in group.items() if name not in _NO_SETTINGS}
    lr = settings.get("lr")  # none where an optimizer works it out itself
    return settings if lr is None else settings | {"lr": float(lr)}


def _candidate(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> OptimizerChoice | None:
    """The choice that comes nearest to ``optimizer``, by its class and those settings that are fields."""
    import torch

    settings = {name: group[name] for name in group if name != "betas"}
    settings |= dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
    kinds: dict[type[torch.optim.Optimizer], type[OptimizerChoice]] = {
        torch.optim.SGD: Nesterov if group.get("nesterov") else Momentum if group.get("momentum") else SGD,
        torch.optim.Adam: Adam,
        torch.optim.AdamW: AdamW,
        torch.optim.RMSprop: RMSprop,
    }
    kind = kinds.get(type(optimizer))
    if kind is None:
        return None
    known = {field.name for field in fields(kind)}
    try:
        return kind(**{name: value for name, value in settings.items() if name in known})
    except ConfigError:  # torch takes settings that a choice refuses, such as lr=0
        return None
