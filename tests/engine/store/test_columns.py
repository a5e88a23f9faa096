"""Steps come back from bytes as they were, bit for bit, and damaged bytes are refused."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.errors import DataError
from vgrad.events.step_block import COLUMN_TYPES, StepBlock
from vgrad.events.step_record import ChainLink, StepRecord
from vgrad.store import columns
from vgrad.store.columns import DURATIONS, pack_block, unpack_block

any_float = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.just(-0.0) | st.just(0.0)
single = st.floats(width=32)


@st.composite
def blocks(draw: st.DrawFn) -> StepBlock:
    num_layers = draw(st.integers(0, 4))
    num_links = draw(st.none() | st.integers(0, 2))
    links = tuple(ChainLink("clip", draw(st.text(max_size=8))) for _ in range(num_links or 0))
    steps = draw(st.lists(st.integers(1, 10**12), min_size=1, max_size=12, unique=True).map(sorted))
    part = draw(st.integers(0, 9))
    is_constant = draw(st.booleans())
    number = st.just(draw(any_float)) if is_constant else any_float | single

    def row(step: int) -> StepRecord:
        return StepRecord(
            step=step,
            loss=draw(st.none() | number),
            lr=draw(number),
            base_lr=draw(number),
            grad_norm=draw(number),
            applied_norm=draw(number),
            grad_norms=np.array([draw(single) for _ in range(num_layers)], dtype=np.float32),
            num_tokens=draw(st.integers(0, 2**40)),
            num_samples=draw(st.integers(0, 2**40)),
            num_microbatches=draw(st.integers(1, 64)),
            elapsed_s=draw(number),
            step_s=draw(number),
            watch_s=draw(number),
            links=links,
            link_norms=None
            if num_links is None
            else np.array([draw(single) for _ in range(num_links)], dtype=np.float32),
            microbatch_square=draw(number),
            skipped=draw(st.booleans()),
            loss_scale=draw(number),
            part=part,
        )

    return StepBlock.of([row(step) for step in steps])


def bits(block: StepBlock) -> dict[str, object]:
    columns = {name: getattr(block, name) for name in COLUMN_TYPES}
    return {
        "part": block.part,
        "links": block.links,
        **{
            name: None if column is None else (column.dtype, column.shape, column.tobytes())
            for name, column in columns.items()
        },
    }


@given(block=blocks())
def test_what_is_written_is_read_back_bit_for_bit(block: StepBlock) -> None:
    assert bits(unpack_block(pack_block(block))) == bits(block)


@given(block=blocks())
def test_without_the_layers_everything_else_is_there(block: StepBlock) -> None:
    read = unpack_block(pack_block(block, with_layers=False))
    assert read.grad_norms.shape == (len(block), 0)
    expected, found = bits(block), bits(read)
    del expected["grad_norms"], found["grad_norms"]
    assert found == expected


@given(block=blocks())
def test_without_durations_everything_else_is_there(block: StepBlock) -> None:
    read = unpack_block(pack_block(block), with_durations=False)
    expected, found = bits(block), bits(read)
    for name in DURATIONS:
        assert np.isnan(getattr(read, name)).all() and len(getattr(read, name)) == len(block)
        del expected[name], found[name]
    assert found == expected


def example(num_steps: int = 50) -> StepBlock:
    rows = [
        StepRecord(
            step=step, loss=1 / step, lr=0.1, base_lr=0.1, grad_norm=1 / step, applied_norm=1.0,
            grad_norms=np.ones(3, dtype=np.float32), num_tokens=0, num_samples=8, num_microbatches=1,
            elapsed_s=step / 3, step_s=0.01, watch_s=0.001,
        )
        for step in range(1, num_steps + 1)
    ]  # fmt: skip
    return StepBlock.of(rows)


def test_chunks_from_before_the_largest_rate_was_written_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tuple(name for name in columns._IN_ORDER if name != "max_lr")
    with monkeypatch.context() as patched:
        patched.setattr(columns, "_IN_ORDER", before)
        data = pack_block(example(3))
    read = unpack_block(data)
    assert np.isnan(read.max_lr).tolist() == [True] * 3
    assert [record.largest_lr for record in read.records()] == [0.1] * 3


def test_nothing_of_ours_is_unpickled_and_damage_is_refused() -> None:
    data = pack_block(example())
    generator = random.Random(0)
    for _ in range(400):
        damaged = bytearray(data)
        match generator.randrange(3):
            case 0:
                damaged[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            case 1:
                del damaged[generator.randrange(len(data)) :]
            case 2:
                damaged[generator.randrange(len(data))] = generator.randrange(256)
        try:
            read = unpack_block(bytes(damaged))
        except DataError:
            continue
        assert isinstance(read, StepBlock)  # a changed number that still makes sense


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"[]\n", b"{}\nx", b"\x80\x04\x95\n", b'{"steps":1e99,"part":0}\n', b"[" * 10**5 + b"\n"],
)
def test_what_is_none_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        unpack_block(data)


def test_a_header_cannot_ask_for_the_memory_of_the_machine() -> None:
    header = pack_block(example()).partition(b"\n")[0]
    huge = header.replace(b'"steps":50', b'"steps":16777216')
    with pytest.raises(DataError):
        unpack_block(huge + b"\n" + pack_block(example()).partition(b"\n")[2])


def test_a_million_steps_are_small() -> None:
    """Losses and norms that were computed in float32 take about 4 bytes each, and constants none."""
    steps = 20_000
    noise = np.random.default_rng(0).normal(size=steps).astype(np.float32)
    base = example(2)
    columns = {name: np.resize(getattr(base, name), (steps, *getattr(base, name).shape[1:]))
               for name in COLUMN_TYPES if getattr(base, name) is not None}  # fmt: skip
    columns |= {
        "step": np.arange(1, steps + 1),
        "loss": noise.astype(np.float64),
        "grad_norm": np.abs(noise).astype(np.float64),
        "applied_norm": np.abs(noise).astype(np.float64),
        "elapsed_s": np.arange(steps) * 0.01,
        "step_s": np.full(steps, 0.01),
        "watch_s": np.full(steps, 0.001),
    }
    block = StepBlock(part=0, links=(), link_norms=None, **columns)
    assert len(pack_block(block, with_layers=False)) / steps < 20
    assert not math.isnan(block.loss[0])
