"""A whole run, folded from its stream of batches. Screens, summaries and progress all read this one."""

from __future__ import annotations

import math
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from vgrad.controls.controls import CheckGradients
from vgrad.events.batch import Batch
from vgrad.events.notices import (
    Checking,
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    LayersChanged,
    MetricsLogged,
    Preparing,
    RecordingChanged,
    RunEnded,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.step_block import joined
from vgrad.events.totals import Totals
from vgrad.run.journal import add_to, entry_of, new_journal
from vgrad.run.part_history import PartHistory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vgrad.controls.controls import Controls
    from vgrad.diagnose.command_effect import Effect
    from vgrad.events.history import History
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.notices import Notice
    from vgrad.events.rank_stats import RankStats
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict

_MAX_VALIDATIONS = 2_000


class RunHistory:
    """The fold of a run's batches, in memory that does not grow with its steps.

    Events belong to the run; steps, layers, verdicts and controls to its parts. Most runs have one part, so
    the properties speak of one: `shown_part`.

    Attributes:
        parts: By number, each part of which something is known; part 0 is always there.
        shown_part: The part that the properties speak of.
        preparing: What the run is waiting for until it is ready.
        commands: Every command that was carried out, oldest first; once, however many parts it was for.
        rejected: The last answer, if it was a refusal.
        checking: How far a gradient check has come: entries done, and in all.
        checked: The newest gradient check.
        saved_at: Steps of which the whole state is kept, oldest first.
        validations: Steps and losses of the validations, thinned out when they get many.
        journal: Every command and event, oldest first.
        totals: The first and the newest numbers of part 0.
        ranks: The newest numbers of every rank of a training over several processes; else empty.
        not_recorded: Why nothing is recorded now; None where it is, or is not to be.
        ended: The last notice, once training is over.
        num_dropped: Steps that this reader was too slow for.
    """

    def __init__(self) -> None:
        self.parts: defaultdict[int, PartHistory] = defaultdict(PartHistory)
        self.shown_part = 0
        self.parts[0] = PartHistory()
        self.preparing = "importing torch"
        self.commands: list[CommandApplied] = []
        self.rejected: CommandRejected | None = None
        self.checking: Checking | None = None
        self.checked: GradientsChecked | None = None
        self.saved_at: tuple[int, ...] = ()
        self.validations: list[tuple[int, float]] = []
        self.journal = new_journal()
        self.totals = Totals()
        self.ranks: tuple[RankStats, ...] = ()
        self.not_recorded: str | None = None
        self.ended: RunEnded | None = None
        self.num_dropped = 0
        self._answered: str | None = None  # the command that was carried out last

    def take(self, batch: Batch) -> None:
        """Fold a batch in; batches of one reader come in their order."""
        if batch.is_restart:
            self.forget()
        if batch.before is not None:
            self._begin_with(batch.before)
        for notice in batch.notices:
            self._take_notice(notice)
        add_to(self.journal, filter(None, map(entry_of, batch.notices)))
        self.num_dropped += batch.num_dropped
        self.ranks = batch.ranks or self.ranks
        for part, snapshot in batch.snapshots.items():
            self.parts[part].take_snapshot(snapshot)
        before = Batch() if batch.before is None else batch.before
        for norms in (*before.layer_norms, *batch.layer_norms):
            self.parts[norms.part].take_layer_norms(norms)
        blocks = sorted((*before.blocks, *batch.blocks), key=attrgetter("part"))
        for block in joined(blocks):  # each costs as much as hundreds of steps
            self.parts[block.part].take(block)
            if block.part == 0:
                self.totals.observe(block.record(0))
                self.totals.observe(block.record(-1))

    def forget(self) -> None:
        """Begin again; which part is shown stays."""
        shown = self.shown_part
        RunHistory.__init__(self)
        self.shown_part = shown

    def _begin_with(self, before: Batch) -> None:
        """The run goes on from others: their course, up to there, is the beginning of its own."""
        journal, has_seen_them, problem = self.journal, self.info is not None, self.not_recorded
        self.forget()
        self.not_recorded = problem
        for notice in before.notices:
            self._take_notice(notice)
        if not has_seen_them:
            add_to(self.journal, filter(None, map(entry_of, before.notices)))
        add_to(self.journal, journal)

    def _take_notice(self, notice: Notice) -> None:
        match notice.body:
            case Preparing(what=what):
                self.preparing = what
            case RunStarted() | LayersChanged() as start:
                self._take_start(start, notice.part)
            case CommandApplied() | CommandRejected() as answer:
                self._take_answer(answer, notice)
            case CheckpointSaved(step=step, kept_steps=kept):
                self.saved_at = kept or (step,)
            case Validated(step=step, loss=loss):
                self._take_validation(step, loss)
            case Checking() | GradientsChecked() as check:
                self._take_check(check)
            case RecordingChanged(problem=problem):
                self.not_recorded = problem
            case VerdictChanged() | MetricsLogged() as news:
                self.parts[notice.part].take_news(news)
            case RunEnded() as ended:
                self.ended, self.checking = ended, None

    def _take_start(self, start: RunStarted | LayersChanged, part: int) -> None:
        if isinstance(start, RunStarted) and self.parts[part].info is not None:
            # The run was rewound: what follows is of another course. The journal has both.
            journal = self.journal
            RunHistory.__init__(self)
            self.journal = journal
        self.parts[part].start(start.info)

    def _take_answer(self, answer: CommandApplied | CommandRejected, notice: Notice) -> None:
        if isinstance(answer, CommandApplied):
            self._take_applied(answer, notice)
        else:
            self._take_rejected(answer)

    def _take_applied(self, applied: CommandApplied, notice: Notice) -> None:
        if notice.command_id is None or notice.command_id != self._answered:
            self.commands.append(applied)
        self._answered = notice.command_id
        self.rejected = None
        self.parts[notice.part].changed(applied)

    def _take_rejected(self, rejected: CommandRejected) -> None:
        self.rejected = rejected
        if isinstance(rejected.command, CheckGradients):
            self.checking = None

    def _take_check(self, check: Checking | GradientsChecked) -> None:
        if isinstance(check, Checking):
            self.checking = check
        else:
            self.checking, self.checked = None, check

    def _take_validation(self, step: int, loss: float) -> None:
        self.totals.validated(step, loss)
        self.validations.append((step, loss))
        if len(self.validations) > _MAX_VALIDATIONS:
            half = _MAX_VALIDATIONS // 2
            self.validations[:half] = self.validations[:half:2]

    # -- where it stands ---------------------------------------------------------------------

    @property
    def phase(self) -> Literal["preparing", "training", "paused", "done", "stopped", "failed"]:
        """Where the run stands."""
        if self.ended is not None:
            return self.ended.reason
        if self.info is None:
            return "preparing"
        return "paused" if self.controls.paused else "training"

    def time_left_s(self) -> float:
        """Seconds until the last step at the recent speed; NaN when it is not known."""
        if self.info is None or self.info.num_steps is None or self.ended is not None:
            return math.nan
        rate = self.steps_per_s()
        return (self.info.num_steps - self.step) / rate if rate > 0 else math.nan

    @property
    def rewind_steps(self) -> tuple[int, ...]:
        """Steps that the run can be rewound to without training any again, the newest first."""
        first = 0 if self.info is None or self.info.parent is None else self.info.parent.step
        return tuple(sorted({first, *self.saved_at}, reverse=True))

    # -- the part that is shown --------------------------------------------------------------

    @property
    def part(self) -> PartHistory:
        """The part that is shown."""
        return self.parts[self.shown_part]

    @property
    def info(self) -> RunInfo | None:
        """What the part is; None until it is ready."""
        return self.part.info

    @property
    def controls(self) -> Controls:
        """The controls that the engine has confirmed for it."""
        return self.part.controls

    @property
    def applied_at(self) -> Mapping[str, int]:
        """Step at which a command on each topic last took effect on it, see `vgrad.controls.topics`."""
        return self.part.applied_at

    @property
    def marks(self) -> Sequence[tuple[int, str]]:
        """Where commands took effect on it: step and label, oldest first."""
        return self.part.marks

    @property
    def record(self) -> StepRecord | None:
        """Its newest step."""
        return self.part.record

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return 0 if self.record is None else self.record.step

    @property
    def verdict(self) -> Verdict:
        """Its newest verdict."""
        return self.part.verdict

    @property
    def stats(self) -> LayerStats | None:
        """Its newest statistics."""
        return self.part.stats

    @property
    def time(self) -> TimeStats | None:
        """Its newest gradient through time."""
        return self.part.time

    @property
    def num_skipped(self) -> int:
        """Its steps that were dropped because their gradient was not finite."""
        return self.part.num_skipped

    @property
    def losses(self) -> History:
        """The history of its loss, of the steps where that is known."""
        return self.part.losses

    @property
    def layers(self) -> History | None:
        """The history of its layers' gradient norms."""
        return self.part.layers

    @property
    def layer_sizes(self) -> NDArray[np.float64]:
        """Parameters of each of its layers."""
        return self.part.layer_sizes

    def steps_per_s(self) -> float:
        """Recent optimizer steps per second of training, pauses left out; NaN at first."""
        return self.part.speed.steps_per_s()

    def items_per_s(self) -> float:
        """Recent tokens (or samples) per second; NaN at first."""
        return self.part.speed.items_per_s()

    def clipping(self) -> tuple[float, float, float]:
        """Share of recent steps that were clipped, and the median norm before and after it."""
        return self.part.clipping()

    def noise_scale(self) -> tuple[float, str]:
        """The gradient noise scale in samples, and where it is NaN, why it is undetermined."""
        return self.part.noise_scale(self.controls.accumulation_steps)

    def effect(self) -> tuple[tuple[str, ...], Effect] | None:
        """The commands of the last change and what they did to the loss, or None if there were none."""
        return self.part.effect()

    def layer_marks(self) -> NDArray[np.uint8]:
        """A mark for every layer, see `vgrad.diagnose.layer_marks`; empty before the first step."""
        return self.part.layer_marks()
