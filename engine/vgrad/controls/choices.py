"""What a control is: one of several variants, a number, or a word; each read from text and written to it.

A flag, a TOML key, a command from a script and the screen all read and write one form:
``zclip:2.5,alpha=0.97``, ``adam:1e-3``, ``off``, ``4``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from vgrad.controls.parameters import defaults, format_parameters, read, read_number, usage
from vgrad.errors import ConfigError
from vgrad.validation import brief, positive_float

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    ControlValue = DataclassInstance | float | str | None
    """What a control can be set to: a frozen value, a number, a word, or None for off."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that a control can be set to.

    Attributes:
        word: What to type, such as ``"zclip"``.
        type: Frozen dataclass of its values; None where the value is None: off.
        label: What it is called in a list.
        as_printed: Whether it is a method of the article as printed, not the field's standard one.
        helps: What it helps against, in a few words.
        fails: What it does not help against, or what it costs.
        source: Paper or function it is defined by.
        own_loop: Whether it runs passes of its own, which only vgrad's training loop can do.
    """

    word: str
    type: type[DataclassInstance] | None
    label: str = ""
    as_printed: bool = False
    helps: str = ""
    fails: str = ""
    source: str = ""
    own_loop: bool = False

    @property
    def parameters(self) -> Mapping[str, object]:
        """Default of each parameter."""
        return {} if self.type is None else defaults(self.type)

    def value(self) -> ControlValue:
        """The value with every parameter at its default."""
        return None if self.type is None else self.type()

    def build(self, text: str) -> ControlValue:
        """Read ``"2.5,alpha=0.97"``.

        Raises:
            ConfigError: If a parameter is unknown, unreadable or makes no sense.
        """
        if self.type is not None:
            return read(self.type, text, word=self.word)
        if text:
            raise ConfigError(f"{self.word} takes no parameters, got {brief(text)}")
        return None

    def usage(self) -> str:
        """The parameters with their defaults: ``z=2.5, alpha=0.97``."""
        return "no parameters" if self.type is None else usage(self.type)

    def format(self, value: object) -> str:
        """The text that reads back as ``value``."""
        given = self.given(value)
        return f"{self.word}:{','.join(given)}" if given else self.word

    def given(self, value: object) -> list[str]:
        """The parameters of ``value`` as text, but for those that are left at their defaults."""
        return format_parameters(value) if is_dataclass(value) and not isinstance(value, type) else []


Group = Literal["passes", "chain", "optimizer", "model"]
"""Where a control acts, in the order of a training step; the screen lists controls by it."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A control that is one of several variants.

    Attributes:
        name: Field of `Controls`, key in TOML, and flag.
        title: What it is called on the screen.
        help: One sentence about what it does.
        group: Where it acts.
        variants: By their words, the first of them the usual one to start from.
        shorthand: Word of the variant that a bare parameter means: ``4`` for ``mean:4``.
        own_loop: Whether every variant needs vgrad's own training loop.
    """

    name: str
    title: str
    help: str
    group: Group
    variants: Mapping[str, Variant]
    shorthand: str = ""
    own_loop: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """What may be typed."""
        return tuple(self.variants)

    def variant_of(self, value: object) -> Variant:
        """The variant that ``value`` belongs to.

        Raises:
            ConfigError: If it belongs to none.
        """
        for variant in self.variants.values():
            if value is None if variant.type is None else type(value) is variant.type:
                return variant
        raise ConfigError(f"{self.name} must be one of {', '.join(self.words)}, got {brief(value)}")

    def read(self, value: object) -> ControlValue:
        """Return ``value``, read if it is text, as a value of one of the variants.

        Raises:
            ConfigError: If it belongs to no variant, or its parameters make no sense.
        """
        if self.shorthand and isinstance(value, int | float) and not isinstance(value, bool):
            value = repr(value)
        if not isinstance(value, str):
            self.variant_of(value)
            return cast("ControlValue", value)
        word, colon, rest = (piece.strip() for piece in value.partition(":"))
        variant = self.variants.get(word.lower())
        if variant is None and word == "none":
            variant = self.variants.get("off")
        if variant is None and self.shorthand and word:
            return self._read_shorthand(value.strip())
        if variant is None:
            raise ConfigError(f"{self.name} must be one of {', '.join(self.words)}, got {brief(value)}")
        if colon and not rest:
            raise ConfigError(f"{variant.word} takes {variant.usage()} after the colon, got nothing")
        return variant.build(rest)

    def _read_shorthand(self, text: str) -> ControlValue:
        try:
            return self.variants[self.shorthand].build(text)
        except ConfigError as error:
            if not text[0].isalpha():
                raise  # a parameter, not a word
            raise ConfigError(f"{self.name} must be one of {', '.join(self.words)}; {error}") from error

    def format(self, value: object) -> str:
        """The text that `read` reads back as ``value``."""
        return self.variant_of(value).format(value)

    def shown(self, value: object) -> str:
        """``value`` for people: ``norm 1``, ``zclip 2.5 alpha=0.9``; the word alone where it says all."""
        variant = self.variant_of(value)
        given = [_short(text) for text in variant.given(value)]
        return " ".join(given if given and variant.word == self.shorthand else [variant.word, *given])


@dataclass(frozen=True, slots=True)
class Number:
    """A control that is a number in a range.

    Attributes:
        name: Field of `Controls`, key in TOML, and flag.
        title: What it is called on the screen.
        help: One sentence about what it does.
        group: Where it acts.
        least: Smallest that makes sense.
        most: Largest that makes sense.
        own_loop: Whether it needs vgrad's own training loop.
    """

    name: str
    title: str
    help: str
    group: Group
    least: float
    most: float
    own_loop: bool = False

    def read(self, value: object) -> float:
        """Return ``value`` as a float, reading it if it is text; raises `ConfigError` for nonsense."""
        if isinstance(value, str):
            value = read_number(value)
        return positive_float(self.name, value, at_least=self.least, at_most=self.most)

    def format(self, value: object) -> str:
        """The text that `read` reads back as ``value``."""
        return repr(value)

    def shown(self, value: object) -> str:
        """``value`` for people."""
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Word:
    """A control that is one of a few words, or None: as the model was built.

    Attributes:
        name: Field of `Controls`, key in TOML, and flag.
        title: What it is called on the screen.
        help: One sentence about what it does.
        group: Where it acts.
        words: What may be typed, besides ``"as-built"``.
        own_loop: Whether it needs vgrad's own training loop.
    """

    name: str
    title: str
    help: str
    group: Group
    words: tuple[str, ...]
    own_loop: bool = False

    def read(self, value: object) -> str | None:
        """Return ``value``, or None for ``"as-built"``; raises `ConfigError` for any other word."""
        word = value.strip().lower() if isinstance(value, str) else value
        if word is None or word == "as-built":
            return None
        if isinstance(word, bool):
            word = "on" if word else "off"
        if isinstance(word, str) and word in self.words:
            return word
        raise ConfigError(f"{self.name} must be one of as-built, {', '.join(self.words)}, got {brief(value)}")

    def format(self, value: object) -> str:
        """The text that `read` reads back as ``value``."""
        return "as-built" if value is None else str(value)

    def shown(self, value: object) -> str:
        """``value`` for people."""
        return self.format(value).replace("-", " ")


Control = OneOf | Number | Word


def variants(*rows: Variant) -> Mapping[str, Variant]:
    """The variants of a control, by their words."""
    return MappingProxyType({row.word: row for row in rows})


def _short(text: str) -> str:
    """``alpha=1.0`` as ``alpha=1``."""
    name, equals, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        return text
    return f"{name}{equals}{number:g}" if math.isfinite(number) else text
