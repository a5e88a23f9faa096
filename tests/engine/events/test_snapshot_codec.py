"""Snapshots survive the way through JSON bit by bit, and damage is refused in one way."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.events.material import any_float

from vgrad.controls.controls import Reinit, Set
from vgrad.errors import DataError
from vgrad.events.batch import Snapshot
from vgrad.events.layer_stats import LayerStats
from vgrad.events.snapshot_codec import snapshot_from_data, snapshot_to_data
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict
from vgrad.methods.clip import ClipGradNorm

SNAPSHOT: dict[str, Any] = snapshot_to_data(
    Snapshot(
        LayerStats(
            np.arange(3),
            np.arange(3),
            *(np.ones(3, np.float32) for _ in range(6)),
            np.ones((3, 16), np.float32),
        )
    )
)
STATS = SNAPSHOT["stats"]


def sent(data: object) -> Any:
    """What arrives of ``data`` by way of strict JSON."""
    return json.loads(json.dumps(data, allow_nan=False))


@given(st.integers(1, 3), st.data())
def test_snapshots_come_back_bit_by_bit(num: int, data: st.DataObject) -> None:
    def array(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        values = data.draw(st.lists(st.floats(width=32), min_size=size, max_size=size))
        return np.array(values, dtype=np.float32).reshape(shape)

    stats = LayerStats(np.arange(num), np.arange(num), *(array(num) for _ in range(6)), array(num, 16))
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
        ({"stats": []}, "stats"),
        ({"stats": {**STATS, "measured_step": "AAA"}}, "measured_step"),
        ({"stats": {**STATS, "measured_step": "AAAA"}}, "cut off"),
        ({"stats": {**STATS, "measured_step": "é"}}, "base64"),
        ({"stats": {**STATS, "histogram": "AAAAAA=="}}, "histogram"),
        ({"stats": {**STATS, "measured_step": ""}}, "numbers"),
        ({"time": {"num_layers": "many"}}, "num_layers"),
        ({"verdict": {"kind": 3}}, "kind"),
    ],
)
def test_damage_is_refused_in_words(change: dict[str, object], words: str) -> None:
    assert snapshot_from_data(SNAPSHOT).stats is not None
    with pytest.raises(DataError, match=words):
        snapshot_from_data({**SNAPSHOT, **change})


NAMES = ["version", "stats", "verdict", "time", "norms", "num_layers", *STATS]
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
    with contextlib.suppress(DataError):
        snapshot_from_data({**SNAPSHOT, **data} if like_ours else data)
