"""The journal of a run: every command and event, with the time at which it happened in the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vgrad.controls.wording import describe, describe_refusal
from vgrad.events.notices import (
    CheckpointFailed,
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    LayersChanged,
    LoopNoted,
    Preparing,
    RankReported,
    RecordingChanged,
    RunEnded,
    RunStarted,
    VerdictChanged,
)
from vgrad.store.size_limit import size_words

if TYPE_CHECKING:
    from vgrad.events.notices import Notice
    from vgrad.events.run_info import RunInfo

_MAX_ENTRIES = 10_000

Kind = Literal["applied", "rejected", "verdict", "run"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal.

    Attributes:
        time_s: When it happened in the engine, Unix time in seconds.
        step: The step that it belongs to.
        part: The part of the run that it is about.
        kind: What sort of event it is.
        text: What happened, in words.
        command_id: Id of the command that it answers, or None.
        replaces_its_like: Whether it takes the place of such an entry just before it.
    """

    time_s: float
    step: int
    part: int
    kind: Kind
    text: str
    command_id: str | None = None
    replaces_its_like: bool = False

    @property
    def line(self) -> str:
        """The text, and before it the part that it is about, unless that is the first."""
        return f"part {self.part}: {self.text}" if self.part else self.text

    def repeats(self, other: Entry) -> bool:
        """Whether it says of another part what ``other`` has said of one, in answer to the same command."""
        is_same_answer = self.command_id is not None and self.command_id == other.command_id
        return is_same_answer and self.part != other.part and self.text == other.text


def new_journal() -> deque[Entry]:
    """An empty journal, which forgets its oldest entries when it gets long."""
    return deque(maxlen=_MAX_ENTRIES)


def add_to(journal: deque[Entry], entries: Iterable[Entry]) -> None:
    """Add entries to a journal; what is carried out for several parts at one step stands there once.

    Of checkpoints saved by time, one after the other, the newest stays: they come every minute and would hide
    what happened.
    """
    for entry in entries:
        if journal and entry.repeats(journal[-1]):
            continue
        if entry.replaces_its_like and journal and journal[-1].replaces_its_like:
            journal.pop()
        journal.append(entry)


def entry_of(notice: Notice) -> Entry | None:
    """The line that a notice makes in the journal; None for one that makes none."""
    kind: Kind = "run"
    match notice.body:
        case Preparing(what=text) | LoopNoted(text=text):
            pass
        case RunStarted(info=info):
            text = _about_start(info)
        case CommandApplied(step=step, command=command):
            kind, text = "applied", f"{describe(command)}  @ {step:,}"
        case CommandRejected(command=command, reason=reason):
            kind, text = "rejected", describe_refusal(command, reason)
        case GradientsChecked(check=check):
            text = f"gradient check: {check.words()}"
        case VerdictChanged(verdict=verdict):
            kind, text = "verdict", f"{verdict.kind}: {verdict.evidence}"
        case CheckpointSaved() | CheckpointFailed() | RecordingChanged() as news:
            text = _about_record(news)
        case RankReported() | LayersChanged() as news:
            text = _about_processes_or_layers(news)
        case RunEnded(reason=ended, error=error, message=message):
            text = f"{ended}: {why}" if (why := error or message) else ended
        case _:
            return None
    is_by_time = isinstance(notice.body, CheckpointSaved) and notice.body.reason == "time"
    text += _by(notice)
    return Entry(notice.time_s, notice.step, notice.part, kind, text, notice.command_id, is_by_time)


def _by(notice: Notice) -> str:
    return "" if notice.sender is None else f"  by {notice.sender}"


def _about_start(info: RunInfo) -> str:
    seed = "" if info.seed is None else f", seed {info.seed}"
    origin = "" if info.parent is None else f", from step {info.parent.step:,} of {info.parent.run}"
    return f"{info.recipe} started on {info.device}{seed}{origin}"


def _about_processes_or_layers(news: RankReported | LayersChanged) -> str:
    if isinstance(news, RankReported):
        return f"rank {news.rank}: {news.what}"
    num_params = sum(news.info.layer_sizes)
    return f"{len(news.info.layers):,} layers of {num_params:,} parameters from now on"


def _about_record(news: CheckpointSaved | CheckpointFailed | RecordingChanged) -> str:
    if isinstance(news, RecordingChanged):
        if news.place is not None:
            return f"recorded in {news.place}"
        return "recording goes on" if news.problem is None else f"not recorded: {news.problem}"
    if isinstance(news, CheckpointFailed):
        return f"no checkpoint @ {news.step:,}: {news.reason}"
    kept = f"{len(news.kept_steps)} kept, " if news.kept_steps else ""
    sizes = f"{size_words(news.num_bytes)}; {kept}{size_words(news.kept_bytes)}"
    if news.max_bytes is not None:
        sizes += f" of at most {size_words(news.max_bytes)}"
    if news.num_dropped:
        sizes += f"; {news.num_dropped} older deleted, beyond that size (VGRAD_MAX_CHECKPOINTS_GIB)"
    return f"checkpoint @ {news.step:,}: {sizes}"
