"""Runs a config on the screen, and returns its summary once the screen has closed."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

from vgrad.errors import VgradError
from vgrad_tui.terminal.first_frame import first_frame

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.run.resume import Resumption
    from vgrad.run.summary import RunSummary
    from vgrad.store.folder import RunFolder
    from vgrad_tui.terminal.first_frame import FirstFrame

# How long to wait, once the screen has closed, for a training thread that is inside a step.
_GRACE_S = 5.0


def run_app(
    config: RunConfig,
    resumption: Resumption | None = None,
    *,
    record: bool = True,
    frugal: bool = False,
    ascii: bool | None = None,
) -> tuple[RunSummary, int]:
    """Show a run until somebody quits.

    Args:
        config: The run; it starts at once.
        resumption: The recorded run to go on from; its settings are ``config``.
        record: Whether to record it into a folder.
        frugal: Draw seldom, for slow lines.
        ascii: Write nothing but ASCII; None asks the locale.

    Returns:
        The summary of the run, and the exit code: 0, 1 if training failed, 130 after a signal.

    Raises:
        VgradError: If the run could not begin: bad data, or a setting that its recipe refuses.
    """
    _forget_fixed_size()
    with first_frame(config.name) as frame:
        from vgrad.run.recording import recorded
        from vgrad.run.session import Session
        from vgrad.run.summary import RunSummary
        from vgrad_tui.app.app import VgradApp

        _prepare_driver(frame, ascii=ascii)
        session = Session.from_config(config) if resumption is None else resumption.session()
        screen = session.attach()
        app = VgradApp(screen, frugal=frugal)
        with recorded(session, config.name) if record else nullcontext():
            app.run()
            session.stop()
            if app.state.info is not None and not app.leaves_at_once:  # while it prepares nothing is lost
                session.join(_GRACE_S)
    app.state.take(screen.drain())
    screen.close()
    if isinstance(session.exception, VgradError):
        raise session.exception
    summary = RunSummary.of(app.state, recipe=config.recipe, seed=config.seed)
    return summary, 130 if app.was_interrupted else summary.exit_code


def attach_app(folder: RunFolder, *, frugal: bool = False, ascii: bool | None = None) -> int:
    """Show the run in ``folder`` until somebody leaves; the run goes on.

    Args:
        folder: A run of another process, alive or ended.
        frugal: Draw seldom, for slow lines.
        ascii: Write nothing but ASCII; None asks the locale.

    Returns:
        The exit code: 0, or 130 after a signal.

    Raises:
        VgradError: If the folder holds no record that can be read.
    """
    _forget_fixed_size()
    with first_frame(folder.name) as frame:
        from vgrad.store.attached_run import AttachedRun
        from vgrad_tui.app.app import VgradApp

        _prepare_driver(frame, ascii=ascii)
        run = AttachedRun(folder)
        app = VgradApp(run, frugal=frugal)
        app.run()
    run.close()
    return 130 if app.was_interrupted else 0


def _forget_fixed_size() -> None:
    for name in ("COLUMNS", "LINES"):  # exported by some shells; the size would be frozen at theirs
        os.environ.pop(name, None)


def _prepare_driver(frame: FirstFrame, *, ascii: bool | None) -> None:
    from vgrad_tui.terminal.driver import TerminalDriver, wants_ascii

    TerminalDriver.ascii_only = wants_ascii() if ascii is None else ascii
    TerminalDriver.first_frame = frame
