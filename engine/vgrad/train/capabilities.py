"""What the built-in loop can use on a model and its device, worked out once before the first step.

Two answers are found out by training, when they are first wanted: whether the model can be trained in a
precision on its device (`vgrad.train.precision_support`), and whether gradients are dense that no module says
are sparse (`vgrad.train.dense_gradients`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from vgrad.controls.capabilities import Capabilities, Refusal, without_dense
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Word
from vgrad.gradients.gradient_reader import has_sparse_module
from vgrad.measure.hidden_gradients import is_recurrent, recurrent_matrices
from vgrad.methods.init_schemes import REINITS
from vgrad.train.model_parts import structure_of
from vgrad.watching.chain import why_not_dense
from vgrad.watching.step_rates import refusals_without_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vgrad.task import Task

_PARTS = tuple(control for control in CONTROLS.values() if isinstance(control, Word))
STRUCTURE = tuple(control.name for control in _PARTS)
"""The controls that are parts of the model."""

_NO_HIDDEN_MATRICES = "is for hidden-to-hidden matrices and this model has none: it needs an RNN, LSTM or GRU"


def capabilities_of(model: nn.Module) -> Capabilities:
    """What the built-in loop can use on ``model``."""
    return Capabilities(tuple(_refusals(model)))


def capabilities_of_task(task: Task) -> Capabilities:
    """What the built-in loop can use on a task: on its model, and with its optimizer and its data."""
    capabilities = capabilities_of(task.model).without(*refusals_without_rate([task.optimizer]))
    reason = task.why_not_captured
    return capabilities.without(Refusal("checkpoint", "", reason)) if reason else capabilities


def _refusals(model: nn.Module) -> Iterator[Refusal]:
    if reason := _why_no_omega(model):
        yield Refusal("omega", "", reason)
    if not hasattr(model, "layer_outputs"):
        yield Refusal("detect", "formula", "needs a model whose layers can each make a prediction")
    parts = structure_of(model)
    for control in _PARTS:
        yield from _part_refusals(control, parts.get(control.name, ()))
    if not recurrent_matrices(model):
        schemes = (scheme for scheme in REINITS if scheme.startswith("hh-"))
        yield from (Refusal("reinit", scheme, _NO_HIDDEN_MATRICES) for scheme in schemes)
    if has_sparse_module(model):
        yield from without_dense()
    if any(param.is_complex() for param in model.parameters()):
        reason = why_not_dense(model.parameters())  # torch's optimizers have a form for them
        yield from (refusal for refusal in without_dense(reason) if refusal.subject != "optimizer")


def _part_refusals(control: Word, known: tuple[str, ...]) -> Iterator[Refusal]:
    if not known:
        yield Refusal(control.name, "", "cannot be changed in this model")
        return
    for word in control.words:
        if word not in known:
            yield Refusal(control.name, word, f"this model can only have {', '.join(known)}")


def _why_no_omega(model: nn.Module) -> str:
    """Why ``model`` has no Ω, as the end of a sentence about Ω; empty if it has one."""
    if not is_recurrent(model):
        return "needs a recurrent model: it is about gradients through time"
    if not isinstance(model.rnn, nn.RNN):
        kind = type(model.rnn).__name__
        article = "an" if kind == "LSTM" else "a"
        return f"is for a tanh or ReLU RNN, not for {article} {kind}: its gates are another way back"
    return ""
