"""Runs torchrun so that the end of a connection does not end it.

python -m vgrad.run.launcher ARGUMENTS OF TORCHRUN      what `vgrad-tui watch` runs; not for people

Torchrun handles SIGHUP itself, also where `nohup` has asked for it to be ignored, and ends all ranks.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIGNALS = "--signals-to-handle"


def launch(arguments: Sequence[str]) -> None:
    """Run torchrun with these arguments until all ranks have ended."""
    import torch.distributed.run as torchrun

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the ranks inherit it
    # Older versions have no such option. There the session of its own, which has no terminal, must do.
    is_known = any(_SIGNALS in action.option_strings for action in torchrun.get_args_parser()._actions)
    # What stands first gives way to what was asked for.
    torchrun.main([*([f"{_SIGNALS}=SIGTERM,SIGINT,SIGQUIT"] if is_known else []), *arguments])


if __name__ == "__main__":
    launch(sys.argv[1:])
