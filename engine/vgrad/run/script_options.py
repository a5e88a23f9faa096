"""The command line of ``python -m vgrad``: our options, then a script and its own arguments.

Read by hand: everything behind the script belongs to the script, and a script that trains nothing must not
wait for a parser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls

USAGE = """\
usage: python -m vgrad [OPTIONS] SCRIPT.py [ARGUMENTS]
       python -m vgrad [OPTIONS] -m MODULE [ARGUMENTS]

Run a training script as python would, and watch its gradients. The script is not changed, and while no
control is on, neither are its weights.

options, all of them before the script:
  --name NAME          what the run is called [default: the script's name]
  --summary FILE       write a summary there at the end, one line of JSON
  --fail-on KINDS      exit with 3 if the verdict at the end is one of these: exploding,non-finite ...
  --fail-now           with --fail-on: exit at once
  --no-record          record no run folder
  --clip norm:1 ...    a control, from the first step on; vgrad-tui controls lists them all
  -h, --help           show this

The exit code is the script's own; 3 for --fail-on, where the script's own is 0; 2 for bad usage.
Steer it from another terminal: vgrad-tui attach, vgrad-tui send RUN clip norm:1.
"""
_FLAGS = ("--name", "--summary", "--fail-on", "--fail-now", "--no-record")


@dataclass(slots=True)
class ScriptOptions:
    """What was asked for.

    Attributes:
        script: Path of the script, or name of the module.
        is_module: Whether it is a module, as for ``python -m``.
        arguments: The script's own arguments.
        own: Our options, as they were given.
        name: What the run is called; empty for the script's own name.
        summary: Where the summary is written, or None.
        fail_on: Kinds of verdicts that make the process fail.
        fail_now: Whether it fails at once.
        record: Whether a run folder is recorded.
        folder: The run folder, where somebody has made it already.
        controls: Text of every control that was given, by name.
        wants_help: Whether help was asked for.
    """

    script: str = ""
    is_module: bool = False
    arguments: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    name: str = ""
    summary: Path | None = None
    fail_on: frozenset[str] = frozenset()
    fail_now: bool = False
    record: bool = True
    folder: Path | None = None
    controls: dict[str, str] = field(default_factory=dict)
    wants_help: bool = False

    @property
    def title(self) -> str:
        """What the run is called."""
        return self.name or (self.script if self.is_module else Path(self.script).stem) or "run"

    @property
    def script_and_arguments(self) -> tuple[str, ...]:
        """The script, or ``-m`` and the module, with its arguments."""
        return (*(("-m",) if self.is_module else ()), self.script, *self.arguments)

    def read_controls(self) -> Controls | None:
        """The controls of the first step; None where none was asked for.

        Raises:
            ConfigError: If a value makes no sense, or needs vgrad's own loop.
        """
        if not self.controls:
            return None
        from vgrad.controls.capabilities import in_any_loop
        from vgrad.controls.controls import Controls, Set, reduce

        controls = Controls()
        for name, text in self.controls.items():
            controls = reduce(controls, Set(name, text), in_any_loop())
        return controls


def read_script_options(argv: list[str]) -> ScriptOptions:
    """Read the arguments of ``python -m vgrad``.

    Raises:
        ConfigError: If they make no sense.
    """
    options = ScriptOptions()
    left = list(argv)
    while left:
        word = left.pop(0)
        if word in {"-h", "--help"}:
            options.wants_help = True
            return options
        if word == "-m":
            options.is_module = True
            options.script = _value(word, None, left)
            break
        if not word.startswith("-") or word == "-":
            options.script = word
            break
        flag, equals, text = word.partition("=")
        _take(options, flag, text if equals else None, left)
    if not options.script:
        raise ConfigError("give a script to run: python -m vgrad train.py, or -m MODULE")
    if options.fail_now and not options.fail_on:
        raise ConfigError("--fail-now needs --fail-on KINDS")
    options.arguments = tuple(left)
    options.own = tuple(argv[: len(argv) - len(options.script_and_arguments)])
    options.read_controls()  # what makes no sense is known before anything runs
    return options


def _take(options: ScriptOptions, flag: str, text: str | None, left: list[str]) -> None:
    if flag in {"--fail-now", "--no-record", "--record"}:
        if text is not None:
            raise ConfigError(f"{flag} takes no value")
        if flag == "--fail-now":
            options.fail_now = True
        else:
            options.record = flag == "--record"
    elif flag == "--name":
        options.name = _value(flag, text, left)
    elif flag == "--summary":
        options.summary = Path(_value(flag, text, left)).absolute()  # a script may change its directory
    elif flag == "--folder":
        options.folder = Path(_value(flag, text, left)).absolute()
    elif flag == "--fail-on":
        options.fail_on = _kinds(_value(flag, text, left))
    elif flag.startswith("--"):
        options.controls[_control(flag)] = _value(flag, text, left)
    else:
        raise ConfigError(f"there is no option {flag}: options of python itself stand before -m vgrad")


def _control(flag: str) -> str:
    """The control that is set by ``flag``."""
    from vgrad.controls.catalog import CONTROLS
    from vgrad.validation import did_you_mean

    name = flag.removeprefix("--").replace("-", "_")
    if name not in CONTROLS:
        known = [*_FLAGS, *(f"--{control.replace('_', '-')}" for control in CONTROLS)]
        raise ConfigError(
            f"there is no option {flag}{did_you_mean(flag, known)}; "
            "options of the script itself stand behind the script"
        )
    return name


def _value(flag: str, text: str | None, left: list[str]) -> str:
    if text is None and not left:
        raise ConfigError(f"{flag} needs a value")
    return left.pop(0) if text is None else text


def _kinds(text: str) -> frozenset[str]:
    from vgrad.diagnose.worst import SERIOUSNESS

    kinds = frozenset(word.strip() for word in text.split(","))
    unknown = sorted(kinds - set(SERIOUSNESS))
    if unknown:
        raise ConfigError(f"there is no verdict {unknown[0]!r}: there are {', '.join(SERIOUSNESS)}")
    return kinds
