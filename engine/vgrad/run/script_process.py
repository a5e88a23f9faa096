"""A script under ``python -m vgrad`` in a process of its own, which prints into its run's log."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vgrad.printable import printable
from vgrad.run.detached import has_started
from vgrad.run.script_options import read_script_options
from vgrad.run.target_process import programs_of_session
from vgrad.run.torchrun import on_ranks_of_this_machine, ranks_of_torchrun
from vgrad.store.folder import RunFolder
from vgrad.store.log import LogTail, readable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOOK_S = 0.05
_LOOK_FOR_PROGRAMS_S = 1.0
_LEAVING_S = 10.0


class ScriptProcess:
    """A running script.

    It has a session of its own: neither Ctrl-C nor the end of the connection reaches it.

    Args:
        argv: Arguments of ``python -m vgrad``.
        num_ranks: On how many processes it is started, as torchrun takes it; None for one, unless the script
            is torchrun.

    Attributes:
        folder: The run's folder. It holds no record before the first training.

    Raises:
        ConfigError: If the arguments make no sense.
        OSError: If no folder can be made.
        SystemExit: If the script is torchrun, and prints its help or what is wrong with its arguments.
    """

    def __init__(self, argv: Sequence[str], *, num_ranks: str | None = None) -> None:
        options = read_script_options(list(argv))
        ranks = (
            ranks_of_torchrun(options) if num_ranks is None else on_ranks_of_this_machine(options, num_ranks)
        )
        self.folder = RunFolder.create(options.title if ranks is None else ranks.title)
        own = ("--folder", str(self.folder.path), *options.own)
        command = (
            ["vgrad", *own, *options.script_and_arguments]
            if ranks is None
            else ["vgrad.run.launcher", *ranks.arguments(own)]
        )
        self._log = LogTail(self.folder.log, from_start=True)
        self._look_for_programs_s = math.inf if ranks is not None else time.monotonic()
        self._programs: set[int] = set()  # process ids of those that were mentioned
        with self.folder.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-u", "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end_code(self) -> int | None:
        """The script's own exit code, 128 and the signal's number if one has ended it; None while it runs.

        Waits a while for a process whose run has ended: the interpreter needs some time to exit.
        """
        if self.folder.pid() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVING_S)
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def wait_for_training(self, write: Callable[[str], None]) -> bool:
        """Wait until the script trains, and pass on what it prints until then.

        Ctrl-C meanwhile goes to the script. Programs that it has started are mentioned where they have torch
        loaded: what they train is not watched.

        Args:
            write: Is given the text, which is safe to print.

        Returns:
            Whether it trains; otherwise it has ended, and its folder is gone.
        """
        while not has_started(self.folder):
            has_ended = self._process.poll() is not None
            try:
                self._pass_on(write)
                self.folder = self.folder.settled()
                if has_ended and not has_started(self.folder):
                    self.folder.remove()
                    return False
                self._mention_programs(write)
                time.sleep(_LOOK_S)
            except KeyboardInterrupt:
                os.kill(self._process.pid, signal.SIGINT)
        return True

    def last_lines(self, number: int) -> list[str]:
        """The last lines that it has printed since it trains; those before were passed on."""
        return LogTail(self.folder.settled().log, at=self._log.at).lines()[-number:]

    def _pass_on(self, write: Callable[[str], None]) -> None:
        text = self._log.new_text()
        if text:
            write("\n".join(readable_lines(text)) + ("\n" if text.endswith("\n") else ""))

    def _mention_programs(self, write: Callable[[str], None]) -> None:
        if time.monotonic() < self._look_for_programs_s:
            return
        self._look_for_programs_s = time.monotonic() + _LOOK_FOR_PROGRAMS_S
        for each in programs_of_session(self._process.pid):
            if each.pid not in self._programs:
                self._programs.add(each.pid)
                command = printable(each.command)
                write(
                    f"vgrad: the script has started a program that has torch loaded: {command}\n"
                    f"What it trains is not watched here; in another terminal: vgrad-tui attach {each.pid}\n"
                )
