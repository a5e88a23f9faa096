"""What a run is, known before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vgrad.controls.capabilities import EVERYTHING, Capabilities
from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.events.environment import Environment


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that another one goes on from.

    Attributes:
        run: Name of its folder.
        step: Optimizer steps that both have in common.
    """

    run: str
    step: int


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is, known before its first step.

    Attributes:
        recipe: Name of the recipe, or of the task file.
        description: One line of what it shows.
        seed: Seed of weights and data; None in a foreign loop, which seeds itself.
        device: Device of the model, as torch names it.
        layers: Layer names, in the model's parameter order.
        layer_sizes: Number of parameters of each layer.
        unit: What is counted for the speed: ``"tokens"`` or ``"samples"``.
        num_steps: Optimizer steps asked for, or None for no end.
        controls: The controls at the first step.
        recurrent: Whether the model has a dimension of time.
        structure: Parts of the model that can be changed mid-run, each with what it can be.
        built: What each of these parts is where no control says otherwise.
        baseline: Loss of a constant prediction; None where it is not known.
        capabilities: What the run can use, and the reason for everything that it cannot.
        config: All settings as plain data, which `RunConfig.make` reads; empty in a foreign loop.
        environment: Where it runs; None where that is not known.
        parent: The run that it goes on from, and the step there; None where it began at its first step.

    Raises:
        ConfigError: If there are not as many sizes as layers.
    """

    recipe: str
    description: str
    seed: int | None
    device: str
    layers: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    unit: Literal["tokens", "samples"]
    num_steps: int | None
    controls: Controls
    recurrent: bool = False
    structure: tuple[tuple[str, tuple[str, ...]], ...] = ()
    built: tuple[tuple[str, str], ...] = ()
    baseline: float | None = None
    capabilities: Capabilities = EVERYTHING
    config: Mapping[str, object] = field(default_factory=dict, hash=False)
    environment: Environment | None = None
    parent: Parent | None = None

    def __post_init__(self) -> None:
        """Refuse what another program may have written: every reader counts on this."""
        if len(self.layers) != len(self.layer_sizes):
            raise ConfigError(f"{len(self.layers)} layers cannot have {len(self.layer_sizes)} sizes")
