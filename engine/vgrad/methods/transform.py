"""What every gradient transform is: a frozen value, a memory that belongs to the run, one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class GradTransform(ABC):
    """Changes all gradients of one optimizer step in place.

    A subclass is a frozen dataclass with slots that checks itself when made and holds no tensor,
    so that it can be shown, stored and sent. What it learns from step to step is its memory, which
    the run keeps for it: tensors, generators and plain values, and nothing else, so that a
    snapshot can hold it. Its first field is its main setting.

    Nothing is read back to the host, and the global random state is not used.

    Attributes:
        needs_dense: Whether it needs every entry of a gradient. Sparse gradients, of which it would see
            only the entries that are there, and complex ones are then refused.
    """

    needs_dense: ClassVar[bool] = False

    # Not abstract: most transforms learn nothing.
    def start(self, grads: Grads, *, seed: int) -> Any:
        """Return the memory to begin with: None for a transform that learns nothing.

        Called at the first step after the transform was set. The memory is kept while a transform
        of the same class stays set, so that a changed threshold does not forget what was learned.

        Args:
            grads: The gradients of that step, before this transform: device, dtypes and shapes
                are those of the steps to come. Only which weights have one may change.
            seed: Seed of the run, for a generator of its own.
        """
        return None

    def capture(self, memory: Any) -> Any:
        """Return what ``memory`` holds as tensors and plain values in dicts and lists, not copied."""
        return memory

    def restore(self, captured: Any, *, device: torch.device) -> Any:
        """Return the memory on ``device`` that `capture` was given.

        Args:
            captured: As `capture` returned it, perhaps from another device; the memory may keep its tensors.
            device: Where the gradients live.

        Raises:
            ValueError: If this is no memory of such a transform.
        """
        if captured is not None:
            raise ValueError(f"{type(self).__name__} learns nothing, so it has no memory to restore")
        return None

    @abstractmethod
    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Change ``grads`` in place. Called under `torch.no_grad`.

        Args:
            grads: The gradients of this step; their weights are in ``grads.params``.
            memory: What `start` returned; changed in place.
            step: Number of the optimizer step about to be done, from 1.
        """
