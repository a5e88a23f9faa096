"""Where microbatches come from: windows of a text, shuffled rows, a generator, or a fixed batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vgrad.task import Microbatch

_MAX_DEVICE_BYTES = 256 * 2**20  # a larger text stays on the host, and only its batches travel


class WindowStream:
    """Random contiguous windows of a text, each with the character after each character.

    Args:
        tokens: The text, integers of shape ``(num_tokens,)`` with ``num_tokens > seq_len``.
        seq_len: Characters per window.
        batch_size: Windows per microbatch.
        seed: Seed of the windows' places.
        device: Where the microbatches go.
    """

    can_rewind = True

    def __init__(
        self, tokens: Tensor, *, seq_len: int, batch_size: int, seed: int, device: torch.device
    ) -> None:
        self._checksum = zlib.crc32(tokens.contiguous().cpu().numpy().data)
        if tokens.nbytes <= _MAX_DEVICE_BYTES:
            tokens = tokens.to(device)
        self._windows = _windows(tokens, seq_len)
        self._batch_size = batch_size
        self._device = device
        self._generator = torch.Generator().manual_seed(seed)

    def next(self) -> Microbatch:
        """Return the next windows: inputs and targets int64 of shape ``(batch_size, seq_len)``."""
        starts = torch.randint(len(self._windows), (self._batch_size,), generator=self._generator)
        windows = self._windows[_sent(starts, self._windows.device)]
        return _next_token_batch(_sent(windows, self._device))

    def state_dict(self) -> dict[str, Any]:
        """Return a checksum of the text and the generator's state: windows are drawn independently."""
        return {"generator": self._generator.get_state(), "checksum": self._checksum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned.

        Raises:
            ValueError: If it is a position in another text.
        """
        if state["checksum"] != self._checksum:
            raise ValueError("it is a position in another text")
        self._generator.set_state(state["generator"])


class EpochStream:
    """All rows in a new random order per epoch; the last microbatch of an epoch may be short.

    Args:
        inputs: Shape ``(num_rows, ...)``, on the device where the microbatches are wanted.
        targets: Shape ``(num_rows,)``, on the same device.
        batch_size: Rows per microbatch.
        seed: Seed of the orders.
    """

    can_rewind = True

    def __init__(self, inputs: Tensor, targets: Tensor, *, batch_size: int, seed: int) -> None:
        self._inputs = inputs
        self._targets = targets
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.randperm(len(inputs), generator=self._generator)
        self._position = 0

    def next(self) -> Microbatch:
        """Return the next rows of this epoch, or the first of a new one."""
        if self._position >= len(self._order):
            self._order = torch.randperm(len(self._order), generator=self._generator)
            self._position = 0
        rows = self._order[self._position : self._position + self._batch_size]
        rows = _sent(rows, self._inputs.device)
        self._position += len(rows)
        return Microbatch(
            self._inputs[rows],
            self._targets[rows],
            num_tokens=0,
            num_samples=len(rows),
            ends_epoch=self._position >= len(self._order),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return this epoch's order, the place in it, and the state that gives the next orders."""
        return {
            "order": self._order.clone(),
            "position": self._position,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned.

        Raises:
            ValueError: If it is a position in a data set of another size.
        """
        if state["order"].shape != self._order.shape:
            rows = f"{len(state['order']):,} rows, and this one has {len(self._order):,}"
            raise ValueError(f"it is a position in a data set of {rows}")
        self._order = state["order"].clone()
        self._position = state["position"]
        self._generator.set_state(state["generator"])


Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


class GeneratedStream:
    """Samples that are generated when they are needed, and never repeat.

    Args:
        draw: From ``(num_samples, generator)`` to inputs and targets on the CPU; random by the
            generator alone.
        batch_size: Samples per microbatch.
        seed: Seed of the samples.
        device: Where the microbatches go.
    """

    can_rewind = True

    def __init__(self, draw: Draw, *, batch_size: int, seed: int, device: torch.device) -> None:
        self._draw = draw
        self._batch_size = batch_size
        self._device = device
        self._generator = torch.Generator().manual_seed(seed)

    def next(self) -> Microbatch:
        """Return the next samples."""
        inputs, targets = self._draw(self._batch_size, self._generator)
        return Microbatch(
            _sent(inputs, self._device),
            _sent(targets, self._device),
            num_tokens=0,
            num_samples=self._batch_size,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned."""
        self._generator.set_state(state["generator"])


class ConstantStream:
    """The same microbatch again and again: the data has no order and no epochs.

    Args:
        batch: The microbatch, drawn from the run's seed; restoring another run's writes into its tensors.
    """

    can_rewind = True

    def __init__(self, batch: Microbatch) -> None:
        self._batch = batch

    def next(self) -> Microbatch:
        """Return the microbatch."""
        return self._batch

    def state_dict(self) -> dict[str, Any]:
        """Return the microbatch itself: there is no position, but another seed draws another one."""
        return {"inputs": self._batch.inputs.clone(), "targets": self._batch.targets.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the same microbatch as `state_dict` returned, here and wherever it is used."""
        self._batch.inputs.copy_(state["inputs"])
        self._batch.targets.copy_(state["targets"])


def even_windows(tokens: Tensor, seq_len: int, *, at_most: int = 128) -> Microbatch:
    """Return up to ``at_most`` evenly spaced windows of a text, always the same ones.

    128 windows of 64 characters give the built-in text's loss to within 0.05 nats of all of it,
    in some tens of milliseconds.
    """
    windows = _windows(tokens, seq_len)
    starts = torch.linspace(0, len(windows) - 1, min(at_most, len(windows))).long()
    return _next_token_batch(windows[starts])


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, in stream order and without waiting for the steps already queued there.

    Only from pinned memory does a copy run by itself; torch keeps that memory until the copy is done.
    """
    if not tensor.is_cpu or device.type != "cuda":  # "cuda" and "cuda:0" differ and are the same place
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _windows(tokens: Tensor, seq_len: int) -> Tensor:
    """All windows with one character to spare, ``(num_tokens - seq_len, seq_len + 1)``: a view."""
    return tokens.unfold(0, seq_len + 1, 1)


def _next_token_batch(windows: Tensor) -> Microbatch:
    windows = windows.long()
    inputs, targets = windows[:, :-1], windows[:, 1:]
    return Microbatch(inputs, targets, num_tokens=targets.numel(), num_samples=len(windows))
