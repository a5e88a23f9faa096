"""What one backward pass sees, and the protocol of what supplies it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from vgrad.errors import ConfigError

Unit = Literal["tokens", "samples"]
"""What is counted for the speed, and what the microbatches of a window are weighted by."""


@dataclass(frozen=True, slots=True, eq=False)
class Microbatch:
    """What one backward pass sees.

    Attributes:
        inputs: What the model is called with, on its device: a tensor, or tuples, lists and dicts of them.
        targets: What the task's loss compares the outputs with; of the same kinds.
        num_tokens: Number of target tokens; 0 where the data has none.
        num_samples: Number of samples: sequences, images.
        ends_epoch: Whether the data has now been seen once more; such a batch may be short.
    """

    inputs: Any
    targets: Any
    num_tokens: int
    num_samples: int
    ends_epoch: bool = False


@runtime_checkable
class Stream(Protocol):
    """A supply of microbatches that owns its position and its randomness.

    Nothing of it is hidden in globals, so that a run can be captured, restored and forked.
    """

    @property
    def can_rewind(self) -> bool:
        """Whether `state_dict` holds the position; False for data that can only be read on."""

    def next(self) -> Microbatch:
        """Return the next microbatch.

        Raises:
            StopIteration: If the data has ended; it does not where it can start again.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return the exact position; later draws do not change it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned."""


def read_pair(item: object, *, device: torch.device, unit: Unit, ends_epoch: bool = False) -> Microbatch:
    """Return a pair ``(inputs, targets)`` as a microbatch on ``device``.

    Samples are counted along the first dimension of the first tensor in ``inputs``; tokens are the entries
    of the first tensor in ``targets``.

    Raises:
        ConfigError: If ``item`` is no pair, or holds arrays that are no tensors; says what it is.
    """
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ConfigError(f"data must yield pairs (inputs, targets), and it yielded {in_words(item)}")
    inputs, targets = _moved(item[0], device), _moved(item[1], device)
    counted = first_tensor(inputs)
    labels = first_tensor(targets)
    return Microbatch(
        inputs,
        targets,
        num_tokens=labels.numel() if unit == "tokens" and labels is not None else 0,
        num_samples=len(counted) if counted is not None and counted.dim() else 1,
        ends_epoch=ends_epoch,
    )


def first_tensor(value: object) -> Tensor | None:
    """Return the first tensor in nested tuples, lists and dicts, or None."""
    if isinstance(value, Tensor):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def in_words(value: object) -> str:
    """What ``value`` is, for a message: ``a tensor of shape (64, 10)``."""
    match value:
        case Tensor() | np.ndarray():
            kind = "a tensor" if isinstance(value, Tensor) else "a numpy array"
            return f"{kind} of shape {tuple(value.shape)}"
        case tuple() | list():
            return f"a {type(value).__name__} of {len(value)}"
        case Mapping():
            return f"a dict of {len(value)}"
        case None:
            return "None"
        case _:
            return f"an object of type {type(value).__name__}"


def _moved(value: Any, device: torch.device) -> Any:
    """``value`` with every tensor in it on ``device``; what is neither tensor nor container stays."""
    if isinstance(value, Tensor):
        # From pinned memory the copy need not be waited for; from other memory torch waits by itself.
        return value.to(device, non_blocking=device.type == "cuda")
    if isinstance(value, np.ndarray):
        raise ConfigError(f"data must yield tensors, and it yielded {in_words(value)}: use torch.from_numpy")
    if hasattr(value, "to") and not isinstance(value, type):  # packed sequences, graphs, encodings
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(part, device) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(part, device) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(_moved(part, device) for part in value)
    return value
