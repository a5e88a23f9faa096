"""Sums over the ranks that hold the pieces of one optimizer's gradients, which end on all ranks together.

A sum is a collective. If one rank stopped reading its gradients, because of an error, the others would wait
for it in the next sum. So every sum also says how many ranks have left, and a rank that leaves enters one
more to say it: the sum that the others are waiting in, or that of the next step. All of them learn it there,
and enter no other. Any sum can be that one, for all have the same size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.errors import VgradError
from vgrad.gradients.sharded import groups_of, is_sharded, local_piece

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASYNCHRONOUS = ("cuda", "xpu")
_SHARDED = "the gradients are sharded over ranks"
_NUM_LEFT = 2  # numbers at the end of every sum: ranks that have left, and the sum of their numbers


class RankLeftError(VgradError):
    """Another rank does not read its gradients any more, so this one cannot read the whole either."""


class RankSums:
    """Adds numbers up over ranks, as long as all of them take part. Belongs to the training thread.

    On a CPU a rank that has left is noticed in the sum in which it says so. On an accelerator it is noticed
    as the next sum begins, so that the host does not wait for the device.

    Args:
        params: All parameters of the optimizer, of which some are DTensors; the same on every rank.

    Attributes:
        groups: The process groups that hold pieces of them, in the same order on every rank.
        is_over: Whether some rank has left, as far as is known here.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        sharded = [param for param in params if is_sharded(param)]
        self.groups = tuple(dict.fromkeys(group for param in sharded for group in groups_of(param)))
        device = local_piece(sharded[0]).device
        self._padding = torch.zeros(len(params), dtype=torch.float64, device=device)
        self._nobody = torch.zeros(_NUM_LEFT, dtype=torch.float64, device=device)
        self._left: tuple[Tensor, Any] | None = None  # as the last sum says, and when that is known
        self.is_over = False
        self._may_come = False  # whether this step may have more sums
        self._num_begun = 0  # sums of this step
        self._num_before: int | None = None  # sums of the step before

    def begin_step(self) -> None:
        """A step begins, which has one sum at least."""
        self._may_come, self._num_begun = True, 0

    def end_reading(self) -> None:
        """This step has no more sums."""
        self._may_come, self._num_before = False, self._num_begun

    @property
    def has_begun(self) -> bool:
        """Whether this step has had a sum, which cannot be repeated on this rank alone."""
        return self._num_begun > 0

    def add_up(self, values: Tensor, is_in: Sequence[Tensor | None]) -> Tensor:
        """Return the sums over the ranks. Every rank must call it; no host waits for a device.

        Args:
            values: As many float64 numbers as there are parameters, or fewer.
            is_in: For each of `groups`, which numbers are added up over it; None for all.

        Raises:
            RankLeftError: If another rank has left, or cannot be reached.
        """
        self._require_all()
        self._num_begun += 1
        sums = self._enter(values, is_in, self._nobody)
        if values.is_cpu:
            self._require_all()
        return sums

    def leave_within_step(self, *, is_steered: bool) -> None:
        """An error has ended the reading: say so, if the others enter another sum in this step.

        Args:
            is_steered: Whether there is a chain of controls, whose links may need sums of their own.
        """
        num = self._num_before if is_steered else 1
        if self._may_come and (num is None or self._num_begun < num):
            self.leave()

    def leave(self) -> None:
        """Enter one more sum, which says that this rank has left; nothing happens if one has left before."""
        try:
            self._require_all()
            left = torch.tensor([1.0, torch.distributed.get_rank()], dtype=torch.float64, device="cpu")
            self._enter(self._padding, [None] * len(self.groups), left.to(self._padding.device))
        except RankLeftError:
            return  # all know it
        finally:
            self.is_over = True

    def _enter(self, values: Tensor, is_in: Sequence[Tensor | None], left: Tensor) -> Tensor:
        num = len(values)
        try:
            for group, mask in zip(self.groups, is_in, strict=True):
                total = torch.cat((values, self._padding[num:], left))
                torch.distributed.all_reduce(total, group=group)
                left = total[-_NUM_LEFT:]  # what one group knows, the next one hears, too
                values = total[:num] if mask is None else torch.where(mask, total[:num], values)
        except RuntimeError as error:
            self.is_over = True
            raise RankLeftError(f"the other ranks cannot be reached: {error}") from error
        except BaseException:  # Ctrl-C while it waits
            self.is_over = True
            raise
        self._left = _on_its_way(left)
        return values

    def _require_all(self) -> None:
        """Check that nobody has left, as the last sum says.

        Raises:
            RankLeftError: If somebody has.
        """
        if self._left is not None and not self.is_over:
            left, event = self._left
            if event is not None:
                event.synchronize()
            num, numbers = left.tolist()
            self._left = None
            if num:
                self.is_over = True
                who = f"rank {round(numbers / num)}" if num == 1 else "another rank"
                raise RankLeftError(f"{_SHARDED}, and {who} is not watched any more")
        if self.is_over:
            raise RankLeftError(f"{_SHARDED}, and not all of these are watched any more")


def _on_its_way(left: Tensor) -> tuple[Tensor, Any]:
    """A copy for the host, and the event to wait for before it is read; None where it is there."""
    if left.device.type not in _ASYNCHRONOUS:
        return left.cpu(), None
    copy = torch.empty(left.shape, dtype=left.dtype, device="cpu", pin_memory=True)
    copy.copy_(left, non_blocking=True)
    event = torch.Event(device=left.device)
    event.record()
    return copy, event
