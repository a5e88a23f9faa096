"""The variables of the functions that a thread is inside of, read without a trace in these functions.

Before Python 3.13, reading the variables of a running function copies them into the one dict that `locals()`
returns there. Somebody may hold that dict, as the settings of a training; and it would keep alive what the
variables held. So a function that calls `locals` is left out there, and the dict of any other is emptied.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_ARE_COPIED = sys.version_info < (3, 13)
_RETURN_THE_COPY = frozenset({"locals", "vars"})


def variables_of_callers(frame: FrameType | None) -> Iterator[tuple[FrameType, Sequence[tuple[str, Any]]]]:
    """``frame`` and each frame that it was called from, the innermost first, with its variables by name."""
    while frame is not None:
        yield frame, _variables(frame)
        frame = frame.f_back


def _variables(frame: FrameType) -> Sequence[tuple[str, Any]]:
    is_copied = _ARE_COPIED and bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)
    if is_copied and not _RETURN_THE_COPY.isdisjoint(frame.f_code.co_names):
        return ()
    variables = frame.f_locals
    found = list(variables.items())
    if is_copied:
        variables.clear()
    return found
