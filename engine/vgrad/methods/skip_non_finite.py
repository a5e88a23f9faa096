"""What to do with a step whose gradient is not finite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SkipNonFinite:
    """Drop a step whose accumulated gradient holds NaN or inf, and count it.

    The optimizer gets no gradient at all, so weights, momentum and weight decay stay as they are.
    The data moves on. On an accelerator the check waits for the device once a step, as
    ``torch.amp.GradScaler`` does.
    """
