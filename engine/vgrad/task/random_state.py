"""The global random states: of torch, numpy and Python itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_random_state(device: torch.device | None = None) -> Iterator[None]:
    """Whatever is drawn inside, leave every global random state as it was.

    Args:
        device: An accelerator whose generator counts too. Its state is read, which waits for it.
    """
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  # the global one is the point
    is_away = device is not None and device.type != "cpu"
    try:
        with torch.random.fork_rng(
            devices=[device] if is_away else [], device_type=device.type if device and is_away else "cuda"
        ):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002


def seed_everything(seed: int) -> None:
    """Seed the global random states of torch (every device), numpy and Python."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # it takes 32 bits
