"""The first rank gathers what every rank says of itself, in a thread that training never waits for."""

from __future__ import annotations

import logging
import platform
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vgrad.errors import DataError
from vgrad.events.notices import RankReported
from vgrad.events.rank_stats import RankStats, read_ranks
from vgrad.ranks.process_ends import ProcessEnds
from vgrad.ranks.report import end_key, heard_key, report_key
from vgrad.ranks.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vgrad.events.hub import Hub
    from vgrad.ranks.group import RankGroup, Store

_log = logging.getLogger("vgrad")

_LOOK_S = 0.1
_MISSING_S = 10.0
_SILENT_S = 60.0
_MANY_STEPS = 20  # where these take longer, so long
_ENDING_S = 2.0  # in which the others end after the first rank has
_KEPT_SLOTS = 512
_GONE = "its process has ended without giving a reason: it was killed, ran out of memory, or crashed"


class RankCollector:
    """Gives the hub the numbers of all ranks, and a notice where something is wrong with one.

    Args:
        group: The process group.
        hub: Gets the numbers and the notices.
        num_passed: Returns how many slots the first rank has looked into, see `vgrad.ranks.slots.Slots`.
    """

    def __init__(self, group: RankGroup, hub: Hub, num_passed: Callable[[], int]) -> None:
        self._group = group
        self._hub = hub
        self._num_passed = num_passed
        self._num_forgotten = 0
        self._host = platform.node()
        self._began_s = time.time()
        self._texts: list[bytes] = [b""] * group.size
        self._ranks = [RankStats(rank) for rank in range(group.size)]
        self._problems: list[str] = []
        self._ended: set[int] = set()
        self._first_non_finite: int | None = None
        self._is_silent = False
        self._ends = ProcessEnds()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vgrad-ranks", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> list[str]:
        """What is wrong with ranks, in words, that which was found first at the top."""
        return list(self._problems)

    def close(self) -> None:
        """Wait a moment for the last words of all ranks, and end the thread."""
        self._is_closing.set()
        self._ends.wake()
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._ends.close()

    def _run(self) -> None:
        try:
            store = self._group.connect()
            while not self._is_closing.is_set():
                self._look(store)
                self._forget_slots(store)
                self._ends.wait(_LOOK_S)
            end_s = time.monotonic() + _ENDING_S
            self._look(store)
            while any(map(self._is_expected, self._ranks)) and time.monotonic() < end_s:
                self._ends.wait(_LOOK_S / 10)
                self._look(store)
        except RuntimeError:  # the store is gone: the process that held it has ended, or is about to
            self._ends.wait(_LOOK_S)
            self._report_gone(self._find_gone())

    def _is_expected(self, each: RankStats) -> bool:
        """Whether a rank that does well has not said yet that it has ended."""
        return bool(each.pid) and not each.problem and each.rank not in self._ended

    def _look(self, store: Store) -> None:
        is_news = False
        gone = self._find_gone()  # before their last words are read, so that these are all of them
        for rank, text in enumerate(self._texts):
            key = report_key(rank)
            new = store.get(key) if text or store.check([key]) else b""
            if new and new != text:
                is_news = True
                self._texts[rank] = new
                with suppress(DataError):
                    [said] = read_ranks(new)
                    self._take(replace(said, rank=rank, heard_s=time.time()))
            if rank not in self._ended and store.check([end_key(rank)]):
                self._ended.add(rank)
                words = store.get(end_key(rank)).decode()
                if words:
                    self._report_problem(rank, words)
                store.set(heard_key(rank), "1")
                is_news = True
        self._report_gone(gone)
        self._look_for_missing()
        self._look_for_non_finite()
        self._look_for_silence()
        if is_news:
            self._hub.publish_ranks(tuple(self._ranks))

    def _forget_slots(self, store: Store) -> None:
        """Free the slots that all have passed: no rank of a training in step is that far behind."""
        slots = Slots(store)
        while self._num_forgotten < self._num_passed() - _KEPT_SLOTS:
            slots.forget(self._num_forgotten)
            self._num_forgotten += 1

    def _take(self, said: RankStats) -> None:
        before = self._ranks[said.rank]
        self._ranks[said.rank] = replace(said, problem=before.problem if before.pid else "")

    def _look_for_non_finite(self) -> None:
        """Which rank was the first: the others follow, once the ranks have averaged their gradients."""
        steps = [each.first_non_finite for each in self._ranks if each.first_non_finite is not None]
        first = min(steps, default=None)
        if first is None or (self._first_non_finite is not None and self._first_non_finite <= first):
            return
        if any(each.step < first and self._is_expected(each) for each in self._ranks):
            return  # it may have been the first
        self._first_non_finite = first
        for each in self._ranks:
            if each.first_non_finite == first:
                self._hub.notify(RankReported(first, each.rank, "its own loss or gradient is not finite"))

    def _find_gone(self) -> list[int]:
        """Ranks on this machine whose process has ended, and that have not said so as far as is known."""
        return [
            each.rank
            for each in self._ranks
            if each.host == self._host and self._is_expected(each) and self._ends.has_ended(each.pid)
        ]

    def _report_gone(self, gone: Sequence[int]) -> None:
        """Report which of these ranks have not said how their process has ended."""
        for rank in gone:
            if self._is_expected(self._ranks[rank]):
                self._report_problem(rank, _GONE)
                _log.error("rank %d: %s", rank, _GONE)

    def _look_for_missing(self) -> None:
        """Report which ranks have not been heard of though they should have been."""
        if time.time() - self._began_s < _MISSING_S:
            return
        for each in self._ranks:
            if not each.pid and not each.problem:
                self._report_problem(each.rank, "it is not watched")

    def _look_for_silence(self) -> None:
        """Whether the ranks stand still: one waits for another that does not come."""
        heard = [each for each in self._ranks if each.pid]
        newest_s = max((each.heard_s for each in heard), default=time.time())
        silent_s = time.time() - newest_s
        is_silent = silent_s > max(_SILENT_S, *(_MANY_STEPS * each.step_s for each in heard), 0.0)
        if is_silent and not self._is_silent:
            slowest = min(heard, key=lambda each: each.step)
            ahead = max(each.step for each in heard)
            where = "at the same step" if slowest.step == ahead else f"rank {slowest.rank} is behind"
            words = f"no rank has ended a step for {silent_s:.0f} s: {where}"
            self._hub.notify(RankReported(slowest.step, slowest.rank, words))
        self._is_silent = is_silent

    def _report_problem(self, rank: int, words: str) -> None:
        self._ranks[rank] = replace(self._ranks[rank], problem=words)
        self._problems.append(f"rank {rank}: {words}")
        self._hub.publish_ranks(tuple(self._ranks))  # first: a reader of the notice finds the rank here, too
        self._hub.notify(RankReported(self._ranks[rank].step, rank, words))
