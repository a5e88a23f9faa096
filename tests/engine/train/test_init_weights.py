from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.measure.hidden_gradients import recurrent_matrices
from vgrad.methods.init_schemes import REINITS
from vgrad.recipes.registry import RECIPES, build_task
from vgrad.train.init_weights import init_weights_, reinit_, seeded

CPU = torch.device("cpu")
WHOLE = [scheme for scheme in REINITS if not scheme.startswith("hh-")]
EYE = torch.eye(128)


def model_of(name: str, **options: Any) -> nn.Module:
    return build_task(RunConfig.make(recipe=name, options=options), CPU).model


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


@pytest.mark.parametrize("name", RECIPES)
def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(name: str) -> None:
    model = model_of(name)
    schemes = REINITS if recurrent_matrices(model) else WHOLE
    params = list(model.parameters())
    for scheme in schemes:
        rng = torch.get_rng_state()
        drawn = []
        for seed in (1, 1, 2):
            reinit_(model, scheme, seed=seed)
            drawn.append(state(model))
        assert torch.equal(torch.get_rng_state(), rng)
        assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])
        assert all(torch.equal(drawn[0][key], drawn[2][key]) for key in drawn[0]) == (scheme == "hh-identity")
        assert all(value.isfinite().all() for value in drawn[0].values())
    assert all(old is new for old, new in zip(params, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["depth-sigmoid", "charlm-transformer"])
def test_torchs_scheme_draws_what_building_the_model_drew_from(name: str) -> None:
    built, again = model_of(name, init="torch") if name == "depth-sigmoid" else model_of(name), model_of(name)
    reinit_(again, "torch", seed=5)
    for (key, old), new in zip(built.state_dict().items(), again.state_dict().values(), strict=True):
        if old.numel() > 2000:
            assert new.std().item() == pytest.approx(old.std().item(), rel=0.05), key
        if "norm" in key:
            assert torch.equal(old, new)


@pytest.mark.parametrize("scheme", ["xavier", "he", "orthogonal", "normal"])
def test_matrices_follow_the_scheme_and_embeddings_and_norms_start_anew(scheme: str) -> None:
    model = model_of("charlm-transformer")
    with torch.no_grad():
        for param in model.parameters():
            param.fill_(7.0)
    reinit_(model, scheme, seed=3)
    assert isinstance(model.norm, nn.LayerNorm)
    assert torch.equal(model.norm.weight, torch.ones(96))
    assert not model.norm.bias.any()
    assert model.get_parameter("embed.weight").std().item() < 1.1
    weight, bias = model.get_parameter("blocks.0.mlp.up.weight"), model.get_parameter("blocks.0.mlp.up.bias")
    assert not bias.any()
    match scheme:
        case "xavier":
            assert weight.abs().max().item() == pytest.approx((6 / (96 + 384)) ** 0.5, rel=1e-3)
        case "he":
            assert weight.std().item() == pytest.approx((2 / 96) ** 0.5, rel=0.02)
        case "normal":
            assert weight.std().item() == pytest.approx(0.1, rel=0.02)
        case "orthogonal":
            torch.testing.assert_close(weight.T @ weight, torch.eye(96), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("scheme", ["hh-orthogonal", "hh-identity"])
def test_recurrent_schemes_touch_the_recurrent_matrices_alone(cell: str, scheme: str) -> None:
    model = model_of("charlm-rnn", cell=cell, layers=2)
    before = state(model)
    reinit_(model, scheme, seed=0)
    matrices = recurrent_matrices(model)
    assert len(matrices) == {"rnn": 2, "lstm": 8, "gru": 6}[cell]
    for _, matrix in matrices:
        assert matrix.shape == (128, 128)
        torch.testing.assert_close(matrix @ matrix.T, EYE, atol=1e-5, rtol=0)
        assert torch.equal(matrix, EYE) == (scheme == "hh-identity")
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == ("weight_hh" not in key)


def test_recurrent_matrices_are_views_named_after_their_parameter() -> None:
    model = nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 4), nn.GRUCell(4, 5))
    found = dict(recurrent_matrices(model))
    assert list(found) == [
        *(f"0.weight_hh_l0[{i}]" for i in range(4)),
        *(f"2.weight_hh[{i}]" for i in range(3)),
    ]
    found["0.weight_hh_l0[1]"].fill_(9.0)
    weight = model.get_parameter("0.weight_hh_l0")
    assert (weight == 9.0).sum() == 16
    assert (weight[4:8] == 9.0).all()
    assert recurrent_matrices(nn.LSTM(3, 4, proj_size=2)) == []


def test_tied_weights_are_drawn_once_and_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 30)
            self.head = nn.Linear(30, 50)
            self.head.weight = self.embed.weight

    model = Tied()
    reinit_(model, "xavier", seed=0)
    assert model.head.weight is model.embed.weight
    assert model.head.weight.abs().max().item() <= (6 / 80) ** 0.5  # it is a product somewhere
    rnn = nn.RNN(4, 4, num_layers=2)
    rnn.weight_hh_l1 = rnn.weight_hh_l0
    assert len(recurrent_matrices(rnn)) == 1


@given(
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    scheme=st.sampled_from(list(REINITS)),
)
def test_every_float_type_and_a_scalar_can_be_drawn(dtype: torch.dtype, scheme: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.RNN(4, 5), nn.PReLU())
    model.register_parameter("scale", nn.Parameter(torch.tensor(3.0)))
    model.to(dtype)
    reinit_(model, scheme, seed=1)
    assert all(param.dtype == dtype and param.isfinite().all() for param in model.parameters())
    assert model.get_parameter("scale").item() == 3.0  # nobody says how it is drawn


def test_a_scheme_needs_a_name_and_a_place() -> None:
    with pytest.raises(ConfigError, match=r"one of torch, xavier, he, .*hh-identity, got 'luck'"):
        reinit_(nn.Linear(2, 2), "luck", seed=0)
    for scheme in ("hh-orthogonal", "hh-identity"):
        with pytest.raises(ConfigError, match="this model has none: it needs an RNN, LSTM or GRU"):
            reinit_(model_of("depth-tanh"), scheme, seed=0)


def test_a_whole_network_is_drawn_as_building_draws_it() -> None:
    """`reinit_` and `init_weights_` mean the same by a name."""
    net = nn.Linear(200, 200)
    for scheme in ("xavier", "he", "normal", "orthogonal"):
        reinit_(net, scheme, seed=4)
        other = nn.Linear(200, 200)
        with seeded(5):
            init_weights_(other, scheme)
        assert net.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.03)
        assert torch.equal(net.bias, other.bias)
