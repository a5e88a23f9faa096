"""Steps and events to test with: plain ones, and any that Hypothesis can think of."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from vgrad.events.step_record import ChainLink, StepRecord

any_float = st.floats(allow_nan=True, allow_infinity=True)
any_float32 = st.floats(allow_nan=True, allow_infinity=True, width=32)


def step_records(num: int, *, first: int = 1, num_layers: int = 3, **changes: Any) -> list[StepRecord]:
    """Plain steps ``first``, ``first + 1`` …"""
    values: dict[str, Any] = {
        "loss": 1.0,
        "lr": 0.1,
        "base_lr": 0.1,
        "grad_norm": 2.0,
        "applied_norm": 1.0,
        "grad_norms": np.ones(num_layers, dtype=np.float32),
        "num_tokens": 8,
        "num_samples": 2,
        "num_microbatches": 1,
        "step_s": 0.5,
        "watch_s": 0.01,
        **changes,
    }
    return [StepRecord(step=step, elapsed_s=0.5 * step, **values) for step in range(first, first + num)]


@st.composite
def records(draw: st.DrawFn, min_size: int = 0) -> list[StepRecord]:
    """Steps of two parts whose chains change now and then, with every value that can occur."""
    num_layers = draw(st.integers(0, 3))
    chains = st.sampled_from([(), (ChainLink("clip", "clip norm 1"),), (ChainLink("noise", "n"),) * 2])
    steps = draw(st.lists(st.tuples(st.integers(0, 1), chains, st.booleans()), min_size=min_size, max_size=8))
    return [
        _any_step(draw, step, part, links if is_measured or not links else (), num_layers)
        for step, (part, links, is_measured) in enumerate(steps, start=1)
    ]


def _any_step(
    draw: st.DrawFn, step: int, part: int, links: tuple[ChainLink, ...], num_layers: int
) -> StepRecord:
    def array(length: int) -> np.ndarray:
        values = draw(st.lists(any_float32, min_size=length, max_size=length))
        return np.array(values, dtype=np.float32)

    counts = st.integers(0, 2**40)
    return StepRecord(
        step=step,
        loss=draw(st.none() | any_float),
        lr=draw(any_float),
        base_lr=draw(any_float),
        grad_norm=draw(any_float),
        applied_norm=draw(any_float),
        grad_norms=array(num_layers),
        num_tokens=draw(counts),
        num_samples=draw(counts),
        num_microbatches=draw(counts),
        elapsed_s=draw(any_float),
        step_s=draw(any_float),
        watch_s=draw(any_float),
        links=links,
        link_norms=draw(st.none()) if draw(st.booleans()) else array(len(links)),
        microbatch_square=draw(any_float),
        skipped=draw(st.booleans()),
        loss_scale=draw(any_float),
        part=part,
    )


def same_record(one: StepRecord, other: StepRecord) -> bool:
    """Whether two steps are equal in every number; NaN equals NaN, and None only None."""
    for field in dataclasses.fields(StepRecord):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if left is None or right is None:
            if left is not right:
                return False
        elif field.name == "links":
            if left != right:
                return False
        elif not np.array_equal(left, right, equal_nan=True):
            return False
    return True
