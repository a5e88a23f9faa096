"""Steps and snapshots survive the way through JSON bit by bit, and damage is refused in one way."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.events.material import any_float, records, same_record, step_records

from vgrad.controls.controls import Reinit, Set
from vgrad.errors import DataError
from vgrad.events.batch import Snapshot
from vgrad.events.layer_stats import LayerStats
from vgrad.events.step_block import COLUMN_TYPES, StepBlock, blocks_of
from vgrad.events.step_codec import block_from_data, block_to_data, snapshot_from_data, snapshot_to_data
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict
from vgrad.methods.clip import ClipGradNorm

BLOCK = block_to_data(StepBlock.of(step_records(3)))


def sent(data: object) -> Any:
    """What arrives of ``data`` by way of strict JSON."""
    return json.loads(json.dumps(data, allow_nan=False))


@given(records())
def test_steps_come_back_bit_by_bit(steps: list[StepRecord]) -> None:
    for block in blocks_of(steps):
        back = block_from_data(sent(block_to_data(block)))
        assert all(
            same_record(one, other) for one, other in zip(block.records(), back.records(), strict=True)
        )
        for name in COLUMN_TYPES:
            one, other = getattr(block, name), getattr(back, name)
            if one is None:
                assert other is None
            else:
                assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(st.integers(1, 3), st.data())
def test_snapshots_come_back_bit_by_bit(num: int, data: st.DataObject) -> None:
    def array(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        values = data.draw(st.lists(st.floats(width=32), min_size=size, max_size=size))
        return np.array(values, dtype=np.float32).reshape(shape)

    stats = LayerStats(np.arange(num), *(array(num) for _ in range(6)), array(num, 16))
    time = TimeStats(7, array(num, 5), data.draw(any_float), data.draw(any_float), 1.0, ("a", "b"))
    verdict = Verdict(
        "exploding", "it jumped", (0, 2), (Set("clip", ClipGradNorm(1.0)), Reinit("torch")), "x"
    )
    for snapshot in (Snapshot(stats, verdict, time), Snapshot(), Snapshot(stats), Snapshot(verdict=verdict)):
        back = snapshot_from_data(sent(snapshot_to_data(snapshot)))
        assert back.verdict == snapshot.verdict
        for one, other in ((snapshot.stats, back.stats), (snapshot.time, back.time)):
            if one is None or other is None:
                assert one is other
                continue
            for field in dataclasses.fields(one):
                left, right = getattr(one, field.name), getattr(other, field.name)
                if isinstance(left, np.ndarray):
                    assert (left.dtype, left.shape, left.tobytes()) == (
                        right.dtype,
                        right.shape,
                        right.tobytes(),
                    )
                else:
                    assert left == right or (left != left and right != right)  # noqa: PLR0124  # NaN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 1"),
        ({"version": True}, "version 1"),
        ({"part": -1}, "part"),
        ({"part": True}, "part"),
        ({"links": [["clip"]]}, "links"),
        ({"links": 3}, "links"),
        ({"columns": []}, "columns"),
        ({"columns": {**BLOCK["columns"], "loss": "AAA"}}, "loss"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "loss": "AAAA"}}, "cut off"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "loss": ""}}, "3 numbers"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "loss": "é"}}, "base64"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "step": BLOCK["columns"]["num_tokens"]}}, "increase"),  # type: ignore[dict-item, index]
        ({"columns": {**BLOCK["columns"], "skipped": "BAQE"}}, "0 or 1"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "link_norms": "AAAAAA=="}}, "link_norms"),  # type: ignore[dict-item]
        ({"columns": {**BLOCK["columns"], "grad_norms": "AAAAAA=="}}, "grad_norms"),  # type: ignore[dict-item]
    ],
)
def test_damage_is_refused_in_words(change: dict[str, object], words: str) -> None:
    assert len(block_from_data(BLOCK)) == 3
    with pytest.raises(DataError, match=words):
        block_from_data({**BLOCK, **change})


NAMES = [
    "version",
    "part",
    "links",
    "columns",
    "stats",
    "verdict",
    "time",
    "norms",
    "num_layers",
    *COLUMN_TYPES,
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.text()
    | st.sampled_from(["AAAAAA==", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8), st.booleans())
def test_whatever_another_program_wrote_is_read_or_refused(data: dict[str, object], like_ours: bool) -> None:
    for read in (block_from_data, snapshot_from_data):
        with contextlib.suppress(DataError):
            read({**BLOCK, "stats": None, "verdict": None, "time": None, **data} if like_ours else data)
