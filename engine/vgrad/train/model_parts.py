"""What of a built-in model can be changed while it trains, its weights kept. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

from vgrad.errors import ConfigError
from vgrad.validation import brief


class Structured:
    """A model whose parts can be changed between two steps; a mixin for `torch.nn.Module`.

    No change makes, drops or resizes a parameter, so the weights stay and the optimizer's state
    keeps fitting. Training and validation see the same parts. They are not in ``state_dict()``,
    which stays that of the plain model: save `current` together with the model.

    The parts, as far as a model has them:

    ``activation``
        The function between two layers.
    ``skip``
        Whether a layer's input is added to its output (He et al. 2015, arXiv:1512.03385).
    ``layer_norm``
        Whether features are brought to zero mean and unit variance (Ba et al. 2016,
        arXiv:1607.06450), without gain and bias where the model has none of its own. Measured, it
        does not cure our deep sigmoid and tanh stacks once they are stuck.
    """

    _structure: dict[str, tuple[str, ...]]
    _current: dict[str, str]

    def _declare(self, structure: Mapping[str, tuple[str, ...]], initial: Mapping[str, str | bool]) -> None:
        """Say which parts there are and what they may be, and set each of them."""
        self._structure = dict(structure)
        self._current = {}
        for name in structure:
            self.set_structure_(name, as_text(initial[name]))

    @property
    def structure(self) -> dict[str, tuple[str, ...]]:
        """What each changeable part may be."""
        return dict(self._structure)

    def part(self, name: str) -> str:
        """What a part is now."""
        return self._current[name]

    def has(self, name: str) -> bool:
        """Whether a part that can be on or off is on."""
        return self._current[name] == "on"

    def set_structure_(self, name: str, value: str) -> None:
        """Change a part, from the next forward pass on.

        Raises:
            ConfigError: If the model has no such part, or the part cannot be that; says what there is.
        """
        if name not in self._structure:
            parts = ", ".join(f"{part} ({' | '.join(values)})" for part, values in self._structure.items())
            raise ConfigError(f"this model has no part {brief(name)} that can be changed; it has {parts}")
        if value not in self._structure[name]:
            raise ConfigError(f"{name} must be one of {', '.join(self._structure[name])}, got {brief(value)}")
        self._current[name] = value


def as_text(value: str | bool) -> str:
    """A part's value as text: True is ``"on"``, False is ``"off"``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


def structure_of(model: object) -> dict[str, tuple[str, ...]]:
    """What each changeable part of ``model`` may be; empty for a model that is not built in."""
    return model.structure if isinstance(model, Structured) else {}


def current(model: object) -> dict[str, str]:
    """What each changeable part of ``model`` is now; empty for a model that is not built in."""
    return {name: model.part(name) for name in model.structure} if isinstance(model, Structured) else {}


def set_structure_(model: object, name: str, value: str) -> None:
    """Change a part of ``model``, from the next forward pass on.

    Raises:
        ConfigError: If the model is not built in, has no such part, or the part cannot be that.
    """
    if not isinstance(model, Structured):
        raise ConfigError(
            f"cannot set {name[:40]} to {value[:40]}: only a built-in recipe's model can be changed "
            "while it trains, and this one is not"
        )
    model.set_structure_(name, value)
