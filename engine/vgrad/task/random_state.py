"""The global random state: what layers such as dropout draw from, and anything that a user's code draws."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


def capture_random(device: torch.device) -> dict[str, Any]:
    """Return the state of Python's, numpy's and torch's global generators, and of the one on ``device``."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002  # the global state is wanted here
    return {
        "python": random.getstate(),
        "numpy": {**state, "state": {**state["state"], "key": torch.from_numpy(state["state"]["key"])}},
        "torch": torch.get_rng_state(),
        "device": _device_state(device),
    }


def restore_random_(captured: Mapping[str, Any], device: torch.device) -> None:
    """Go back to what `capture_random` returned.

    Raises:
        ValueError: If it is not the state of these generators.
    """
    state = captured["numpy"]
    random.setstate(captured["python"])
    np.random.set_state({**state, "state": {**state["state"], "key": state["state"]["key"].numpy()}})  # noqa: NPY002
    torch.set_rng_state(captured["torch"])
    if captured["device"] is not None:
        _set_device_state(device, captured["device"])


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, leave every global random state as it was. Waits for an accelerator."""
    captured = capture_random(device)
    try:
        yield
    finally:
        restore_random_(captured, device)


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (on every device), numpy and Python."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # it takes 32 bits


def _device_state(device: torch.device) -> Tensor | None:
    match device.type:
        case "cpu" | "meta":
            return None
        case "mps":
            return torch.mps.get_rng_state()
        case _:
            state: Tensor = torch.get_device_module(device).get_rng_state(device)
            return state


def _set_device_state(device: torch.device, state: Tensor) -> None:
    if device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)
