"""The command line. A command is imported when it is called, so that `--help` waits for nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

import click

from vgrad import __version__
from vgrad.errors import VgradError
from vgrad.printable import printable
from vgrad.run.output import Output

# Pydantic would look through all installed packages for plugins, and no plugin has business here.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

_FAILED = 1
_BAD_USAGE = 2
_INTERRUPTED = 130

_COMMANDS = {
    "attach": "Open the screen on a recorded run, with its whole history: watch it, and steer it.",
    "controls": "List what can be changed while it trains, and what it is good for.",
    "export": "Write losses, norms, commands and verdicts of a recorded run as CSV or lines of JSON.",
    "recipes": "List the built-in recipes: what each one shows, and how long it takes.",
    "release": "Take all hooks off a process that was attached to by its process id; its training goes on.",
    "replay": "Play a recorded run again: at any speed, from any step, to any command or verdict.",
    "run": "Train a recipe or a task of your own, and watch it.",
    "runs": "List the runs of this account, the newest first: what they are, and whether they are alive.",
    "send": "Send a command to a run, and say what became of it.",
    "study": "Try the methods on the recipes, and say which of them helped.",
    "tail": "Print what happens in a run: commands and their answers, verdicts, validations, its end.",
    "verdicts": "Measure how often verdicts are right, on runs whose ending is known.",
    "verify": "Run a recorded run again, its commands at their steps, and compare every loss bit for bit.",
    "watch": "Run a training script of your own, unmodified, and watch its gradients.",
}
"""The commands: each a function of its name, in the module of its name in `vgrad_tui.commands`."""

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Commands(click.Group):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in _COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = str(args[0])
        # While a shell completes a line, click goes on with what it has, and nothing is refused.
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no command is called {name!r}{_what_was_meant(name)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _what_was_meant(name: str) -> str:
    from vgrad.recipes.registry import RECIPES
    from vgrad.validation import did_you_mean

    if name.endswith(".py"):
        return (
            f"; did you mean vgrad-tui watch {name}, or, for a file with a vgrad.Task, vgrad-tui run {name}?"
        )
    if name in RECIPES or name.endswith(".toml"):
        return f"; did you mean vgrad-tui run {name}?"
    if name.isdecimal():
        return f"; did you mean vgrad-tui attach {name}?"
    return did_you_mean(name, _COMMANDS)


def _command(name: str) -> click.Command:
    command: click.Command = getattr(import_module(f"vgrad_tui.commands.{name}"), name)
    return command


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    if sys.platform == "win32":
        sys.exit(
            _refuse("vgrad-tui needs Linux, macOS or another POSIX system; on Windows use WSL", _BAD_USAGE)
        )
    _occupy_closed_descriptors()
    code = _exit_code(args)
    _flush(sys.stdout)
    _flush(sys.stderr)
    if threading.active_count() > 1:
        # A thread that nobody waits for, importing torch perhaps, must not run in a half finished shutdown.
        os._exit(code)
    sys.exit(code)


def _occupy_closed_descriptors() -> None:
    """Open /dev/null in place of standard descriptors that are closed.

    Otherwise the next file that anybody opens gets such a number, and what C code prints goes into it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)
        descriptor = os.dup(descriptor)
    os.close(descriptor)


def _flush(stream: TextIO | None) -> None:
    """Write out what ``stream`` holds; if it cannot be written, let Python's own flush at exit succeed."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:  # Python would exit with 120, whatever the command's own code
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _exit_code(args: Sequence[str] | None) -> int:
    try:
        return int(cli.main(args, prog_name="vgrad-tui", standalone_mode=False) or 0)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "vgrad-tui"
        return _refuse(f"{error.format_message()}\ntry: {path} --help", _BAD_USAGE)
    except VgradError as error:
        return _refuse(str(error), _BAD_USAGE)
    except OSError as error:
        is_named = isinstance(error.filename, str) and error.strerror
        return _refuse(f"{error.filename}: {error.strerror}" if is_named else str(error), _FAILED)
    except click.Abort:  # click's word for Ctrl-C
        return _INTERRUPTED


def _refuse(message: str, code: int) -> int:
    Output(sys.stderr, "stderr").write("error: " + printable(message, keep="\n") + "\n")
    return code


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings=_SETTINGS,
    epilog="""\b
Examples:
  vgrad-tui                                     the default recipe
  vgrad-tui run depth-sigmoid                   another one
  vgrad-tui run my_task.py                      your own model and data
  vgrad-tui watch train.py --epochs 3           any training script, as it is
  vgrad-tui attach 12345                        a process that is training already
  vgrad-tui recipes                             what there is
  vgrad-tui run --headless --steps 200          no screen, a JSON summary at the end
  vgrad-tui study --quick                       which methods help, and which do not
""",
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> object:
    """Watch and steer the gradients of a PyTorch training run.

    Without a command, starts the default recipe.
    """
    return None if context.invoked_subcommand else context.invoke(_command("run"))
