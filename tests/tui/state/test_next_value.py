from __future__ import annotations

import pytest

from vgrad.controls.catalog import find_control
from vgrad.controls.choices import Number
from vgrad.controls.controls import Controls, Set
from vgrad.methods.accumulate import MeanOver, SumOver
from vgrad.methods.clip import ClipGradNorm, ClipGradValue
from vgrad_tui.state import next_value

LR_SCALE = find_control("lr_scale")
assert isinstance(LR_SCALE, Number)


def test_the_ladder_climbs_in_ones_twos_and_fives() -> None:
    clip = ClipGradNorm(0.1)
    seen = []
    for _ in range(6):
        clip = next_value.next_parameter(clip, 1)
        seen.append(clip.max_norm)
    assert seen == [0.2, 0.5, 1.0, 2.0, 5.0, 10.0]


@pytest.mark.parametrize("start", [1e-6, 0.03, 0.5, 0.7, 1.0, 3.3, 999.0, 1e6])
def test_down_after_up_never_ends_above_the_start(start: float) -> None:
    up = next_value.next_parameter(ClipGradValue(start), 1)
    down = next_value.next_parameter(up, -1)
    assert isinstance(up, ClipGradValue) and isinstance(down, ClipGradValue)
    assert down.clip_value <= start <= up.clip_value


def test_the_ladder_ends_at_both_ends() -> None:
    high, low = ClipGradNorm(1.0), ClipGradNorm(1.0)
    for _ in range(100):
        high, low = next_value.next_parameter(high, 1), next_value.next_parameter(low, -1)
    assert (low, high) == (ClipGradNorm(1e-6), ClipGradNorm(1e6))


@pytest.mark.parametrize("start", [1e-30, 1e-9, 1e7, 1e30])
@pytest.mark.parametrize("direction", [1, -1])
def test_beyond_the_ladder_no_key_moves_a_value_the_wrong_way(start: float, direction: int) -> None:
    moved = next_value.next_parameter(ClipGradNorm(start), direction)
    assert (moved.max_norm - start) * direction >= 0


@pytest.mark.parametrize("start", [1e-12, 1e-9, 0.3, 1e6])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_number_is_never_moved_the_wrong_way_nor_out_of_its_range(start: float, direction: int) -> None:
    moved = next_value.next_value(LR_SCALE, start, direction).value
    assert (moved - start) * direction >= 0 and LR_SCALE.least <= moved <= LR_SCALE.most


def test_accumulation_goes_round_upwards_and_ends_at_one_downwards() -> None:
    controls = Controls()
    ups = []
    for _ in range(5):
        command = next_value.next_accumulation(controls, 1)
        controls = Controls(accumulate=command.value)
        ups.append(controls.accumulation_steps)
    assert ups == [2, 4, 8, 16, 1]
    assert next_value.next_accumulation(Controls(accumulate=MeanOver(3)), 1) == Set("accumulate", MeanOver(4))
    assert next_value.next_accumulation(Controls(accumulate=SumOver(1)), -1) == Set("accumulate", SumOver(1))
    assert next_value.next_accumulation(Controls(accumulate=MeanOver(8)), -1) == Set(
        "accumulate", MeanOver(4)
    )


def test_halving_undoes_doubling_exactly() -> None:
    up = next_value.next_value(LR_SCALE, 0.3, 1)
    assert next_value.next_value(LR_SCALE, up.value, -1) == Set("lr_scale", 0.3)


def test_clipping_comes_back_as_it_was() -> None:
    spare = ClipGradValue(0.2)
    assert next_value.toggled_clip(Controls(clip=spare), spare) == Set("clip", None)
    assert next_value.toggled_clip(Controls(), spare) == Set("clip", spare)
