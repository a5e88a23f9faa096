"""Layers that are not trained for a while."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from vgrad.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Freeze:
    """Give the optimizer no gradient for the layers that match: it skips them entirely.

    Neither momentum nor weight decay moves them, and their gradient is still shown. They are not part
    of the norm that clipping sees.

    Args:
        patterns: Shell patterns of layer names, separated by spaces: ``"embed rnn.*"``.

    Raises:
        ConfigError: If there is no pattern.
    """

    patterns: str = "*embed*"

    def __post_init__(self) -> None:
        given: object = self.patterns
        if not isinstance(given, str) or not given.split():
            raise ConfigError("freeze needs a pattern of layer names, such as 'embed' or 'layers.*'")

    def matching(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Indices of the layers that match, in order.

        Raises:
            ConfigError: If a pattern matches no layer, or all layers would be frozen.
        """
        patterns = self.patterns.split()
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
                raise ConfigError(f"no layer matches {pattern[:40]!r}; layers are: {shown}")
        frozen = [i for i, name in enumerate(names) if any(fnmatchcase(name, p) for p in patterns)]
        if len(frozen) == len(names):
            raise ConfigError("that would freeze every layer: leave at least one to train")
        return tuple(frozen)
