"""How much room runs may take: beyond that the oldest that have ended are removed, and named."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.store.folder import all_runs
from vgrad.store.move_from_local import complete_moves

if TYPE_CHECKING:
    from vgrad.store.folder import RunFolder

USUAL_GIB = 10.0
USUAL_CHECKPOINTS_GIB = 5.0
_VARIABLE = "VGRAD_MAX_GIB"
_CHECKPOINTS = "VGRAD_MAX_CHECKPOINTS_GIB"


def limit_bytes() -> float:
    """Bytes that all runs may take together: 10 GiB, or what ``VGRAD_MAX_GIB`` says, 0 for no limit.

    Raises:
        ConfigError: If the variable holds no such number.
    """
    return _bytes_of(_VARIABLE, USUAL_GIB)


def checkpoints_limit_bytes() -> float:
    """Bytes that the checkpoints of one run may take: 5 GiB, or what ``VGRAD_MAX_CHECKPOINTS_GIB`` says.

    Raises:
        ConfigError: If the variable holds no such number.
    """
    return _bytes_of(_CHECKPOINTS, USUAL_CHECKPOINTS_GIB)


def size_words(num_bytes: float) -> str:
    """A size as people read it: ``0.2 MiB``, ``5.0 GiB``."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def _bytes_of(variable: str, usual_gib: float) -> float:
    text = os.environ.get(variable)
    try:
        gib = usual_gib if text is None else float(text)
    except ValueError:
        gib = math.nan
    if not gib >= 0:
        raise ConfigError(f"{variable} must be a number of GiB, 0 for no limit, got {text!r}")
    return gib * 2**30 if gib else math.inf


def make_room(*, keep: str | None = None) -> list[str]:
    """Remove the oldest runs that have ended until the rest fits, and say of each that it was removed.

    A run that is alive stays, whatever it takes.

    Args:
        keep: Name of a run that stays, too: one that is about to be resumed.

    Raises:
        ConfigError: If that limit, or that of checkpoints, makes no sense.
    """
    checkpoints_limit_bytes()  # what makes no sense is known before anything starts
    limit = limit_bytes()
    if limit == math.inf:
        return []
    try:
        complete_moves()
        sizes = {folder: folder.num_bytes() for folder in all_runs()}
    except OSError:  # where runs cannot be listed none is removed; whoever records says what is wrong there
        return []
    total = sum(sizes.values())
    said = []
    for folder, size in reversed(sizes.items()):
        if total <= limit:
            break
        if folder.name != keep and _is_removed(folder):
            total -= size
            said.append(
                f"removed the run {folder.name} ({size_words(size)}): all runs together took more than "
                f"{size_words(limit)} ({_VARIABLE})"
            )
    return said


def _is_removed(folder: RunFolder) -> bool:
    try:
        folder.remove()
    except (ConfigError, OSError):  # it is alive, or another process was faster
        return False
    return True
