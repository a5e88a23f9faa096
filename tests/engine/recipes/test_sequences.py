"""The generated sequence tasks hold what they say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recipes.building import build

from vgrad.errors import ConfigError
from vgrad.recipes.data.sequences import adding, temporal_order


def draw_source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_sequence_holds_its_task() -> None:
    with pytest.raises(ConfigError, match="seq_len must be a whole number from 10 to 4096, got 9"):
        build("temporal-order", options={"seq_len": 9})
    with pytest.raises(ConfigError, match="from 2 to 4096, got 1"):
        build("adding-gates", options={"seq_len": 1})


@given(seq_len=st.integers(10, 120), seed=st.integers(0, 999))
def test_temporal_order_tells_the_class_by_two_symbols_in_their_places(seq_len: int, seed: int) -> None:
    symbols, classes = temporal_order(seq_len)(40, draw_source(seed))
    assert symbols.shape == (40, seq_len)
    tenth, half = seq_len // 10, seq_len // 2
    for row, answer in zip(symbols.tolist(), classes.tolist(), strict=True):
        places = [t for t, symbol in enumerate(row) if symbol < 2]
        assert len(places) == 2
        assert tenth <= places[0] < 2 * tenth
        assert half <= places[1] < half + tenth
        assert answer == 2 * row[places[0]] + row[places[1]]
        assert set(row) <= set(range(6))


def test_temporal_orders_classes_are_equally_likely() -> None:
    _, classes = temporal_order(30)(8000, draw_source(0))
    assert (classes.bincount(minlength=4) - 2000).abs().max() < 150  # 4 standard deviations


@given(seq_len=st.integers(2, 60), seed=st.integers(0, 999))
def test_adding_marks_one_number_in_each_half(seq_len: int, seed: int) -> None:
    inputs, sums = adding(seq_len)(30, draw_source(seed))
    numbers, marks = inputs.unbind(-1)
    half = seq_len // 2
    assert (marks[:, :half].sum(1) == 1).all()
    assert (marks[:, half:].sum(1) == 1).all()
    assert ((numbers >= 0) & (numbers < 1)).all()
    torch.testing.assert_close((numbers * marks).sum(1, keepdim=True), sums)


def test_the_baseline_of_adding_is_a_sixth() -> None:
    _, sums = adding(50)(20_000, draw_source(0))
    assert (sums - 1).square().mean().item() == pytest.approx(1 / 6, rel=0.03)


@pytest.mark.parametrize("name", ["temporal-order", "adding-gates"])
def test_validation_is_one_set_for_all_seeds(name: str) -> None:
    one, two = build(name, seed=0), build(name, seed=2**63 - 1)
    assert torch.equal(one.validation.inputs, two.validation.inputs)
    assert not torch.equal(one.stream.next().inputs, two.stream.next().inputs)
