"""Numbers, units, commands and outside text, as short as a narrow column needs them."""

from __future__ import annotations

import math

from vgrad.printable import printable

SCI_WIDTH = 7
_VARIATION_SELECTORS = dict.fromkeys(range(0xFE00, 0xFE10))


def sci(value: float) -> str:
    """``3.1e-2``: two digits and an exponent, right-aligned in 7 columns.

    A digit is given up where the exponent or a sign needs its place. ``nan``, ``inf`` and
    ``-inf`` stay what they are, and an exact zero is ``0``.
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}".replace("-0", "0").rjust(SCI_WIDTH)
    for digits in (1, 0):
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
        if len(text) <= SCI_WIDTH:
            break
    return text.rjust(SCI_WIDTH)


def number(value: float) -> str:
    """Three digits, ``0.166``, ``2.49``, ``412``, where they read well, else as `sci`; 7 columns.

    ``nan``, ``inf`` and an exact 0 stay what they are.
    """
    size = float(f"{abs(value):.3g}")  # as it will be written: 0.9999 is 1.00
    if not 0.01 <= size < 9999.5:  # also NaN
        return sci(value)
    decimals = max(0, 2 - math.floor(math.log10(size)))
    return f"{value:.{decimals}f}".rjust(SCI_WIDTH)


def rate(per_s: float) -> str:
    """``412/s``, ``12k/s``, ``0.52/s``, ``3.3e-3/s``; ``–/s`` where it is not known yet."""
    if not math.isfinite(per_s):
        return "–/s"
    if per_s >= 999.5e3:
        return f"{per_s / 1e6:.1f}M/s"
    if per_s >= 9999.5:
        return f"{per_s / 1e3:.0f}k/s"
    if 0 < per_s < 0.01:  # a step of minutes
        return f"{sci(per_s).strip()}/s"
    return f"{per_s:,.0f}/s" if per_s >= 9.995 else f"{per_s:.2f}/s"


def duration(seconds: float) -> str:
    """``00:03:07``, hours as many as it takes; ``--:--:--`` where it is not known."""
    if not math.isfinite(seconds) or seconds < 0:
        return "--:--:--"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}"


def count(number: int) -> str:
    """``1,284``; from a million on ``1.2M``, ``3.4B``, ``5.6T``."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if abs(number) >= size:
            tenths = abs(number) * 10 // size  # cut, not rounded: what is shown has been reached
            return f"{'-' if number < 0 else ''}{tenths // 10:,}.{tenths % 10}{unit}"
    return f"{number:,}"


def age(steps: int) -> str:
    """How many steps ago something was measured: ``now``, ``1,284``."""
    return "now" if steps <= 0 else count(steps)


def percent(share: float) -> str:
    """A share in [0, 1] as ``38 %``; 0 and 100 only where it is exactly that. ``–`` for NaN: not known."""
    if not math.isfinite(share):
        return "–"
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share * 100:.0f} %"


def safe(text: str) -> str:
    r"""Return outside text (a layer's name, an error) as something that can only be read.

    Control characters, escape sequences, bidirectional overrides and line breaks come out as
    ``\x1b``, ``\u202e`` and ``\n``: in one line, and never as an order to the terminal. Variation selectors
    are left out: terminals disagree on the width of an emoji with one, and the rest of the line would shift.
    """
    return printable(text).translate(_VARIATION_SELECTORS)
