"""Which signal ends the process of a loop that knows no command to stop."""

from __future__ import annotations

import signal
from pathlib import Path

_IGNORED = "SigIgn:"


def signal_that_ends(pid: int) -> signal.Signals:
    """SIGINT, as Ctrl-C sends it; SIGTERM where the process ignores that one.

    A shell makes a program ignore SIGINT that a script starts in the background. Where the system does not
    say what a process ignores, as macOS, this is not found out.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return signal.SIGINT
    masks = (line.removeprefix(_IGNORED) for line in status.splitlines() if line.startswith(_IGNORED))
    ignored = int(next(masks, "0"), 16)
    return signal.SIGTERM if ignored >> (signal.SIGINT - 1) & 1 else signal.SIGINT
