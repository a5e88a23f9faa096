"""Which controls fit this model, this device and each other; what does not is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.measure.hidden_gradients import is_recurrent
from vgrad.methods.deep_supervision import DeepSupervision
from vgrad.methods.precision import Float32, supports
from vgrad.methods.sam import SAM
from vgrad.train.model_parts import structure_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from vgrad.controls.controls import Controls

STRUCTURE = ("activation", "skip", "layer_norm")


def require_compatible(controls: Controls, model: nn.Module, device: torch.device) -> None:
    """Check that ``controls`` can be carried out on ``model``.

    Raises:
        ConfigError: If they cannot; says why, and what would do.
    """
    _require_omega(controls, model)
    _require_detection(controls, model)
    if not isinstance(controls.precision, Float32):
        reason = supports(controls.precision, device)
        if reason is not None:
            raise ConfigError(f"precision: {reason}")
    parts = structure_of(model)
    for name in STRUCTURE:
        wanted = getattr(controls, name)
        if wanted is not None and wanted not in parts.get(name, ()):
            there = "; ".join(f"{part}: {', '.join(words)}" for part, words in parts.items())
            raise ConfigError(f"{name}={wanted} is not in this model (it has {there or 'nothing to change'})")


def _require_omega(controls: Controls, model: nn.Module) -> None:
    if controls.omega is None:
        return
    if not is_recurrent(model):
        raise ConfigError("Ω keeps gradients alive through time, and this model is not recurrent")
    from vgrad.train.omega_backward import why_no_omega

    reason = why_no_omega(model)
    if reason is not None:
        raise ConfigError(reason)
    if isinstance(controls.detect, SAM | DeepSupervision):
        raise ConfigError("Ω needs a backward pass of its own: turn detection off first")
    if not isinstance(controls.precision, Float32):
        raise ConfigError("Ω is differentiated twice and needs float32: set precision to fp32 first")


def _require_detection(controls: Controls, model: nn.Module) -> None:
    if isinstance(controls.detect, DeepSupervision) and not hasattr(model, "layer_outputs"):
        raise ConfigError("detection by the formula needs a model whose layers can each make a prediction")
