from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vgrad
from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.recipes.registry import RECIPES, build_task
from vgrad.task import Task
from vgrad.train.model_parts import current, set_structure_, structure_of

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "charlm-rnn": {"hidden": 8, "layers": 2, "seq_len": 12},
    "charlm-lstm": {"hidden": 8, "layers": 2, "seq_len": 12},
    "charlm-gru": {"hidden": 8, "layers": 2, "seq_len": 12},
    "charlm-transformer": {"width": 8, "heads": 2, "layers": 2, "seq_len": 12},
    "depth-sigmoid": {"depth": 4, "width": 64},  # as wide as its input, so that a skip has an effect
    "depth-tanh": {"depth": 4, "width": 64},
    "digits-conv": {"depth": 4, "channels": 4},
}
every_recipe = pytest.mark.parametrize("name", RECIPES)


def build(name: str, **options: Any) -> Task:
    return build_task(RunConfig.make(recipe=name, options=SMALL.get(name, {}) | options), CPU)


def outputs(task: Task) -> Tensor:
    with torch.no_grad():
        out: Tensor = task.model(task.validation.inputs)
    return out


@every_recipe
def test_every_part_is_an_option_of_the_same_name_with_the_same_default(name: str) -> None:
    task = build(name)
    defaults = {
        key.removeprefix("model."): {True: "on", False: "off"}.get(value, value)
        for key, value in RECIPES[name].options.items()
    }
    parts = current(task.model)
    assert parts
    assert set(structure_of(task.model)) == set(parts)
    if name in {"charlm-lstm", "charlm-gru"}:
        assert "activation" not in parts
    for part, value in parts.items():
        assert value == defaults[part]
        assert value in structure_of(task.model)[part]


@every_recipe
def test_a_change_mid_run_equals_a_model_built_that_way(name: str) -> None:
    for part, values in structure_of(build(name).model).items():
        before = outputs(build(name))
        for value in values:
            changed, built = build(name), build(name, **{part: value})
            weights = copy.deepcopy(changed.model.state_dict())
            original = current(changed.model)[part]
            set_structure_(changed.model, part, value)
            built.model.load_state_dict(weights)  # some initial weights follow the activation
            assert current(changed.model) == current(built.model)
            assert torch.equal(outputs(changed), outputs(built))
            assert torch.equal(outputs(changed), before) == (value == original)
            assert all(torch.equal(weights[key], new) for key, new in changed.model.state_dict().items())
            set_structure_(changed.model, part, original)
            assert torch.equal(outputs(changed), before)


@every_recipe
def test_a_run_trains_and_validates_through_every_change(name: str) -> None:
    trainer = vgrad.build(name, options=SMALL.get(name, {}), batch_size=4)
    params = list(trainer.task.model.parameters())
    for part, values in structure_of(trainer.task.model).items():
        for value in values:
            set_structure_(trainer.task.model, part, value)
            before = copy.deepcopy(params)
            trainer.train_step()
            assert not all(torch.equal(old, new) for old, new in zip(before, params, strict=True))
            assert np.isfinite(trainer.validate())
    assert all(old is new for old, new in zip(params, trainer.task.model.parameters(), strict=True))


def test_a_relu_rnn_is_torchs() -> None:
    task = build("charlm-rnn")
    set_structure_(task.model, "activation", "relu")
    rnn = task.model.rnn
    reference = nn.RNN(32, 8, num_layers=2, nonlinearity="relu", batch_first=True)
    assert isinstance(rnn, nn.RNN)
    reference.load_state_dict(rnn.state_dict())
    inputs = torch.randn(3, 5, 32)
    assert torch.equal(rnn(inputs)[0], reference(inputs)[0])


@pytest.mark.parametrize(
    ("name", "part", "value", "message"),
    [
        ("charlm-lstm", "activation", "relu", "no part 'activation'.*it has layer_norm \\(on | off\\)"),
        ("charlm-rnn", "activation", "sigmoid", "activation must be one of tanh, relu, got 'sigmoid'"),
        ("depth-sigmoid", "skip", "yes", "skip must be one of on, off, got 'yes'"),
        ("charlm-transformer", "depth", "3", "no part 'depth'.*activation \\(gelu | relu\\), skip"),
    ],
)
def test_what_cannot_be_changed(name: str, part: str, value: str, message: str) -> None:
    task = build(name)
    before = current(task.model)
    with pytest.raises(ConfigError, match=message):
        set_structure_(task.model, part, value)
    assert current(task.model) == before


def test_anybodys_model_has_no_structure() -> None:
    model = nn.Linear(2, 2)
    assert structure_of(model) == current(model) == {}
    with pytest.raises(ConfigError, match="only a built-in recipe's model"):
        set_structure_(model, "skip", "on")


# The cures of a stack that is stuck, its weights kept.


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [("depth-sigmoid", "activation", "tanh"), ("depth-sigmoid", "skip", "on"), ("depth-tanh", "skip", "on")],
)
def test_a_change_mid_run_cures_a_stack_that_is_stuck(name: str, part: str, value: str) -> None:
    trainer = vgrad.build(name)
    for _ in range(150):
        trainer.advance()
    assert trainer.validate() > 2.25
    set_structure_(trainer.task.model, part, value)
    for _ in range(200):
        trainer.advance()
    assert trainer.validate() < 1.0
    assert trainer.task.validate_metric() < 0.3


# Deep supervision.


@every_recipe
def test_each_layer_predicts_through_the_head(name: str) -> None:
    task = build(name)
    if name == "fp16-underflow":
        assert not hasattr(task.model, "layer_outputs")  # its neck is narrower than its head
        return
    predictions = task.model.layer_outputs(task.validation.inputs)
    num_layers = {"depth-sigmoid": 3, "depth-tanh": 3, "tiny-batch": 3, "digits-conv": 3}.get(name, 2)
    if name in {"article-net", "temporal-order", "adding-gates"}:
        num_layers = 1
    assert len(predictions) == num_layers
    torch.testing.assert_close(predictions[-1], task.model(task.validation.inputs))
    assert all(prediction.shape == predictions[-1].shape for prediction in predictions)
    assert not any(torch.allclose(early, predictions[-1]) for early in predictions[:-1])


def test_a_layers_prediction_is_that_of_the_layers_below_it_alone() -> None:
    deep, shallow = build("charlm-rnn", layers=3), build("charlm-rnn", layers=2)
    shallow.model.load_state_dict(deep.model.state_dict(), strict=False)
    inputs = deep.validation.inputs
    torch.testing.assert_close(deep.model.layer_outputs(inputs)[1], shallow.model(inputs))

    deep, shallow = build("depth-tanh", depth=5, skip=True), build("depth-tanh", depth=3, skip=True)
    shallow.model.load_state_dict(deep.model.state_dict(), strict=False)
    inputs = deep.validation.inputs
    assert torch.equal(deep.model.layer_outputs(inputs)[1], shallow.model(inputs))
