"""Where a NaN began, as far as one step can tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vgrad.diagnose.non_finite_origin import non_finite_in_words
from vgrad.events.step_record import StepRecord

LAYERS = ("first", "middle", "last")


def words(loss: float | None, norms: tuple[float, ...], *, norm: float = math.nan, part: int = 0) -> str:
    record = StepRecord(
        7, loss, 0.1, 0.1, norm, norm, np.array(norms, dtype=np.float32), 1, 1, 1, 1.0, 1.0, 0.0, part=part
    )
    return non_finite_in_words(record, LAYERS)


def test_the_first_layer_in_backward_order_is_named() -> None:
    said = words(1.0, (math.nan, math.inf, 2.0))
    assert "2 of 3 layers" in said
    assert said.endswith("the first in backward order is middle, and last after it is still finite")


@pytest.mark.parametrize(
    ("loss", "norms", "says"),
    [
        (math.nan, (math.nan,) * 3, "it began in the forward pass"),
        (1.0, (math.nan,) * 3, "at the last layer, last, or between it and the loss"),
        (None, (math.nan,) * 3, "the loss is not known"),
        (1.0, (3e38,) * 3, "finite norms of layers were joined"),
    ],
)
def test_what_cannot_be_known_is_said(loss: float | None, norms: tuple[float, ...], says: str) -> None:
    assert says in words(loss, norms)


def test_the_part_is_named_where_there_are_several() -> None:
    assert words(math.nan, (1.0,) * 3, part=1).startswith("at step 7 of part 1 the loss is nan")
