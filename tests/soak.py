"""How often a test repeats what is random: a few times in ``make test``, many times in ``make soak``."""

from __future__ import annotations

import os


def times(usual: int, soak: int) -> int:
    """``usual``, or ``soak`` where the environment asks for it with ``VGRAD_SOAK``."""
    return soak if os.environ.get("VGRAD_SOAK") else usual
