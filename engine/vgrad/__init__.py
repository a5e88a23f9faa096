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
    from vgrad.controls.capabilities import Capabilities
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
    from vgrad.events.batch import Batch
    from vgrad.events.history import History
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.notices import (
        CommandApplied,
        CommandRejected,
        Notice,
        Preparing,
        RunEnded,
        RunStarted,
        Validated,
        VerdictChanged,
    )
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_block import StepBlock
    from vgrad.events.step_record import StepRecord
    from vgrad.events.verdict import Verdict
    from vgrad.methods.clip import ClipGradNorm, ClipGradValue
    from vgrad.recipes.registry import RECIPES, Recipe
    from vgrad.run.build import build
    from vgrad.run.run_history import RunHistory
    from vgrad.run.session import Session
    from vgrad.run.watched_loop import watch
    from vgrad.task import Task
    from vgrad.train.state import TrainerState
    from vgrad.train.trainer import Trainer
    from vgrad.watching.optimizer_tap import OptimizerTap
    from vgrad.watching.safe_point import CommandQueued
    from vgrad.watching.watch import Watch

_HOMES = {
    "config": ("RunConfig",),
    "controls.capabilities": ("Capabilities",),
    "controls.controls": (
        *("CheckGradients", "Command", "Controls", "Pause", "Reinit", "Resume", "Set", "StepOnce", "Stop"),
        *("UndoReinit", "reduce"),
    ),
    "diagnose.command_effect": ("Effect", "judge_effect"),
    "errors": ("ConfigError", "DataError", "MissingExtra", "RecipeError", "VgradError"),
    "events.history": ("History",),
    "events.batch": ("Batch",),
    "events.layer_stats": ("LayerStats",),
    "events.notices": (
        *("CommandApplied", "CommandRejected", "Notice", "Preparing", "RunEnded", "RunStarted", "Validated"),
        "VerdictChanged",
    ),
    "events.run_info": ("RunInfo",),
    "events.step_block": ("StepBlock",),
    "events.step_record": ("StepRecord",),
    "events.verdict": ("Verdict",),
    "methods.clip": ("ClipGradNorm", "ClipGradValue"),
    "recipes.recipe": ("Recipe",),
    "recipes.registry": ("RECIPES",),
    "run.build": ("build",),
    "run.run_history": ("RunHistory",),
    "run.session": ("Session",),
    "run.watched_loop": ("watch",),
    "task": ("Task",),
    "train.state": ("TrainerState",),
    "train.trainer": ("Trainer",),
    "watching.optimizer_tap": ("OptimizerTap",),
    "watching.safe_point": ("CommandQueued",),
    "watching.watch": ("Watch",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "RECIPES",
    "Batch",
    "Capabilities",
    "CheckGradients",
    "ClipGradNorm",
    "ClipGradValue",
    "Command",
    "CommandApplied",
    "CommandQueued",
    "CommandRejected",
    "ConfigError",
    "Controls",
    "DataError",
    "Effect",
    "History",
    "LayerStats",
    "MissingExtra",
    "Notice",
    "OptimizerTap",
    "Pause",
    "Preparing",
    "Recipe",
    "RecipeError",
    "Reinit",
    "Resume",
    "RunConfig",
    "RunEnded",
    "RunHistory",
    "RunInfo",
    "RunStarted",
    "Session",
    "Set",
    "StepBlock",
    "StepOnce",
    "StepRecord",
    "Stop",
    "Task",
    "Trainer",
    "TrainerState",
    "UndoReinit",
    "Validated",
    "Verdict",
    "VerdictChanged",
    "VgradError",
    "Watch",
    "build",
    "judge_effect",
    "reduce",
    "watch",
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
