"""Errors inside vgrad are seen in these tests, though the guard would keep them out of a user's step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from vgrad.watching import guard


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_off", True)


@pytest.fixture(autouse=True)
def nothing_left_on_torch() -> Iterator[None]:
    """Whoever closes what he watched finds torch as it was."""
    backward, scale = torch.autograd.backward, torch.amp.GradScaler.scale
    yield
    assert torch.autograd.backward is backward
    assert torch.amp.GradScaler.scale is scale
