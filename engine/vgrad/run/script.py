"""Runs somebody's training script, unmodified and watched: what ``python -m vgrad`` does.

Whatever breaks in here, the script runs on as if python had started it, and the log says why.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from vgrad.errors import ConfigError
from vgrad.run.child_processes import watch_children
from vgrad.run.main_module import find_program, run
from vgrad.run.script_options import USAGE, read_script_options
from vgrad.run.torchrun import MODULE as TORCHRUN
from vgrad.run.torchrun import ranks_of_torchrun
from vgrad.run.watched_script import BAD_VERDICT, WatchedScript

_BAD_USAGE = 2


def main() -> None:
    """Run what the arguments of this process say."""
    _make_home_absolute()
    try:
        options = read_script_options(sys.argv[1:])
        if options.wants_help:
            sys.stdout.write(USAGE)
            sys.exit()
        if options.summary is not None:
            from vgrad.run.summary import check_summary_path

            check_summary_path(options.summary)
        ranks = ranks_of_torchrun(options)
        if ranks is None:
            program = find_program(options.script, is_module=options.is_module)
        else:
            program = find_program(TORCHRUN, is_module=True)
    except ConfigError as error:
        _refuse(str(error))
    if ranks is not None:
        run(program, ranks.arguments(options.own))
        return
    watched = WatchedScript(options)
    watched.expect_training()
    watch_children(watched)
    try:
        run(program, options.arguments)
        _wait_for_threads()
    except SystemExit as leaving:
        is_own_failure = leaving.code not in {None, 0}
        if watched.finish(leaving if is_own_failure else None):
            sys.exit(BAD_VERDICT)
        raise
    except BaseException as error:
        watched.finish(error)
        raise
    if watched.finish(None):
        sys.exit(BAD_VERDICT)


def _make_home_absolute() -> None:
    """Let a relative ``VGRAD_HOME`` mean the same folder after the script has changed its directory."""
    home = os.environ.get("VGRAD_HOME")
    if home and not home.startswith("~"):
        os.environ["VGRAD_HOME"] = str(Path(home).absolute())


def _wait_for_threads() -> None:
    """Wait for the threads of the script that python, too, waits for at its end."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\ntry: python -m vgrad --help\n")
    sys.exit(_BAD_USAGE)
