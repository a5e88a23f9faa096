"""The summary of a run: one frozen value, as JSON for scripts and in a few lines for people."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vgrad.controls.codec import command_to_data
from vgrad.controls.controls import Reinit, Set, UndoReinit
from vgrad.controls.wording import describe
from vgrad.diagnose.worst import worst
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied
from vgrad.printable import printable

if TYPE_CHECKING:
    from vgrad.run.run_history import RunHistory

_MAX_COMMAND_LINES = 8


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The summary of a run.

    Attributes:
        recipe: Name of the recipe, or of the script.
        seed: Seed of weights and data; None in a loop that seeds itself.
        steps: Optimizer steps that were done.
        loss_first: Training loss of the first step; None if there was none, or it is not known.
        loss_last: Training loss of the last step; None likewise.
        val_loss: Last validation loss, or None if it was never measured.
        verdict: Kind of the last verdict, of several parts the most serious; ``non-finite`` whenever
            the last loss is.
        steps_per_s: Optimizer steps per second of training.
        commands: Every command that was carried out, each with the first step it affected.
        outcome: ``done`` (all steps), ``stopped`` (somebody asked), ``failed``, or
            ``unfinished`` (it has not ended).
        error: One line of what went wrong, for ``failed``.
    """

    recipe: str
    seed: int | None
    steps: int = 0
    loss_first: float | None = None
    loss_last: float | None = None
    val_loss: float | None = None
    verdict: str = "starting"
    steps_per_s: float = math.nan
    commands: tuple[CommandApplied, ...] = ()
    outcome: Literal["done", "stopped", "failed", "unfinished"] = "unfinished"
    error: str | None = None

    @classmethod
    def of(cls, history: RunHistory, *, recipe: str, seed: int | None) -> RunSummary:
        """The summary of a run as it stands; its ``outcome`` is ``unfinished`` until the run has ended.

        Args:
            history: What is known of the run.
            recipe: Name of the recipe.
            seed: Seed of the run; None where it is not known.
        """
        totals, ended = history.totals, history.ended
        result = cls(
            recipe,
            seed,
            steps=totals.step,
            loss_first=totals.loss_first,
            loss_last=totals.loss_last,
            val_loss=totals.val_loss,
            verdict=worst(part.verdict for part in history.parts.values()).kind,
            steps_per_s=totals.step / totals.elapsed_s if totals.elapsed_s > 0 else math.nan,
            commands=tuple(history.commands),
        )
        if ended is not None:
            result = replace(
                result,
                steps=ended.step,
                loss_first=ended.loss_first,
                loss_last=ended.loss_last,
                val_loss=ended.val_loss,
                steps_per_s=ended.steps_per_s,
                outcome=ended.reason,
                error=ended.error,
            )
        # A fact, even where the run ended before the engine looked at its verdict again.
        measured = (result.val_loss, result.loss_last if result.steps else None)
        is_broken = any(map(_is_non_finite, measured))
        return replace(result, verdict="non-finite") if is_broken else result

    @property
    def exit_code(self) -> int:
        """1 if training failed, else 0: to stop when asked is no failure."""
        return 1 if self.outcome == "failed" else 0

    def to_json(self) -> str:
        """One line of strict JSON.

        JSON knows no NaN and no infinity: such a number is ``null``, and ``verdict`` then says
        ``non-finite``. ``null`` with another verdict was never measured.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["commands"] = [
            {"step": applied.step, **command_to_data(applied.command)} for applied in self.commands
        ]
        finite = {name: None if _is_non_finite(value) else value for name, value in values.items()}
        return json.dumps(finite, allow_nan=False)

    def readable(self) -> str:
        """The few lines to leave in the terminal: of the commands, those that changed the training."""
        rate = f", {self.steps_per_s:,.4g} steps/s" if self.steps_per_s > 0 else ""  # NaN: not known
        name = printable(self.recipe) + ("" if self.seed is None else f", seed {self.seed}")
        lines = [f"{name}: {self.outcome} after {self.steps:,} steps{rate}"]
        if self.steps:
            val = "" if self.val_loss is None else f", validation {self.val_loss:.4g}"
            losses = [_known(loss) for loss in (self.loss_first, self.loss_last)]
            lines.append(f"loss {' -> '.join(losses)}{val}; gradients {self.verdict}")
        changes = [
            applied for applied in self.commands if isinstance(applied.command, Set | Reinit | UndoReinit)
        ]
        if len(changes) > _MAX_COMMAND_LINES:
            lines.append(f"  {len(changes) - _MAX_COMMAND_LINES:,} earlier changes")
        lines.extend(
            f"  from step {applied.step:,}: {describe(applied.command)}"
            for applied in changes[-_MAX_COMMAND_LINES:]
        )
        if self.error:
            lines.append(f"error: {printable(self.error)}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the JSON to ``path``, wholly or not at all.

        Raises:
            OSError: If the file cannot be written, with ``path`` as its file name; an older file
                there is then left as it was.
        """
        try:
            _write_wholly(path, self.to_json() + "\n")
        except OSError as error:  # a full disk names no file, and the temporary one means nothing to anybody
            raise OSError(error.errno, error.strerror, str(path)) from error


def check_summary_path(path: Path) -> None:
    """Find out before training whether its summary can be written there.

    Raises:
        ConfigError: If it cannot, for what can be known without writing.
    """
    parent = path.parent
    if path.is_dir():
        raise ConfigError(f"summary {str(path)!r} is a directory: give the name of a file in it")
    if not parent.is_dir():
        raise ConfigError(f"summary: there is no directory {str(parent)!r}: make it first")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise ConfigError(f"summary {str(path)!r} cannot be written: permission denied")


def _write_wholly(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a pipe or /dev/null: renaming would replace it
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()  # keep a symbolic link, replace what it points to
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _is_non_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _known(loss: float | None) -> str:
    return "not known" if loss is None else f"{loss:.4g}"
