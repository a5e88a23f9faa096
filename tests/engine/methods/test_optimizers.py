from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.methods.optimizers import (
    SGD,
    USUAL_LR,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    OptimizerChoice,
    RMSprop,
    choice_of,
    default_lr,
    make,
)
from vgrad.recipes.registry import build_task

lrs = st.floats(1e-5, 1.0)
decays = st.sampled_from([0.0, 0.01, 0.3])
rates = st.floats(0.0, 0.999)
momenta = st.floats(0.01, 0.99)
epsilons = st.sampled_from([1e-8, 1e-6, 1e-3])

choices = st.one_of(
    st.builds(SGD, lrs, decays),
    st.builds(Momentum, lrs, momenta, decays),
    st.builds(Nesterov, lrs, momenta, decays),
    st.builds(Adam, lrs, rates, rates, epsilons),
    st.builds(AdamW, lrs, decays, rates, rates, epsilons),
    st.builds(RMSprop, lrs, rates, st.one_of(st.just(0.0), momenta)),
)


def by_hand(choice: OptimizerChoice, params: list[Tensor]) -> Optimizer:
    """The constructor call that a reader of torch's manual would write."""
    lr: Any = choice.lr
    match choice:
        case SGD():
            return torch.optim.SGD(params, lr, weight_decay=choice.weight_decay)
        case Momentum():
            return torch.optim.SGD(params, lr, choice.momentum, weight_decay=choice.weight_decay)
        case Nesterov():
            return torch.optim.SGD(
                params, lr, choice.momentum, weight_decay=choice.weight_decay, nesterov=True
            )
        case Adam():
            return torch.optim.Adam(params, lr, (choice.beta1, choice.beta2), choice.eps)
        case AdamW():
            return torch.optim.AdamW(
                params, lr, (choice.beta1, choice.beta2), choice.eps, choice.weight_decay
            )
        case RMSprop():
            return torch.optim.RMSprop(params, lr, choice.alpha, momentum=choice.momentum)


def trained(make_optimizer: Callable[[list[Tensor]], Optimizer], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params: list[Tensor] = [
        nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(), (3,), (4, 5)]
    ]
    optimizer = make_optimizer(params)
    for _ in range(4):
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()
    return params


@given(choices, st.integers(0, 2**31))
def test_each_equals_torch_to_the_bit(choice: OptimizerChoice, seed: int) -> None:
    assert choice.lr is not None
    lr = choice.lr
    ours = trained(lambda params: make(choice, params, lr=lr), seed)
    theirs = trained(lambda params: by_hand(choice, params), seed)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        (Adam(), torch.optim.Adam),
        (AdamW(), torch.optim.AdamW),
        (RMSprop(), torch.optim.RMSprop),
        (SGD(), torch.optim.SGD),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_defaults_are_torchs_own(choice: OptimizerChoice, kind: type[Optimizer]) -> None:
    ours, theirs = make(choice, [torch.zeros(1)], lr=0.5), kind([torch.zeros(1)], lr=0.5)
    assert type(ours) is kind
    assert {**ours.param_groups[0], "params": []} == {**theirs.param_groups[0], "params": []}


@given(choices)
def test_what_is_made_is_described_as_what_it_was_made_from(choice: OptimizerChoice) -> None:
    assert choice.lr is not None
    assert choice_of(make(choice, [torch.zeros(1)], lr=choice.lr)) == choice
    other = 0.5 * choice.lr
    assert choice_of(make(choice, [torch.zeros(1)], lr=other)) == replace(choice, lr=other)


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda p: torch.optim.Adagrad(p, lr=0.1),
        lambda p: torch.optim.Adam(p, amsgrad=True),
        lambda p: torch.optim.Adam(p, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
        lambda p: torch.optim.SGD(p, lr=0.1, maximize=True),
        lambda p: torch.optim.SGD(p, lr=0.0),
        lambda p: torch.optim.RMSprop(p, centered=True),
        lambda p: torch.optim.RMSprop(p, eps=1e-3),
        lambda p: torch.optim.SGD([{"params": [p[0]], "lr": 0.1}, {"params": [p[1]], "lr": 0.2}]),
    ],
    ids=["class", "amsgrad", "L2", "dampening", "maximize", "lr 0", "centered", "eps", "groups"],
)
def test_what_no_value_stands_for_is_not_described(make_optimizer: Callable[[Any], Optimizer]) -> None:
    assert choice_of(make_optimizer([nn.Parameter(torch.zeros(2)) for _ in range(2)])) is None


