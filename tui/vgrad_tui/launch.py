"""Opens the screen: on a run of this process, on one of another process, or on a recording."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from vgrad.errors import VgradError
from vgrad.run.output import Output
from vgrad_tui.terminal.first_frame import first_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.config import RunConfig
    from vgrad.run.resume import Resumption
    from vgrad.run.summary import RunSummary
    from vgrad.store.attached_run import AttachedRun
    from vgrad.store.folder import RunFolder
    from vgrad.store.replayed_run import ReplayedRun
    from vgrad_tui.app.app import VgradApp
    from vgrad_tui.app.replay_app import ReplayApp
    from vgrad_tui.terminal.first_frame import FirstFrame

# How long to wait, once the screen has closed, for a training thread that is inside a step.
_GRACE_S = 5.0
_SWITCH_S = 0.0005  # between two threads: at the usual 5 ms a thread that reads waits longer than it reads
LAST_STEP = 2**62
"""Beyond the end of every run: a recording opens at its end."""


class ClosedScreen(NamedTuple):
    """What is left to say once the screen has closed.

    Attributes:
        summary: The summary of the run.
        exit_code: 0, 1 if training or the screen itself failed, 130 after a signal.
        words: Lines on how the run goes on, or can go on.
        detached: Name of the run that goes on in a process of its own; None where none does.
    """

    summary: RunSummary
    exit_code: int
    words: tuple[str, ...] = ()
    detached: str | None = None


def run_app(
    config: RunConfig,
    resumption: Resumption | None = None,
    *,
    record: bool = True,
    frugal: bool = False,
    ascii: bool | None = None,
) -> ClosedScreen:
    """Show a run until somebody quits.

    Args:
        config: The run; it starts at once.
        resumption: The recorded run to go on from; its settings are ``config``.
        record: Whether to record it into a folder.
        frugal: Draw seldom, for slow lines.
        ascii: Write nothing but ASCII; None asks the locale.

    Returns:
        What is left to say once the screen has closed. A run that is detached, or whose line has dropped,
        goes on in a process of its own by then.

    Raises:
        VgradError: If the run could not begin: bad data, or a setting that its recipe refuses.
    """
    _forget_fixed_size()
    with first_frame(f"preparing  {config.name}") as frame:
        from vgrad.run.rewindable import RewindableRun
        from vgrad.run.session import Session
        from vgrad.run.summary import RunSummary
        from vgrad.store.checkpoints import checkpoints_of
        from vgrad_tui.app.app import VgradApp

        _prepare_driver(frame, ascii=ascii)
        session = Session.from_config(config) if resumption is None else resumption.session()
        run = RewindableRun(session, config.name, record=record)
        screen = run.attach()
        app = VgradApp(screen, frugal=frugal)
        with run:
            app.can_detach = run.folder is not None
            app.run()
            if app.return_code:
                app.detach_if_lost()
                _say("the screen has failed, with the error above")
            if app.detaches:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a dropped line may be reported twice
                _say("leaving it running: starting the process that goes on ...")
            run.stop()
            if app.state.info is not None and not app.leaves_at_once:  # while it prepares nothing is lost
                run.join(None if app.detaches else _GRACE_S)
            run.leave()
    # What happened since the last look; where the run was rewound, in each run that went on from it, too.
    has_more = True
    while has_more:
        batch = screen.drain()
        app.state.take(batch)
        has_more = bool(batch.notices or batch.blocks)
    screen.close()
    if isinstance(run.exception, VgradError):
        raise run.exception
    summary = RunSummary.of(app.state, recipe=config.recipe, seed=config.seed)
    folder = run.folder
    exit_code = _exit_code(app) or summary.exit_code
    if folder is None or summary.outcome != "stopped":
        return ClosedScreen(summary, exit_code)
    if app.detaches:
        has_begun = app.state.info is not None
        return ClosedScreen(
            summary, exit_code, *(_detach(folder) if has_begun else _start_elsewhere(config, resumption))
        )
    if not checkpoints_of(folder):
        return ClosedScreen(summary, exit_code)
    return ClosedScreen(summary, exit_code, (f"to go on: vgrad-tui run --resume {folder.name}",))


def _detach(folder: RunFolder) -> tuple[tuple[str, ...], str | None]:
    """Start a process that goes on from where the run in ``folder`` was stopped.

    Where no checkpoint was saved, it is trained again up to there.
    """
    from vgrad.run.resume import Resumption

    try:
        resumption = Resumption.of(folder, keeps_pause=True)
        words, name = _start_elsewhere(resumption.config, resumption)
    except (VgradError, OSError) as error:
        words, name = (str(error),), None
    if name is None:
        words = (*words, f"to go on: vgrad-tui run --resume {folder.name}")
    return words, name


def _start_elsewhere(config: RunConfig, resumption: Resumption | None) -> tuple[tuple[str, ...], str | None]:
    """Start a run in a process of its own; what to say of it, and its name."""
    from vgrad.run.detached import start

    try:
        name = start(config, resumption).name
    except (VgradError, OSError) as error:
        return (str(error),), None
    return (f"training goes on in a process of its own: vgrad-tui attach {name}",), name


def attach_app(folder: RunFolder, *, frugal: bool = False, ascii: bool | None = None) -> int:
    """Show the run in ``folder`` until somebody leaves; the run goes on.

    Args:
        folder: A run of another process, alive or ended.
        frugal: Draw seldom, for slow lines.
        ascii: Write nothing but ASCII; None asks the locale.

    Returns:
        The exit code: 0, 130 after a signal, 1 if the screen itself failed.

    Raises:
        VgradError: If the folder holds no record that can be read.
    """

    def read() -> AttachedRun:
        from vgrad.store.attached_run import AttachedRun

        run = AttachedRun(folder)
        run.read_ahead()  # goes on while the screen is built
        return run

    def app_type() -> type[VgradApp]:
        from vgrad_tui.app.app import VgradApp

        return VgradApp

    return _show(folder, read, app_type, frugal=frugal, ascii=ascii)


def replay_app(
    folder: RunFolder, *, at_step: int | None = None, frugal: bool = False, ascii: bool | None = None
) -> int:
    """Show the recording in ``folder`` until somebody leaves.

    Args:
        folder: A recorded run.
        at_step: Where to begin, paused there; None: as `ReplayedRun` chooses.
        frugal: Draw seldom, for slow lines.
        ascii: Write nothing but ASCII; None asks the locale.

    Returns:
        The exit code: 0, 130 after a signal, 1 if the screen itself failed.

    Raises:
        VgradError: If the folder holds no record that can be read.
    """

    def read() -> ReplayedRun:
        from vgrad.store.replayed_run import ReplayedRun

        return ReplayedRun(folder, at_step=at_step)

    def app_type() -> type[ReplayApp]:
        from vgrad_tui.app.replay_app import ReplayApp

        return ReplayApp

    return _show(folder, read, app_type, frugal=frugal, ascii=ascii)


def _show(
    folder: RunFolder,
    read: Callable[[], Any],
    app_type: Callable[[], Callable[..., VgradApp]],
    *,
    frugal: bool,
    ascii: bool | None,
) -> int:
    """Show a run that this process does not train; returns the exit code.

    What is read, and how large it is, is on the terminal first. A long record takes as long to read as the
    screen takes to import: both are done at once.
    """
    from vgrad.store.size_limit import size_words

    _forget_fixed_size()
    words = f"reading the record of  {folder.name}  ({size_words(folder.num_bytes())})"
    with first_frame(words) as frame, ThreadPoolExecutor(1) as beside:
        sys.setswitchinterval(_SWITCH_S)
        reading = beside.submit(read)
        make_app = app_type()
        _prepare_driver(frame, ascii=ascii)
        run = reading.result()
        app = make_app(run, frugal=frugal)
        app.run()
    run.close()
    if app.return_code:
        is_alive = folder.newest().pid() is not None
        _say("the screen has failed, with the error above" + is_alive * f"; the run {folder.name} goes on")
    return _exit_code(app)


def _say(line: str) -> None:
    Output(sys.stderr, "stderr").write(f"{line}\n")


def _exit_code(app: VgradApp) -> int:
    """130 after a signal, 1 after an error of the screen itself, which the terminal shows; else 0."""
    return 130 if app.was_interrupted else app.return_code or 0


def _forget_fixed_size() -> None:
    for name in ("COLUMNS", "LINES"):  # exported by some shells; the size would be frozen at theirs
        os.environ.pop(name, None)


def _prepare_driver(frame: FirstFrame, *, ascii: bool | None) -> None:
    from vgrad_tui.terminal.driver import TerminalDriver, wants_ascii

    TerminalDriver.ascii_only = wants_ascii() if ascii is None else ascii
    TerminalDriver.first_frame = frame
