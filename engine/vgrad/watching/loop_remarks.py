"""What a person should know of a loop's own settings: said in words, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls.catalog import label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vgrad.controls.controls import Controls
    from vgrad.watching.loop_clipping import LoopClipping

CAPTURED = (
    "the loop records its optimizer's step as a CUDA graph: replays of it run no Python, so their steps are"
    " not seen"
)

_IDLE_CALLS = 10  # without effect, in a row, before it is said: one may be a slip at the start


class LoopRemarks:
    """Says of a loop that it clips, that its clipping changes nothing, and what acts twice.

    Args:
        clipping: Knows the clipping that the loop does itself.
    """

    def __init__(self, clipping: LoopClipping) -> None:
        self._clipping = clipping
        self._said: set[object] = set()

    def new(self, controls: Controls, num_passes: int) -> Iterator[str]:
        """What has not been said yet.

        Args:
            controls: What is done to the gradients now.
            num_passes: Backward passes whose gradients the next step adds up; 0 where that is not known.
        """
        clipping = self._clipping
        if clipping.num_acting and self._is_first("acts"):
            which = "before it" if clipping.is_norm_known else "after it, as those before cannot be read"
            yield f"the loop clips its gradients itself ({clipping.label}): norms are those {which}"
        if clipping.num_idle >= _IDLE_CALLS and self._is_first("idle"):
            since = "so far" if not clipping.num_acting else "any more"
            yield (
                f"the loop's own clipping ({clipping.label or 'clip_grad_norm_'}) changes nothing that a step"
                f" applies {since}: {clipping.why_idle}"
            )
        if clipping.num_acting and controls.clip is not None and self._is_first(("clip", controls.clip)):
            yield f"clipped twice: by the loop ({clipping.label}), then by {label('clip', controls.clip)}"
        size = controls.accumulation_steps
        if size > 1 and num_passes > 1 and self._is_first(("accumulate", size, num_passes)):
            yield (
                f"accumulated twice: the loop sums {num_passes} backward passes for each of its steps, and"
                f" {label('accumulate', controls.accumulate)} makes one step of {size} of those,"
                f" so of {num_passes * size} backward passes"
            )

    def _is_first(self, key: object) -> bool:
        is_first = key not in self._said
        self._said.add(key)
        return is_first
