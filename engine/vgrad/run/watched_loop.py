"""`vgrad.watch`: watches, steers and records a training loop that somebody has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.ranks.group import this_rank
from vgrad.run.recording import record_watch, warn
from vgrad.validation import brief, number
from vgrad.watching.joinable import joinable_watch
from vgrad.watching.joined_watch import JoinedWatch
from vgrad.watching.stepped_in_backward import parts_of
from vgrad.watching.unwrap import as_module, class_name, unwrap_optimizer
from vgrad.watching.watch import CurrentLoss, Watch

if TYPE_CHECKING:
    from vgrad.events.verdict import Verdict

Models = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]


def watch(
    model: Models,
    optimizer: object,
    *,
    loss: CurrentLoss | None = None,
    name: str | None = None,
    controls: Controls | None = None,
    watch_budget: float = 0.02,
    record: bool = True,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> Watch:
    """Watch a training loop of your own from its next optimizer step on.

        w = vgrad.watch(model, optimizer)

    The loop stays as it is. While no control is on, its weights are bit for bit what they are without.
    Nothing of this raises into the loop: after an error inside vgrad, watching ends and training goes on.
    Where the optimizer is watched already, by another watch or because ``python -m vgrad`` watches the whole
    process, this joins that run: when this one is closed, the other watches the optimizer again, and when the
    other is closed, this one has ended, too.

    Args:
        model: The model, or several: a sequence, or by name.
        optimizer: The optimizer, or a sequence of optimizers. Each is a part of the run, with layers and a
            verdict of its own; those with a single parameter, stepped in the backward pass, are one together.
        loss: Returns the loss of the step about to be done. Unless given, it is caught at ``backward``.
        name: What the run is called; the class of the model, or of each, unless given.
        controls: What is done to the gradients from the first step on; nothing unless given.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        record: Whether to record the run into a folder, where `vgrad-tui attach` and `send` find it. Where it
            cannot be written, a warning says so and training goes on. Of several ranks, the first records.
            Where this joins a run, that one's name and recording hold instead.
        on_verdict: Called in the training thread with each verdict of another kind than the one before.

    Returns:
        A `Watch`, which is also a context manager.

    Raises:
        ConfigError: If there is nothing to watch, an argument makes no sense, or ``controls`` cannot be used
            in somebody's own loop.
    """
    watch_budget = number("watch_budget", watch_budget, at_least=0.0, at_most=1.0)
    if not isinstance(controls, Controls | None):
        raise ConfigError(f"controls must be vgrad.Controls, got {brief(controls)}")
    for argument, function in (("loss", loss), ("on_verdict", on_verdict)):
        if not (function is None or callable(function)):
            raise ConfigError(f"{argument} must be a function, got {brief(function)}")
    module = as_module(model)
    given = list(optimizer) if isinstance(optimizer, Sequence) else [optimizer]
    optimizers = [unwrap_optimizer(each) for each in given]
    if not optimizers:
        raise ConfigError("there is no optimizer to watch")
    if len(set(map(id, optimizers))) < len(optimizers):  # each part would scale rates that the other has set
        raise ConfigError("an optimizer is given twice: each makes a part of its own")
    if not isinstance(name, str | None):
        raise ConfigError(f"name must be text, got {brief(name)}")
    joined = joinable_watch(optimizers)
    make = partial(Watch, name or class_name(module)) if joined is None else partial(JoinedWatch, joined)
    watch: Watch = make(loss=loss, controls=controls, watch_budget=watch_budget, on_verdict=on_verdict)
    try:
        for group in parts_of(optimizers):
            watch.add(module, group)
    except BaseException:
        watch.discard()
        raise
    if record and this_rank() == 0 and joined is None:
        record_watch(watch, on_problem=warn)
    return watch
