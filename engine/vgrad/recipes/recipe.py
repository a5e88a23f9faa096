"""What a recipe is, and how a run's config fills it in. Free of torch, so that listing is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError
from vgrad.validation import brief, count, did_you_mean

if TYPE_CHECKING:
    import torch

    from vgrad.config import RunConfig


@dataclass(frozen=True, slots=True)
class Count:
    """A setting that is a whole number from ``at_least`` to ``at_most``."""

    default: int
    at_most: int
    at_least: int = 1

    def read(self, name: str, value: object) -> int:
        """Return ``value`` as an int, or raise `ConfigError`."""
        number = count(name, value, at_most=self.at_most)
        if number < self.at_least:
            raise ConfigError(
                f"{name} must be a whole number from {self.at_least} to {self.at_most}, got {number}"
            )
        return number


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting that is one of a few words."""

    default: str
    among: tuple[str, ...]

    def read(self, name: str, value: object) -> str:
        """Return ``value``, or raise `ConfigError`."""
        if isinstance(value, str) and value in self.among:
            return value
        raise ConfigError(f"{name} must be one of {', '.join(self.among)}, got {brief(value)}")


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting that is on or off; ``"on"`` and ``"off"`` are True and False."""

    default: bool

    def read(self, name: str, value: object) -> bool:
        """Return ``value`` as a bool, or raise `ConfigError`."""
        if isinstance(value, bool):
            return value
        if value in ("on", "off"):
            return value == "on"
        raise ConfigError(f"{name} must be true or false, got {brief(value)}")


RecipeSetting = Count | Choice | Switch


@dataclass(frozen=True, slots=True)
class Setup:
    """A recipe with every blank filled in: what its builder needs, and nothing else.

    Attributes:
        seed: Seed of the weights and of the data's order.
        device: Where the model lives.
        lr: Base learning rate.
        batch_size: Samples per microbatch.
        text: Text file, or None for the built-in text.
        options: A checked value for each of the recipe's settings, by its whole name.
    """

    seed: int
    device: torch.device
    lr: float
    batch_size: int
    text: Path | None
    options: Mapping[str, Any]

    def group(self, name: str) -> dict[str, Any]:
        """Return a group's options by their last part: ``depth`` for ``model.depth``."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value for key, value in self.options.items() if key.startswith(prefix)
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named model with its data and optimizer.

    Attributes:
        name: What to type.
        summary: One line of what it shows.
        builder: ``module:function`` in `vgrad.recipes`, a ``Callable[[Setup], Task]``; imported
            only when the recipe is built, for it needs torch.
        lr: Base learning rate unless the config has one.
        batch_size: Samples per microbatch unless the config has one.
        settings: What ``--set key=value`` may change, by group: ``model.depth``, ``data.seq_len``.
            The parts of `vgrad.train.model_parts` have the same names there.
        steps: As many optimizer steps as it takes to see what it shows.
        takes: How long these steps take one core, in words: CPU time, measured on some of them.
        text: Whether it reads text, and so obeys ``--text``.
        controls: Controls that belong to what it shows, in their text form, unless the config has others.
    """

    name: str
    summary: str
    builder: str
    lr: float
    batch_size: int
    settings: Mapping[str, RecipeSetting]
    steps: int
    takes: str
    text: bool = False
    controls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def options(self) -> dict[str, int | str | bool]:
        """Default of each setting."""
        return {name: setting.default for name, setting in self.settings.items()}

    def setup(self, config: RunConfig, device: torch.device) -> Setup:
        """Fill in the blanks of this recipe from ``config``.

        Raises:
            ConfigError: As `read_options` does.
        """
        return Setup(
            seed=config.seed,
            device=device,
            lr=self.lr if config.lr is None else config.lr,
            batch_size=self.batch_size if config.batch_size is None else config.batch_size,
            text=config.text,
            options=self.read_options(config),
        )

    def read_options(self, config: RunConfig) -> dict[str, Any]:
        """Return a checked value for each setting: the config's where it has one, else the default.

        A name without its group, ``depth`` for ``model.depth``, will do where only one setting has
        it. If a setting is given by both names, the later one counts.

        Raises:
            ConfigError: If an option is unknown or makes no sense, or if there is a text file
                that nobody would read.
        """
        if config.text is not None and not self.text:
            raise ConfigError(f"{self.name} reads no text: leave out the text file, or take a charlm recipe")
        options: dict[str, Any] = self.options
        for given, value in config.options.items():
            name = self._whole_name(given)
            try:
                options[name] = self.settings[name].read(name, value)
            except ConfigError as error:
                raise ConfigError(f"{error} (options of {self.name}: {self._options_in_words()})") from None
        return options

    def _whole_name(self, given: str) -> str:
        if given in self.settings:
            return given
        found = [name for name in self.settings if name.rpartition(".")[2] == given]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"{given} could be {' or '.join(found)} of {self.name}: give the whole name")
        known = dict.fromkeys([*(name.rpartition(".")[2] for name in self.settings), *self.settings])
        raise ConfigError(
            f"{self.name} has no option {brief(given)}{did_you_mean(given, known)} "
            f"(options: {self._options_in_words()})"
        )

    def _options_in_words(self) -> str:
        return ", ".join(f"{name}={str(default).lower()}" for name, default in self.options.items())
