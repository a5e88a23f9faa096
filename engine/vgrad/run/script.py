"""Runs somebody's training script, unmodified and watched: what ``python -m vgrad`` does.

Whatever breaks in here, the script runs on as if python had started it, and the log says why.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from vgrad.errors import ConfigError
from vgrad.ranks.group import this_rank
from vgrad.run.after_import import after_import
from vgrad.run.first_training import before_first_training
from vgrad.run.main_module import find_module, find_script, run
from vgrad.run.script_options import USAGE, ScriptOptions, read_script_options

if TYPE_CHECKING:
    from vgrad.events.verdict import Verdict
    from vgrad.run.summary import RunSummary
    from vgrad.watching.watch import Watch

_log = logging.getLogger("vgrad")

BAD_VERDICT = 3  # exit code where --fail-on has found one of its kinds
_BAD_USAGE = 2


def main() -> None:
    """Run what the arguments of this process say."""
    try:
        options = read_script_options(sys.argv[1:])
        if options.wants_help:
            sys.stdout.write(USAGE)
            sys.exit()
        if options.summary is not None:
            from vgrad.run.summary import check_summary_path

            check_summary_path(options.summary)
        program = (find_module if options.is_module else find_script)(options.script)
    except ConfigError as error:
        _refuse(str(error))
    watched = WatchedScript(options)
    after_import("torch", watched.torch_is_imported)
    try:
        run(program, options.arguments)
        _wait_for_threads()
    except SystemExit as leaving:
        is_own_failure = leaving.code not in {None, 0}
        if watched.finish(leaving if is_own_failure else None) and not is_own_failure:
            sys.exit(BAD_VERDICT)
        raise
    except BaseException as error:
        watched.finish(error)
        raise
    if watched.finish(None):
        sys.exit(BAD_VERDICT)


class WatchedScript:
    """What is done about a script: watch it from its first training on, record it, and sum it up.

    Args:
        options: What was asked for.
    """

    def __init__(self, options: ScriptOptions) -> None:
        self._options = options
        self._watch: Watch | None = None
        self._pid = os.getpid()
        self._is_first_rank = True  # of several processes under torchrun, which all run this
        self._is_recording = False
        self._is_finishing = False

    def torch_is_imported(self) -> None:
        """Torch is there: wait for the first optimizer or backward pass."""
        try:
            before_first_training(self._begin)
        except Exception:  # noqa: BLE001  # the script must not notice
            _log.exception("vgrad cannot watch this script, which runs on")

    def finish(self, error: BaseException | None) -> bool:
        """The script has ended: report, and write the summary.

        Args:
            error: What ended it, if something did.

        Returns:
            Whether the verdict is one of those that make the process fail; of several ranks, the first fails.
        """
        if os.getpid() != self._pid:  # a child that the script has forked
            return False
        self._is_finishing = True
        self._is_first_rank = self._is_first_rank and this_rank() == 0
        try:
            if self._watch is not None:
                self._watch.close(error)
            if not self._is_first_rank or (self._options.summary is None and not self._options.fail_on):
                return False
            summary = self._sum_up(error)
            if self._options.summary is not None:
                summary.write(self._options.summary)
            return summary.verdict in self._options.fail_on
        except Exception:  # noqa: BLE001  # likewise
            _log.exception("vgrad could not sum up this script, which ran to its end")
            return False

    def _begin(self) -> None:
        """The script is about to train."""
        try:
            from vgrad.watching.every_optimizer import EveryOptimizer
            from vgrad.watching.watch import Watch

            options = self._options
            watch = Watch(options.title, controls=options.read_controls(), on_verdict=self._judged)
            EveryOptimizer(watch, self._record).begin()
            self._watch = watch
        except Exception:  # noqa: BLE001  # likewise
            _log.exception("vgrad cannot watch this script, which runs on")

    def _record(self) -> None:
        """There is something to record. Of several ranks, the first records the run of all."""
        self._is_first_rank = this_rank() == 0
        if self._is_recording or not (self._options.record and self._is_first_rank) or self._watch is None:
            return
        self._is_recording = True
        from vgrad.run.recording import record_watch, warn
        from vgrad.store.folder import RunFolder

        folder = None if self._options.folder is None else RunFolder(self._options.folder)
        record_watch(self._watch, folder=folder, on_problem=warn)

    def _judged(self, verdict: Verdict) -> None:
        is_early = self._options.fail_now and self._is_first_rank and not self._is_finishing
        if is_early and verdict.kind in self._options.fail_on:
            sys.stderr.write(f"vgrad: {verdict.kind}: {verdict.evidence}\n")
            raise SystemExit(BAD_VERDICT)

    def _sum_up(self, error: BaseException | None) -> RunSummary:
        from dataclasses import replace

        from vgrad.run.run_history import RunHistory
        from vgrad.run.summary import RunSummary

        history = RunHistory()
        if self._watch is not None:
            history.take(self._watch.cursor().take())
        summary = RunSummary.of(history, recipe=self._options.title, seed=None)
        if self._watch is None:  # it has trained nothing
            summary = replace(summary, outcome="done" if error is None else "failed")
        return summary


def _wait_for_threads() -> None:
    """Wait for the threads of the script that python, too, waits for at its end."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\ntry: python -m vgrad --help\n")
    sys.exit(_BAD_USAGE)
