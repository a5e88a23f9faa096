"""A script on several ranks: the command of torchrun that starts each of them under ``python -m vgrad``.

Torchrun itself trains nothing, and starts its ranks as programs of their own. So where it is what
somebody runs, its command is changed: ``-m vgrad`` stands before the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    from vgrad.run.script_options import ScriptOptions

MODULE = "torch.distributed.run"


@dataclass(frozen=True, slots=True)
class RanksCommand:
    """What torchrun is given.

    Attributes:
        title: What the run is called.
        options: Torchrun's own options.
        script: The script or ``-m`` and the module that every rank runs, with its arguments.
    """

    title: str
    options: tuple[str, ...]
    script: tuple[str, ...]

    def arguments(self, own: tuple[str, ...]) -> list[str]:
        """Arguments of torchrun, with ``own`` options of ``python -m vgrad``."""
        return ["--module", *self.options, "vgrad", *own, *self.script]


def on_ranks_of_this_machine(options: ScriptOptions, num_ranks: str) -> RanksCommand:
    """The command that starts a script on ``num_ranks``: a number, ``gpu``, ``cpu`` or ``auto``.

    Raises:
        ConfigError: If it is none of these.
    """
    if num_ranks not in {"gpu", "cpu", "auto", "xpu"} and not (num_ranks.isdecimal() and int(num_ranks)):
        raise ConfigError(
            f"--nproc-per-node must be a number of processes, gpu, cpu or auto, got {num_ranks!r}"
        )
    return RanksCommand(
        options.title, ("--standalone", f"--nproc-per-node={num_ranks}"), options.script_and_arguments
    )


def ranks_of_torchrun(options: ScriptOptions) -> RanksCommand | None:
    """The command, where torchrun itself was given as the script; None otherwise.

    None, too, with ``--no-python``: what the ranks run is then no script.

    Raises:
        SystemExit: If torchrun prints its help, or why it does not understand its arguments.
    """
    is_torchrun = options.script == MODULE if options.is_module else Path(options.script).name == "torchrun"
    if not is_torchrun:
        return None
    from torch.distributed.run import get_args_parser

    parser = get_args_parser()
    parser.prog = "torchrun"
    given = options.arguments
    parsed = parser.parse_args(given)
    if parsed.no_python:
        return None
    place = len(given) - len(parsed.training_script_args) - 1
    while given[place] != parsed.training_script:  # a "--" behind it is none of the script's arguments
        place -= 1
    script = given[place:]
    title = options.name or (script[0] if parsed.module else Path(script[0]).stem)
    return RanksCommand(title, given[:place], ("-m", *script) if parsed.module else script)
