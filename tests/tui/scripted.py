"""A run that follows a script: no thread, no torch, no waiting."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.batches import make_batch

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.controls import Command, Controls, reduce
from vgrad.events.batch import Batch
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import (
    CommandApplied,
    CommandRejected,
    Notice,
    NoticeBody,
    RunEnded,
    RunStarted,
    Validated,
    VerdictChanged,
    new_command_id,
)
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import ChainLink, StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

LINKS = (
    ChainLink("skip_non_finite", "skip non-finite"),
    ChainLink("clip", "clip norm 1"),
    ChainLink("noise", "noise 0.01"),
)
LAYERS = ("embed", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "head")

PLAIN = Capabilities(
    (
        Refusal("omega", "", "this model is not recurrent"),
        *(
            Refusal(part, "", "cannot be changed in this model")
            for part in ("activation", "skip", "layer_norm")
        ),
    )
)
"""What a run of a plain model can use."""


def make_info(layers: tuple[str, ...] = LAYERS, **changes: object) -> RunInfo:
    """A run of these layers."""
    values: dict[str, object] = {
        "recipe": "charlm-rnn",
        "description": "a character RNN",
        "seed": 0,
        "device": "cpu",
        "layers": layers,
        "layer_sizes": tuple(100 * (index + 1) for index in range(len(layers))),
        "unit": "tokens",
        "num_steps": 1000,
        "controls": Controls(),
        "capabilities": PLAIN,
    }
    return RunInfo(**{**values, **changes})  # type: ignore[arg-type]


def make_record(step: int, num_layers: int = len(LAYERS), **changes: object) -> StepRecord:
    """A plausible step, the same for the same number."""
    wave = 1 + 0.5 * math.sin(step / 7)
    norms = np.array([10.0 ** (-(index % 5)) * wave for index in range(num_layers)], dtype=np.float32)
    norm = float(np.linalg.norm(norms))
    values: dict[str, object] = {
        "step": step,
        "loss": 1.5 + 3.2 * math.exp(-step / 150) + 0.05 * math.sin(step * 1.7),
        "lr": 2.0,
        "base_lr": 2.0,
        "grad_norm": norm,
        "applied_norm": norm,
        "grad_norms": norms,
        "num_tokens": 1024,
        "num_samples": 16,
        "num_microbatches": 1,
        "elapsed_s": step * 0.01,
        "step_s": 0.01,
        "watch_s": 0.0001,
    }
    return StepRecord(**{**values, **changes})  # type: ignore[arg-type]


def make_stats(step: int, num_layers: int = len(LAYERS)) -> LayerStats:
    """Statistics that were measured one step after another."""
    measured_step = np.maximum(1, step - np.arange(num_layers)).astype(np.int64)
    return LayerStats(
        measured_step=measured_step,
        entries_step=measured_step,
        weight_norm=np.full(num_layers, 8.0, dtype=np.float32),
        update_ratio=np.full(num_layers, 2e-3, dtype=np.float32),
        grad_max=np.full(num_layers, 0.1, dtype=np.float32),
        zero_share=np.zeros(num_layers, dtype=np.float32),
        underflow_share=np.zeros(num_layers, dtype=np.float32),
        num_non_finite=np.zeros(num_layers, dtype=np.float32),
        histogram=np.tile(np.linspace(0, 0.125, 16, dtype=np.float32), (num_layers, 1)),
    )


def time_stats(step: int, seq_len: int = 40) -> TimeStats:
    """Two recurrent layers, the gradient of one vanishing through time."""
    back = seq_len - 1 - np.arange(seq_len)
    norms = np.stack([10.0 ** (-0.2 * back), 10.0 ** (-0.05 * back)]).astype(np.float32)
    return TimeStats(step, norms, -0.2, float(norms[0, 0]), 0.87, ("rnn.l0", "rnn.l1"))


def records(first: int, last: int, num_layers: int = len(LAYERS)) -> tuple[StepRecord, ...]:
    """Steps ``first`` to ``last``."""
    return tuple(make_record(step, num_layers) for step in range(first, last + 1))


class ScriptedSource:
    """Gives the batches it was told to give, and remembers what was submitted.

    Attributes:
        submitted: Every command, in order.
        next_batch: What the next `drain` returns. An answer in it that carries no id gets that of the
            oldest unanswered command, if it is the same command.
        exception: What ended the run.
        answers: Whether commands are answered at once, as an idle engine would.
    """

    def __init__(
        self, *, answers: bool = False, outlives_screen: bool = False, log: Path | None = None
    ) -> None:
        self.outlives_screen = outlives_screen
        self.log = log
        self.stop_signal: signal.Signals | None = None
        self.submitted: list[Command] = []
        self.exception: BaseException | None = None
        self.closed = False
        self._unanswered: list[tuple[str, Command]] = []
        self.next_batch = make_batch()
        self.answers = answers
        self.started = False
        self.stopped = False
        self.step = 0
        self.controls = Controls()

    def start(self) -> None:
        self.started = True

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        command_id = command_id or new_command_id()
        self.submitted.append(command)
        self._unanswered.append((command_id, command))
        if self.answers:
            self.controls = reduce(self.controls, command)
            self.give(notices=(CommandApplied(self.step + 1, command, self.controls),))
        return command_id

    def drain(self) -> Batch:
        batch, self.next_batch = self.next_batch, make_batch()
        return replace(batch, notices=tuple(map(self._with_id, batch.notices)))

    def _with_id(self, notice: Notice) -> Notice:
        is_answer = isinstance(notice.body, CommandApplied | CommandRejected)
        if not is_answer or notice.command_id is not None or not self._unanswered:
            return notice
        command_id, command = self._unanswered[0]
        if notice.body.command != command:
            return notice
        del self._unanswered[0]
        return replace(notice, command_id=command_id)

    def close(self) -> None:
        self.closed = True

    def stop(self) -> None:
        self.stopped = True

    def join(self, timeout: float | None = None) -> bool:
        return self.stopped

    def give(
        self,
        records: tuple[StepRecord, ...] = (),
        notices: tuple[NoticeBody, ...] = (),
        stats: LayerStats | None = None,
    ) -> None:
        """Add to what the next `drain` returns."""
        if records:
            self.step = records[-1].step
        before, more = self.next_batch, make_batch(records, notices, stats)
        self.next_batch = Batch(
            before.blocks + more.blocks,
            before.notices + more.notices,
            {**before.snapshots, **more.snapshots},
        )


def script(num_steps: int = 300, layers: tuple[str, ...] = LAYERS) -> Iterator[Batch]:
    """The batches of a run up to ``num_steps``, a start and a verdict among them."""
    yield make_batch(notices=(RunStarted(make_info(layers)),))
    for first in range(1, num_steps + 1, 50):
        last = min(first + 49, num_steps)
        notices: tuple[NoticeBody, ...] = (Validated(last, 1.9),)
        if first == 1:
            verdict = Verdict("healthy", "‖g‖ 1.2, first to last layer 0.13")
            notices += (VerdictChanged(20, verdict),)
        yield make_batch(records(first, last, len(layers)), notices, make_stats(last, len(layers)))


def ended(step: int, **changes: object) -> RunEnded:
    """The last word of a run."""
    values: dict[str, object] = {
        "step": step,
        "reason": "done",
        "loss_first": 4.7,
        "loss_last": 1.6,
        "val_loss": 1.7,
        "steps_per_s": 100.0,
    }
    return RunEnded(**{**values, **changes})  # type: ignore[arg-type]
