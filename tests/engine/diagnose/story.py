"""Runs as one makes them up, step by step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vgrad.controls.controls import Controls
from vgrad.diagnose.judge import Judge
from vgrad.events.layer_stats import LayerStats
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord

SIZES = (100, 100, 100)
INFO = RunInfo("toy", "", 0, "cpu", ("first", "middle", "last"), SIZES, "tokens", None, Controls())
KNOWN = replace(INFO, baseline=1.0)
UNTOUCHED = Controls()


class Story:
    """Feeds a judge steps as one makes them up.

    `changes` counts a stall as health, for it is no sickness, and these runs stand still most of the time.
    """

    def __init__(self, controls: Controls = UNTOUCHED, *, info: RunInfo = INFO) -> None:
        self.judge = Judge(info)
        self.controls = controls
        self.step = 0
        self.changes: list[str] = []

    def tell(
        self,
        num_steps: int,
        *,
        loss: float | None = 1.0,
        norm: float = 1.0,
        shares: tuple[float, ...] = (1.0, 1.0, 1.0),
        updates: tuple[float, ...] | None = None,
        lr: float = 0.1,
        num_samples: int = 32,
    ) -> Story:
        for _ in range(num_steps):
            self.step += 1
            norms = np.array(shares, dtype=np.float32) * np.float32(norm / math.sqrt(3))
            record = StepRecord(
                self.step, loss, lr, lr, norm, norm, norms, 1, num_samples, 1, float(self.step), 1.0, 0.0
            )
            verdict = self.judge.observe(
                record, None if updates is None else stats_of(updates), self.controls
            )
            if verdict is not None:
                assert verdict is self.judge.verdict
                assert verdict.evidence
                kind = "healthy" if verdict.kind == "stalled" else verdict.kind
                if self.changes[-1:] != [kind]:
                    self.changes.append(kind)
        return self

    def explode(self, *, loss: float, norm: float, before: float = 1.0) -> Story:
        """A step with a long gradient, and what the loss is after it."""
        return self.tell(1, loss=before, norm=norm).tell(3, loss=loss, norm=norm)

    @property
    def is_well(self) -> bool:
        return self.judge.verdict.kind in ("healthy", "stalled")


def stats_of(updates: tuple[float, ...], zero_share: float = 0.0) -> LayerStats:
    ones = np.ones(len(updates), dtype=np.float32)
    update_ratio = np.array(updates, dtype=np.float32)
    return LayerStats(
        np.zeros(len(updates), dtype=np.int64),
        np.zeros(len(updates), dtype=np.int64),
        ones,
        update_ratio,
        ones,
        zero_share * ones,
        0 * ones,
        0 * ones,
        ones[:, None],
    )
