"""A script under ``python -m vgrad``, as it is watched: from its first training to its summary."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.ranks.group import this_rank
from vgrad.run.after_import import after_import
from vgrad.run.first_training import before_first_training

if TYPE_CHECKING:
    from vgrad.events.verdict import Verdict
    from vgrad.run.script_options import ScriptOptions
    from vgrad.run.summary import RunSummary
    from vgrad.store.folder import RunFolder
    from vgrad.watching.every_optimizer import EveryOptimizer
    from vgrad.watching.watch import Watch

_log = logging.getLogger("vgrad")

BAD_VERDICT = 3  # exit code where --fail-on has found one of its kinds
_FIRST_OF_ALL = 100  # priority among what `multiprocessing` calls as a child ends


class WatchedScript:
    """Watches a script from its first training on, records it, and sums it up.

    Args:
        options: What was asked for.
        is_child: Whether this is a child process of the script.

    Attributes:
        options: The same.
        is_child: The same.
    """

    def __init__(self, options: ScriptOptions, *, is_child: bool = False) -> None:
        self.options = options
        self.is_child = is_child
        self._watch: Watch | None = None
        self._every: EveryOptimizer | None = None
        self._is_first_rank = True  # of several processes under torchrun, which all run this
        self._is_recording = False
        self._is_finishing = False
        self._evidence: dict[str, str] = {}  # of the verdicts so far, by kind

    @property
    def has_begun(self) -> bool:
        """Whether this process has begun to train."""
        return self._watch is not None

    def expect_training(self) -> None:
        """Wait until the script imports torch and then trains, and watch it from there on."""
        after_import("torch", self._expect_training)

    def go_on_in_child(self) -> None:
        """This process is a child that the script has just forked: what was watched is its parent's."""
        watch, every = self._watch, self._every
        self.is_child, self._is_recording, self._is_finishing = True, False, False
        if watch is None or every is None:
            return  # what waits for the first training waits here, too
        self._watch = self._every = None
        try:
            every.end()
            watch.discard()
        except Exception:  # noqa: BLE001  # the script must not notice
            _log.exception("vgrad cannot watch this child process, which runs on")
            return
        self._expect_training()

    def finish(self, error: BaseException | None) -> bool:
        """The script has ended: report, and write the summary.

        Args:
            error: What ended it, if something did.

        Returns:
            Whether the verdict makes the process fail, which stderr then says. It never does where an
            error has ended the script; of several ranks, the first fails.
        """
        self._is_finishing = True
        self._is_first_rank = self._is_first_rank and this_rank() == 0
        try:
            if self._watch is not None:
                self._watch.close(error)
            if (
                self.is_child
                or not self._is_first_rank
                or (self.options.summary is None and not self.options.fail_on)
            ):
                return False
            summary = self._sum_up(error)
            if self.options.summary is not None:
                summary.write(self.options.summary)
            if error is not None or summary.verdict not in self.options.fail_on:
                return False
            self._say_why(summary.verdict)
            return True
        except Exception:  # noqa: BLE001  # likewise
            _log.exception("vgrad could not sum up this script, which ran to its end")
            return False

    def _expect_training(self) -> None:
        """Torch is there: wait for the first optimizer or backward pass."""
        try:
            before_first_training(self._begin, self._prepare)
        except Exception:  # noqa: BLE001  # likewise
            _log.exception("vgrad cannot watch this script, which runs on")

    def _prepare(self) -> None:
        """Import what `_begin` needs."""
        try:
            import vgrad.watching.every_optimizer
            import vgrad.watching.watch  # noqa: F401  # likewise
        except Exception:  # noqa: BLE001  # `_begin` fails as well, and says why
            return

    def _begin(self) -> None:
        """The script is about to train."""
        try:
            from vgrad.watching.every_optimizer import EveryOptimizer
            from vgrad.watching.watch import Watch

            options = self.options
            title = f"{options.title}-{_process_name()}" if self.is_child else options.title
            watch = Watch(title, controls=options.read_controls(), on_verdict=self._judged)
            self._every = EveryOptimizer(watch, self._record)
            self._every.begin()
            self._watch = watch
            if self.is_child:
                self._expect_end_of_child()
        except Exception:  # noqa: BLE001  # likewise
            _log.exception("vgrad cannot watch this script, which runs on")

    def _record(self) -> None:
        """There is something to record. Of several ranks, the first records the run of all."""
        self._is_first_rank = this_rank() == 0
        if self._is_recording or not (self.options.record and self._is_first_rank) or self._watch is None:
            return
        self._is_recording = True
        from vgrad.run.recording import record_watch, warn

        record_watch(self._watch, folder=self._free_folder(), on_problem=warn)
        if self.is_child and (self.options.summary is not None or self.options.fail_on):
            sys.stderr.write(
                f"vgrad: the child process {_process_name()} trains, and is a run of its own; --summary and"
                " --fail-on are about the process that was started\n"
            )

    def _free_folder(self) -> RunFolder | None:
        """The folder that was made for the run, unless another process of the script has it or had it."""
        if self.options.folder is None:
            return None
        from vgrad.run.detached import has_started
        from vgrad.store.folder import RunFolder

        folder = RunFolder(self.options.folder)
        try:
            folder.lock()
        except ConfigError:
            return None
        if not has_started(folder):
            return folder
        folder.unlock()
        return None

    def _expect_end_of_child(self) -> None:
        """Close the watch as a child of `multiprocessing` ends: it calls no `atexit` function."""
        from multiprocessing.util import Finalize

        Finalize(None, self._finish_child, exitpriority=_FIRST_OF_ALL)

    def _finish_child(self) -> None:
        error = sys.exception()
        is_success = isinstance(error, SystemExit) and error.code in {None, 0}
        self.finish(None if is_success else error)

    def _judged(self, verdict: Verdict) -> None:
        self._evidence[verdict.kind] = verdict.evidence
        is_early = self.options.fail_now and self._is_first_rank and not self._is_finishing
        if is_early and verdict.kind in self.options.fail_on:
            self._say_why(verdict.kind)
            raise SystemExit(BAD_VERDICT)

    def _say_why(self, kind: str) -> None:
        """Say why the exit code is not the script's own; where stderr cannot be written, nothing is lost."""
        evidence = self._evidence.get(kind, "the last loss is not finite")
        with suppress(OSError, ValueError, AttributeError):  # full, closed, None
            sys.stderr.write(f"vgrad: {kind}: {evidence}; exit code {BAD_VERDICT}, as --fail-on asks\n")
            sys.stderr.flush()

    def _sum_up(self, error: BaseException | None) -> RunSummary:
        from dataclasses import replace

        from vgrad.run.run_history import RunHistory
        from vgrad.run.summary import RunSummary

        history = RunHistory()
        if self._watch is not None:
            history.take(self._watch.cursor().take())
        summary = RunSummary.of(history, recipe=self.options.title, seed=None)
        if self._watch is None:  # it has trained nothing
            summary = replace(summary, outcome="done" if error is None else "failed")
        return summary


def _process_name() -> str:
    """What `multiprocessing` calls this child process."""
    from multiprocessing import current_process, parent_process

    return "child" if parent_process() is None else current_process().name
