"""What a study runs: protocols, methods and seeds, as frozen values. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.choices import Number
from vgrad.controls.controls import Command, Controls, Reinit, Set, reduce
from vgrad.errors import ConfigError
from vgrad.recipes.registry import RECIPES, get_recipe
from vgrad.validation import count

Settings = tuple[tuple[str, str], ...]
"""Pairs of text: a control's name, a recipe's option (it has a dot), or ``reinit``, and the value."""

MAX_SEEDS = 1000


@dataclass(frozen=True, slots=True)
class Method:
    """What is done to a run that is not done to its control.

    Attributes:
        name: What the tables call it.
        settings: What it sets, in this order. Controls and ``reinit`` when the protocol says so, options
            of the recipe before the first step, for they make another model.

    Raises:
        ConfigError: If there is no such setting, or its value is invalid.
    """

    name: str
    settings: Settings = ()

    def __post_init__(self) -> None:
        controls = Controls()
        for command in self.commands:
            controls = reduce(controls, command)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The settings that can be made between two steps, as commands."""
        return tuple(
            Reinit(value) if name == "reinit" else Set(find_control(name).name, value)
            for name, value in self.settings
            if "." not in name
        )

    @property
    def options(self) -> dict[str, str]:
        """The settings of the recipe."""
        return {name: value for name, value in self.settings if "." in name}

    @property
    def words(self) -> str:
        """The settings as one types them: ``clip=norm:1 omega=4``."""
        return " ".join(f"{name}={value}" for name, value in self.settings)


CONTROL = Method("none")
"""The same run without any method."""


@dataclass(frozen=True, slots=True)
class Solved:
    """When a run counts as solved.

    Attributes:
        measure: ``loss`` or ``metric`` (the recipe's own second number), on the validation data.
        at_most: It is solved at the first look at which the measure is no larger.
        words: The same for people.
    """

    measure: Literal["loss", "metric"]
    at_most: float
    words: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is the same in every run of an experiment, with any method.

    Attributes:
        name: What the tables call it.
        recipe: The recipe.
        microbatches: How many microbatches each run gets in all: as much data for every method,
            however many of them it takes for an update.
        prefix: Updates before the method is turned on; 0: it is on from the first.
        base: Settings of the control and every method, from the first update on.
        solved: When a run counts as solved; None where there is nothing to solve.
        look_every: Updates between two looks at whether it is.
        stops: Whether a run ends once it is solved. Then updates to solve are compared, not losses.

    Raises:
        ConfigError: If the recipe does not exist or a setting makes no sense.
    """

    name: str
    recipe: str
    microbatches: int
    prefix: int = 0
    base: Settings = ()
    solved: Solved | None = None
    look_every: int = 50
    stops: bool = False

    def __post_init__(self) -> None:
        get_recipe(self.recipe)
        Method(self.name, self.base)
        if not 0 <= self.prefix < self.microbatches:
            raise ConfigError(f"{self.name}: a prefix of {self.prefix} leaves no data for the method")
        if self.stops and self.solved is None:
            raise ConfigError(f"{self.name}: a run that stops when solved needs to know when it is")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: all that decides what comes out of it."""

    protocol: Protocol
    method: Method
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What the tables call it."""
        return self.protocol.name, self.method.name, self.seed


@dataclass(frozen=True, slots=True)
class Experiment:
    """A protocol with the methods that are tried in it.

    Attributes:
        protocol: How its runs go.
        shows: A sentence: what it is there to show.
        methods: The methods beside the control.
        num_seeds: Seeds 0 to ``num_seeds - 1``, the same for every method: runs are compared in pairs.
    """

    protocol: Protocol
    shows: str
    methods: tuple[Method, ...]
    num_seeds: int = 5

    def runs(self) -> Iterator[Run]:
        """The control's runs and the methods', seed by seed: a study that is cut short has whole pairs."""
        for seed in range(self.num_seeds):
            for method in (CONTROL, *self.methods):
                yield Run(self.protocol, method, seed)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole study.

    Attributes:
        experiments: In the order in which they run and are reported.
        left_out: What a shorter plan leaves out, a line each; empty for the full one.
    """

    experiments: tuple[Experiment, ...]
    left_out: tuple[str, ...] = ()

    def only(self, names: tuple[str, ...]) -> Plan:
        """The experiments of these recipes, or of these names; all if there are no names.

        Raises:
            ConfigError: If a name is neither.
        """
        found = [e for e in self.experiments if {e.protocol.name, e.protocol.recipe} & {*names}]
        known = {name for e in found for name in (e.protocol.name, e.protocol.recipe)}
        for name in names:
            if name not in known:
                there = ", ".join(dict.fromkeys(e.protocol.name for e in self.experiments))
                what = "is not in this plan" if name in RECIPES else "is no recipe and no experiment"
                raise ConfigError(f"{name[:40]} {what} (it has {there})")
        return replace(self, experiments=tuple(found)) if names else self

    def with_seeds(self, num_seeds: int | None) -> Plan:
        """This plan with as many seeds in every experiment; None leaves them as they are.

        Raises:
            ConfigError: If it is no such number.
        """
        if num_seeds is None:
            return self
        num_seeds = count("seeds", num_seeds, at_most=MAX_SEEDS)
        return replace(self, experiments=tuple(replace(e, num_seeds=num_seeds) for e in self.experiments))

    def runs(self) -> list[Run]:
        """Every run, in order."""
        return [run for experiment in self.experiments for run in experiment.runs()]


def settings(**values: str) -> Settings:
    """Settings by their names; ``model__cell`` stands for ``model.cell``."""
    return tuple((name.replace("__", "."), value) for name, value in values.items())


def covered(plan: Plan) -> set[tuple[str, str]]:
    """Every control that some method of the plan sets, with the kind or the word it is set to.

    A control that is a number counts as ``(name, "")``.
    """
    found = set()
    for experiment in plan.experiments:
        for method in experiment.methods:
            for command in method.commands:
                if isinstance(command, Set):
                    control = CONTROLS[command.control]
                    text = control.format(control.read(command.value))
                    word = "" if isinstance(control, Number) else text.partition(":")[0]
                    found.add((control.name, word))
    return found