def test_groups_that_agree_are_described_and_bookkeeping_does_not_count() -> None:
    params = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [param]} for param in params], lr=torch.tensor(0.5), foreach=True)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)  # writes initial_lr into every group
    assert choice_of(optimizer) == SGD(0.5)


def test_describing_changes_nothing() -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))])
    before, rng = repr(optimizer.state_dict()), torch.get_rng_state()
    assert choice_of(optimizer) == Adam(1e-3)
    assert repr(optimizer.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("charlm-rnn", SGD(2.0)),
        ("charlm-transformer", AdamW(3e-3, beta1=0.9, beta2=0.95)),
        ("article-net", SGD(0.01)),
    ],
)
def test_the_recipes_own_optimizers_are_described(recipe: str, expected: OptimizerChoice) -> None:
    task = build_task(RunConfig.make(recipe=recipe, batch_size=2), torch.device("cpu"))
    assert choice_of(task.optimizer) == expected


@given(choices, st.one_of(st.none(), choices))
def test_the_lr_is_its_own_then_that_of_its_family_in_the_recipe_then_the_usual(
    choice: OptimizerChoice, recipe: OptimizerChoice | None
) -> None:
    assert default_lr(choice, recipe) == choice.lr
    without = replace(choice, lr=None)
    same_family = recipe is not None and recipe.family == choice.family
    expected = recipe.lr if recipe is not None and same_family else USUAL_LR[choice.family]
    assert default_lr(without, recipe) == expected


@pytest.mark.parametrize("kind", [SGD, Momentum, Nesterov, Adam, AdamW, RMSprop])
@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, "1", True, 1e7, 10**400])
def test_a_learning_rate_that_makes_no_sense(kind: type[Any], bad: object) -> None:
    with pytest.raises(ConfigError, match="lr must be"):
        kind(lr=bad)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SGD, {"weight_decay": -0.1}, "weight_decay must be finite and >= 0"),
        (SGD, {"weight_decay": math.inf}, "weight_decay must be finite"),
        (AdamW, {"weight_decay": math.nan}, "weight_decay must be finite"),
        (Momentum, {"momentum": 0}, "momentum must be > 0 and < 1, got 0"),
        (Nesterov, {"momentum": 1.0}, "momentum must be > 0 and < 1"),
        (RMSprop, {"momentum": -0.5}, "momentum must be >= 0 and < 1"),
        (RMSprop, {"alpha": math.nan}, "alpha must be"),
        (Adam, {"beta1": 1}, "beta1 must be"),
        (AdamW, {"beta2": "x"}, "beta2 must be a number"),
        (Adam, {"beta2": True}, "beta2 must be a number"),
        (Adam, {"eps": 0.0}, "eps must be > 0"),
    ],
)
def test_settings_that_make_no_sense(kind: type[Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)


def test_whole_numbers_become_floats() -> None:
    assert Adam(1, 0, 0, 1) == Adam(1.0, 0.0, 0.0, 1.0)
    assert isinstance(Adam(1, 0, 0, 1).beta1, float)


@pytest.mark.parametrize(
    "module",
    [
        *("methods.optimizers", "methods.schedules", "methods.precision", "methods.sam"),
        *("methods.deep_supervision", "gradcheck.check", "measure.noise_scale", "measure.depth_profile"),
    ],
)
def test_values_load_no_torch(module: str) -> None:
    code = f"import sys, vgrad.{module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
