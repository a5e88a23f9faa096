"""What a recipe is, and how a run's config fills it in. Free of torch, so that listing is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgrad.checks import brief, count
from vgrad.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from vgrad.config import RunConfig


@dataclass(frozen=True, slots=True)
class Count:
    """A setting that is a whole number from 1 to ``at_most``."""

    default: int
    at_most: int

    def read(self, name: str, value: object) -> int:
        """Return ``value`` as an int, or raise `ConfigError`."""
        return count(name, value, at_most=self.at_most)


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
    """A setting that is on or off."""

    default: bool

    def read(self, name: str, value: object) -> bool:
        """Return ``value``, or raise `ConfigError`."""
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{name} must be true or false, got {brief(value)}")


@dataclass(frozen=True, slots=True)
class Setup:
    """A recipe with every blank filled in: what its builder needs, and nothing else.

    Attributes:
        seed: Seed of the weights and of the data's order.
        device: Where the model lives.
        lr: Base learning rate.
        batch_size: Samples per microbatch.
        text: Text file, or None for the built-in text.
        options: A checked value for each of the recipe's settings.
    """

    seed: int
    device: torch.device
    lr: float
    batch_size: int
    text: Path | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named model with its data and optimizer.

    Attributes:
        name: What to type.
        summary: One line of what it shows.
        builder: ``module:function`` in this package, a ``Callable[[Setup], Task]``; imported
            only when the recipe is built, for it needs torch.
        lr: Base learning rate unless the config has one.
        batch_size: Samples per microbatch unless the config has one.
        settings: What ``--set key=value`` may change.
        text: Whether it reads text, and so obeys ``--text``.
    """

    name: str
    summary: str
    builder: str
    lr: float
    batch_size: int
    settings: Mapping[str, Count | Choice | Switch]
    text: bool = False

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

        Raises:
            ConfigError: If an option is unknown or makes no sense, or if there is a text file
                that nobody would read.
        """
        if config.text is not None and not self.text:
            raise ConfigError(f"{self.name} reads no text: leave out the text file, or take a charlm recipe")
        options: dict[str, Any] = self.options
        for name, value in config.options.items():
            setting = self.settings.get(name)
            if setting is None:
                raise ConfigError(
                    f"{self.name} has no option {brief(name)}{did_you_mean(name, self.settings)} "
                    f"(options: {self._options_in_words()})"
                )
            try:
                options[name] = setting.read(name, value)
            except ConfigError as error:
                raise ConfigError(f"{error} (options of {self.name}: {self._options_in_words()})") from None
        return options

    def _options_in_words(self) -> str:
        return ", ".join(f"{name}={str(default).lower()}" for name, default in self.options.items())


def did_you_mean(name: str, known: Mapping[str, object]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known name, or nothing when none is near."""
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
