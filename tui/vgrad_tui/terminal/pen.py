"""The colours and attributes that the terminal writes with: what it has already is not sent again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rich.color import ColorSystem
from rich.style import Style

_ATTRIBUTES = {
    "bold": "1", "dim": "2", "italic": "3", "underline": "4", "blink": "5", "blink2": "6", "reverse": "7",
    "conceal": "8", "strike": "9", "underline2": "21", "frame": "51", "encircle": "52", "overline": "53",
}  # fmt: skip
_SEEN_ON_BLANKS = frozenset(
    _ATTRIBUTES[name] for name in ("underline", "reverse", "strike", "underline2", "frame", "overline")
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a character looks, as parameters of the sequence that sets it (SGR).

    Attributes:
        foreground: Of the character, such as ``38;2;255;0;0``.
        background: Behind it.
        attributes: Bold, underlined and so on.
    """

    foreground: str = "39"
    background: str = "49"
    attributes: frozenset[str] = frozenset()

    @property
    def shows_on_blanks(self) -> bool:
        """Whether a blank shows more of it than the background."""
        return not self.attributes.isdisjoint(_SEEN_ON_BLANKS)


PLAIN = Look()


@lru_cache(maxsize=4096)
def look_of(style: Style | None, system: ColorSystem) -> Look:
    """The look of a style on a terminal that knows these colours."""
    if style is None:
        return PLAIN
    foreground, background = (
        ";".join(color.downgrade(system).get_ansi_codes(is_foreground)) if color is not None else plain
        for color, is_foreground, plain in (
            (style.color, True, PLAIN.foreground),
            (style.bgcolor, False, PLAIN.background),
        )
    )
    attributes = frozenset(code for name, code in _ATTRIBUTES.items() if getattr(style, name))
    return Look(foreground, background, attributes)


class Pen:
    """Writes text in looks, and only what of a look the terminal does not have yet.

    It begins with a terminal that writes plainly; `put_down` leaves it so.
    """

    def __init__(self) -> None:
        self._look = PLAIN

    def write(self, text: str, look: Look) -> str:
        """The output that writes ``text``. Of blanks only what is seen of them is right."""
        now = self._look
        if look is now:
            return text
        if not (text.strip(" ") or look.shows_on_blanks or now.shows_on_blanks):
            look = Look(now.foreground, look.background, now.attributes)
        return self._take(look) + text

    def put_down(self) -> str:
        """The output after which the terminal writes plainly again."""
        return self._take(PLAIN)

    def _take(self, look: Look) -> str:
        now, codes = self._look, []
        self._look = look
        if look == PLAIN and now != PLAIN:
            return "\x1b[0m"
        if not now.attributes <= look.attributes:  # one of them ends, which all of them share a code for
            now, codes = PLAIN, ["0"]
        codes += sorted(look.attributes - now.attributes)
        if look.foreground != now.foreground:
            codes.append(look.foreground)
        if look.background != now.background:
            codes.append(look.background)
        return f"\x1b[{';'.join(codes)}m" if codes else ""
