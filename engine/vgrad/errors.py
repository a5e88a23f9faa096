"""What can go wrong, as a tree. Every message says what to do next.

VgradError
├── ConfigError      a value that makes no sense: a flag, a TOML key, a threshold
│   └── RecipeError  a recipe that does not exist
├── DataError        text that cannot be read, is empty, or is too short; a saved state that is damaged
└── MissingExtra     an optional package is needed and is not installed
"""

from __future__ import annotations


class VgradError(Exception):
    """Base of every error that vgrad raises on purpose."""


class ConfigError(VgradError, ValueError):
    """A setting makes no sense."""


class RecipeError(ConfigError):
    """No recipe has this name."""


class DataError(VgradError):
    """The training data, or a saved state, cannot be used."""


class MissingExtra(VgradError, ImportError):
    """An optional dependency is not installed."""
