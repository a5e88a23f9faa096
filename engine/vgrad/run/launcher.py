"""Starts a script on several ranks, as torchrun does, so that the end of a connection does not end it.

python -m vgrad.run.launcher NUM [OPTIONS] SCRIPT [ARGUMENTS]     what `vgrad-tui watch` runs; not for people

Torchrun handles SIGHUP itself, also where `nohup` has asked for it to be ignored, and ends all ranks.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIGNALS = "--signals-to-handle"


def launch(num_ranks: str, arguments: Sequence[str]) -> None:
    """Run ``python -m vgrad`` with these arguments on the ranks of this machine, until all have ended.

    Args:
        num_ranks: How many, as torchrun takes it: a number, ``gpu``, ``cpu`` or ``auto``.
        arguments: Arguments of ``python -m vgrad``.
    """
    import torch.distributed.run as torchrun

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the ranks inherit it
    options = ["--standalone", f"--nproc-per-node={num_ranks}"]
    # Older versions have no such option. There the session of its own, which has no terminal, must do.
    if any(_SIGNALS in action.option_strings for action in torchrun.get_args_parser()._actions):
        options.append(f"{_SIGNALS}=SIGTERM,SIGINT,SIGQUIT")
    torchrun.main([*options, "-m", "vgrad", *arguments])


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
