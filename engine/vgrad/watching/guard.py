"""Keeps an error of ours out of somebody's training step: it is reported once, and watching ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar, cast

from vgrad.gradients.rank_sums import RankLeftError
from vgrad.watching.outside_modes import has_function_mode, num_dispatch_modes, outside_modes

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("vgrad")
_Result = TypeVar("_Result")

is_off = False
"""Whether errors are raised instead. For our own tests alone, which must see them."""


def report(error: Exception, guard: Guard | None) -> None:
    """Give ``error`` to ``guard``; raise it where there is none, as in a loop of our own."""
    if guard is None:
        raise error
    guard.caught(error)


class Guard:
    """Stands between the hooks and the loop that calls them.

    Args:
        name: What is watched, for the report.
        end: Ends watching and puts back all that was changed for the step that is running.

    Attributes:
        error: The first error, or None.
    """

    def __init__(self, name: str, end: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._name = name
        self._end = end

    def call(self, function: Callable[[], _Result]) -> _Result | None:
        """What ``function`` returns; None where it raises, which ends watching, see `caught`.

        It is called outside the modes of the loop, see `outside_modes`.
        """
        try:
            if num_dispatch_modes() or has_function_mode():
                return cast("_Result", outside_modes(function))
            return function()
        except Exception as error:  # noqa: BLE001  # none of ours may reach the loop
            self.caught(error)
            return None

    def caught(self, error: Exception) -> None:
        """Report ``error`` and end watching.

        Raises:
            Exception: The same error, where the guard is off.
        """
        if is_off:
            raise error
        if self.error is not None:
            return
        self.error = error
        if isinstance(error, RankLeftError):
            _log.warning("watching %s has ended; training goes on: %s", self._name, error)
        else:
            _log.error(
                "watching %s has ended because of an error inside vgrad; training goes on",
                self._name,
                exc_info=error,
            )
        try:
            self._end()
        except Exception:  # noqa: BLE001  # the step must not see this one either
            _log.exception("vgrad could not end watching %s cleanly", self._name)
