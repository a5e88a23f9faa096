from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.events.material import records, same_record, step_records

from vgrad.events.step_block import StepBlock, blocks_of, joined
from vgrad.events.step_record import ChainLink, StepRecord

CLIP = (ChainLink("clip", "clip norm 1"),)


def rows(blocks: tuple[StepBlock, ...]) -> list[StepRecord]:
    return [record for block in blocks for record in block.records()]


@given(records())
def test_steps_come_back_from_blocks_as_they_were(steps: list[StepRecord]) -> None:
    back = rows(blocks_of(steps))
    assert len(back) == len(steps)
    assert all(same_record(one, other) for one, other in zip(steps, back, strict=True))


@given(records())
def test_a_block_has_one_part_and_one_chain(steps: list[StepRecord]) -> None:
    for block in blocks_of(steps):
        assert len({(record.part, record.links) for record in block.records()}) == 1


@given(records(min_size=1), st.data())
def test_what_was_cut_can_be_joined(steps: list[StepRecord], data: st.DataObject) -> None:
    for block in blocks_of(steps):
        cut = data.draw(st.integers(0, len(block)))
        whole = StepBlock.concatenate([block[:cut], block[cut:]])
        assert all(
            same_record(one, other) for one, other in zip(block.records(), whole.records(), strict=True)
        )


@given(records())
def test_joined_blocks_have_the_same_steps_in_as_few_blocks_as_can_be(steps: list[StepRecord]) -> None:
    few = tuple(joined(StepBlock.of([step]) for step in steps))
    assert len(few) == len(blocks_of(steps))
    assert all(same_record(one, other) for one, other in zip(steps, rows(few), strict=True))


def test_a_column_of_one_value_takes_no_memory_when_blocks_are_joined() -> None:
    [block] = blocks_of(step_records(3))

    def constant(num_steps: int, value: float) -> StepBlock:
        step = np.arange(num_steps) + 1
        rows = np.resize(np.arange(len(block)), num_steps)
        return dataclasses.replace(block[rows], step=step, lr=np.broadcast_to(np.float64(value), num_steps))

    same = StepBlock.concatenate([constant(2, math.nan), constant(3, math.nan)])
    assert same.lr.strides == (0,) and np.isnan(same.lr).all() and len(same.lr) == 5
    other = StepBlock.concatenate([constant(2, 0.5), constant(3, 0.25)])
    assert other.lr.tolist() == [0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_loss_that_is_not_known_is_not_nan() -> None:
    [first, second] = step_records(2, loss=None)[:1] + step_records(2, loss=math.nan)[1:]
    [block] = blocks_of([first, second])
    unknown, broken = block.records()
    assert unknown.loss is None
    assert broken.loss is not None
    assert math.isnan(broken.loss)


def test_what_readers_share_cannot_be_written_to() -> None:
    [block] = blocks_of(step_records(5))
    for shared in (block, block[1:], StepBlock.concatenate([block[:2], block[2:]])):
        with pytest.raises(ValueError, match="read-only"):
            shared.loss[0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            next(shared.records()).grad_norms[0] = 1.0


def test_steps_that_differ_in_part_chain_or_layers_are_no_block() -> None:
    step, later = step_records(2)
    others = [
        dataclasses.replace(later, part=1),
        dataclasses.replace(later, links=CLIP, link_norms=np.ones(1, dtype=np.float32)),
        dataclasses.replace(later, grad_norms=np.ones(7, dtype=np.float32)),
    ]
    for other in others:
        with pytest.raises(ValueError, match="one part and one chain"):
            StepBlock.of([step, other])
        with pytest.raises(ValueError, match="can be joined"):
            StepBlock.concatenate([StepBlock.of([step]), StepBlock.of([other])])
        assert len(blocks_of([step, other])) == 2
    with pytest.raises(ValueError, match="one or more"):
        StepBlock.of([])


def test_every_field_of_a_record_is_a_column() -> None:
    columns = {field.name for field in dataclasses.fields(StepBlock)} - {"loss_known"}
    assert columns == {field.name for field in dataclasses.fields(StepRecord)}
