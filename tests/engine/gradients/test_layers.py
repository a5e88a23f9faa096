from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgrad.errors import ConfigError
from vgrad.gradients.layers import Layers, find_layers


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.inner = nn.Linear(3, 3)


def test_a_weight_and_its_bias_are_one_layer_under_the_modules_name() -> None:
    layers = find_layers(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))
    )
    assert layers.names == ("0", "2", "3")
    assert layers.sizes == (16, 8, 8)


def test_a_recurrent_module_gives_a_layer_per_parameter() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(7, 3), "rnn": nn.RNN(3, 5), "head": nn.Linear(5, 7)})
    names = find_layers(model).names
    assert names == (
        "embed",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
        "head",
    )


def test_a_shared_weight_counts_once_where_it_first_appears() -> None:
    layers = find_layers(Tied())
    assert layers.names == ("embed", "norm")
    assert len(layers.params) == len({id(param) for param in layers.params}) == 3


def test_a_parameter_of_the_model_itself_has_its_own_name() -> None:
    assert find_layers(Scaled()).names == ("gain", "inner")


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(requires_grad=False)
    model[1].bias.requires_grad_(requires_grad=False)
    layers = find_layers(model)
    assert layers.names == ("1",)
    assert layers.sizes == (8,)


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="no trainable parameters"):
        find_layers(nn.Linear(2, 2).requires_grad_(requires_grad=False))


def test_every_trainable_parameter_belongs_to_exactly_one_layer() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16)
    layers = find_layers(model)
    grouped = [param for index in range(len(layers.names)) for param in layers.params_of(index)]
    assert [id(param) for param in grouped] == [id(param) for param in layers.params]
    assert {id(param) for param in grouped} == {id(param) for param in model.parameters()}
    assert sum(layers.sizes) == sum(param.numel() for param in model.parameters())
    assert len(set(layers.names)) == len(layers.names)


def test_norms_of_parameters_join_into_norms_of_layers() -> None:
    layers = find_layers(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)))
    joined = layers.reduce(np.array([3.0, 4.0, 2.0], dtype=np.float32))
    assert joined.dtype == np.float32
    assert joined.tolist() == [5.0, 2.0]


@given(
    st.integers(1, 60),
    st.sets(st.integers(1, 59), max_size=12),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_the_norms_of_several_steps_join_to_the_same_bits_as_those_of_each(
    num_params: int, starts: set[int], num_steps: int, seed: int
) -> None:
    params = tuple(nn.Parameter(torch.ones(1)) for _ in range(num_params))
    first = np.array([0, *sorted(start for start in starts if start < num_params)])
    names = tuple(map(str, first))
    layers = Layers(names, params, first, (1,) * len(first), tuple(map(str, range(num_params))), frozenset())
    norms = np.float32(10.0) ** np.random.default_rng(seed).uniform(-30, 30, (num_steps, num_params))
    of_steps = layers.reduce(norms.astype(np.float32))
    for row, joined in zip(norms.astype(np.float32), of_steps, strict=True):
        np.testing.assert_array_equal(layers.reduce(row), joined)


def test_joining_neither_overflows_nor_hides_what_is_not_finite() -> None:
    layers = find_layers(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)))
    norms = np.array([3e30, 4e30, 1.0, np.nan, np.inf, 0.0], dtype=np.float32)
    first, second, third = layers.reduce(norms).tolist()
    assert first == pytest.approx(5e30)
    assert np.isnan(second)
    assert third == np.inf


def test_every_parameter_has_the_name_that_the_model_gives_it() -> None:
    for model in (Tied(), Scaled(), nn.RNN(3, 5), nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))):
        layers = find_layers(model)
        assert layers.param_names == tuple(name for name, _ in model.named_parameters())
        assert [id(param) for param in layers.params] == [id(param) for param in model.parameters()]


def last_linear(model: nn.Module) -> set[str]:
    """Names of the parameters of the last linear layer that a gradient can reach."""
    layers = find_layers(model)
    pairs = zip(layers.param_names, layers.params, strict=True)
    return {name for name, param in pairs if param in layers.last_linear}


def test_the_last_linear_layer_is_the_last_that_owns_one_matrix() -> None:
    assert last_linear(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.LayerNorm(2))) == {
        "2.weight",
        "2.bias",
    }
    assert last_linear(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))) == {
        "2.weight",
        "2.bias",
    }
    assert last_linear(nn.Conv2d(1, 2, 3)) == set()


def test_neither_an_embedding_nor_a_recurrent_network_is_a_last_linear_layer() -> None:
    model = nn.ModuleDict({"head": nn.Linear(5, 7), "rnn": nn.RNN(3, 5), "embed": nn.Embedding(7, 3)})
    assert last_linear(model) == {"head.weight", "head.bias"}


def test_an_embedding_tied_to_the_head_counts_as_the_head() -> None:
    assert last_linear(Tied()) == {"embed.weight"}


def test_a_frozen_head_is_still_the_last_linear_layer() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[1].requires_grad_(False)
    assert last_linear(model) == set()


def test_parameters_without_entries_are_in_no_layer_and_lazy_ones_are_refused_in_words() -> None:
    empty = nn.ParameterList([nn.Parameter(torch.ones(0))])
    assert find_layers(nn.ModuleDict({"none": empty, "some": nn.Linear(2, 1)})).names == ("some",)
    with pytest.raises(ConfigError, match="has entries"):
        find_layers(empty)
    with pytest.raises(ConfigError, match="call it on one batch first"):
        find_layers(nn.Sequential(nn.LazyLinear(3)))


def test_a_norm_that_float32_does_not_hold_is_infinite() -> None:
    layers = find_layers(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    assert layers.reduce(np.array([1e200, 1.0, 3.0, 4.0])).tolist() == [np.inf, 5.0]
