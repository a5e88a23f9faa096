"""A device is there and can be read back from, or is refused in one line."""

from __future__ import annotations

import pytest
import torch

from vgrad.errors import ConfigError
from vgrad.run.build import find_device


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "auto"])
def test_numbers_come_back_from_a_device_that_was_found(name: str) -> None:
    assert torch.zeros(1, device=find_device(name)).cpu().tolist() == [0.0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("meta", "Cannot copy out of meta tensor"),
        ("xla", "Could not run"),
        ("hpu", "No module named"),
        ("tpu", "torch knows no such device"),
        ("cuda:-1", "torch knows no such device"),
        ("", "torch knows no such device"),
        ("\n" * 500, "torch knows no such device"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused_in_one_short_line(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"cannot be used here: {reason}.*; try --device cpu$") as caught:
        find_device(name)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 170
