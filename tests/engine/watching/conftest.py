"""Errors inside vgrad are seen in these tests, though the guard would keep them out of a user's step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn.utils import clip_grad

from vgrad.watching import guard
from vgrad.watching.clip_calls import inner_cell


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_off", True)


@pytest.fixture(autouse=True)
def nothing_left_on_torch() -> Iterator[None]:
    """Whoever closes what he watched finds torch as it was."""
    backward, scale = torch.autograd.backward, torch.amp.GradScaler.scale
    cells = [inner_cell(clip_grad._clip_grads_with_norm_), inner_cell(clip_grad.clip_grad_value_)]
    clipping = [cell and cell.cell_contents for cell in cells]
    yield
    assert [cell and cell.cell_contents for cell in cells] == clipping
    assert torch.autograd.backward is backward
    assert torch.amp.GradScaler.scale is scale
