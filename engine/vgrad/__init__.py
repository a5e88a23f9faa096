"""vgrad: watch and steer the gradients of a PyTorch training run.

    trainer = vgrad.build("charlm-rnn", seed=0)
    record = trainer.train_step()
    trainer.apply(vgrad.Set("clip", "norm:1"))

Importing this is cheap: torch is loaded when something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.controls.controls import (
        CheckGradients,
        Command,
        Controls,
        Pause,
        Reinit,
        Resume,
        Set,
        StepOnce,
        Stop,
        UndoReinit,
        reduce,
    )
    from vgrad.diagnose.command_effect import Effect, judge_effect
    from vgrad.errors import (
        ConfigError,
        DataError,
        MissingExtra,
        RecipeError,
        VgradError,
    )
    from vgrad.events.history import History
    from vgrad.events.records import (
        Batch,
        CommandApplied,
        CommandRejected,
        LayerStats,
        Preparing,
        RunEnded,
        RunInfo,
        RunStarted,
        StepRecord,
        Validated,
        Verdict,
        VerdictChanged,
    )
    from vgrad.methods.clip import ClipGradNorm, ClipGradValue
    from vgrad.recipes.registry import RECIPES, Recipe
    from vgrad.run.build import build
    from vgrad.run.session import Session
    from vgrad.train.trainer import Trainer
    from vgrad.watching.optimizer_tap import OptimizerTap

_HOMES = {
    "config": ("RunConfig",),
    "controls.controls": (
        *("CheckGradients", "Command", "Controls", "Pause", "Reinit", "Resume", "Set", "StepOnce", "Stop"),
        *("UndoReinit", "reduce"),
    ),
    "diagnose.command_effect": ("Effect", "judge_effect"),
    "errors": ("ConfigError", "DataError", "MissingExtra", "RecipeError", "VgradError"),
    "events.history": ("History",),
    "events.records": (
        *("Batch", "CommandApplied", "CommandRejected", "LayerStats", "Preparing", "RunEnded"),
        *("RunInfo", "RunStarted", "StepRecord", "Validated", "Verdict", "VerdictChanged"),
    ),
    "methods.clip": ("ClipGradNorm", "ClipGradValue"),
    "recipes.recipe": ("Recipe",),
    "recipes.registry": ("RECIPES",),
    "run.build": ("build",),
    "run.session": ("Session",),
    "train.trainer": ("Trainer",),
    "watching.optimizer_tap": ("OptimizerTap",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "RECIPES",
    "Batch",
    "CheckGradients",
    "ClipGradNorm",
    "ClipGradValue",
    "Command",
    "CommandApplied",
    "CommandRejected",
    "ConfigError",
    "Controls",
    "DataError",
    "Effect",
    "History",
    "LayerStats",
    "MissingExtra",
    "OptimizerTap",
    "Pause",
    "Preparing",
    "Recipe",
    "RecipeError",
    "Reinit",
    "Resume",
    "RunConfig",
    "RunEnded",
    "RunInfo",
    "RunStarted",
    "Session",
    "Set",
    "StepOnce",
    "StepRecord",
    "Stop",
    "Trainer",
    "UndoReinit",
    "Validated",
    "Verdict",
    "VerdictChanged",
    "VgradError",
    "build",
    "judge_effect",
    "reduce",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
