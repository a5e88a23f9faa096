"""The judge of the weights that there are now, and the judges of weights that can be brought back."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from vgrad.diagnose.judge import Judge
from vgrad.events.guesses import UNKNOWN, Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from vgrad.controls.controls import Controls
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict


class Judges:
    """Gives re-initialised weights a judge of their own, and old weights their old one back.

    Args:
        info: The run.
        most_undone: Re-initialisations that can be undone.
    """

    def __init__(self, info: RunInfo, most_undone: int) -> None:
        self._info = info
        self._judge = Judge(info)
        self._before: deque[Judge] = deque(maxlen=most_undone)

    @property
    def verdict(self) -> Verdict:
        """The newest verdict on the weights that there are now."""
        return self._judge.verdict

    def observe(
        self,
        record: StepRecord,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None,
        guesses: Guesses = UNKNOWN,
    ) -> Verdict | None:
        """Take one step into account, as `Judge.observe` does."""
        return self._judge.observe(record, stats, controls, time, guesses)

    def forward_ended(self, step: int, loss: Tensor, origin_in_words: Callable[[], str]) -> None:
        """Find out where a loss that is not finite began, while the weights that it began with are there.

        Args:
            step: Number of the step that the microbatch belongs to. The first of its microbatches whose loss
                is not finite counts.
            loss: Of the microbatch, 0-d; one on an accelerator is not waited for, and nothing is found out.
            origin_in_words: Runs the microbatch again and says where it began.
        """
        if self._judge.verdict.kind == "non-finite" or not loss.is_cpu or math.isfinite(loss.item()):
            return
        if step not in self._judge.forward_origins:
            self._judge.forward_origins[step] = origin_in_words()

    def validated(self, step: int, loss: float) -> None:
        """Take a validation loss into account, as `Judge.validated` does."""
        self._judge.validated(step, loss)

    def reinitialised(self) -> None:
        """The weights are others now."""
        self._before.append(self._judge)
        self._judge = Judge(self._info)

    def undone(self) -> None:
        """The weights of before the last re-initialisation are back."""
        self._judge = self._before.pop()

    def capture(self) -> dict[str, Any]:
        """Return what every judge remembers, see `Judge.capture`."""
        return {"judge": self._judge.capture(), "before": [judge.capture() for judge in self._before]}

    def restore_(self, captured: Mapping[str, Any], info: RunInfo) -> None:
        """Go back to what `capture` returned, of the run that ``info`` describes.

        Raises:
            ValueError: If it is no state of judges.
        """
        judges = []
        for each in (*captured["before"], captured["judge"]):
            judge = Judge(info)
            judge.restore_(each)
            judges.append(judge)
        self._info = info
        self._judge = judges.pop()
        self._before = deque(judges, maxlen=self._before.maxlen)
