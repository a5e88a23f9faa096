"""Notices that ``optimizer.step()`` has raised: torch calls no post-hook then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vgrad.watching.hooks import is_inside_a_step

if TYPE_CHECKING:
    from collections.abc import Callable


class WatchedArgs(tuple[Any, ...]):  # noqa: SLOT001  # a tuple cannot have slots that are not empty
    """The arguments of one ``step``, unchanged, which call ``when_freed`` when the step's frame is gone.

    A step that raises leaves its frame to the traceback, and both go as soon as the exception has been
    handled. So what was changed for the step is put back without waiting for another step. A handler that
    saves the optimizer finds it put back already, see `vgrad.watching.hooks.StepHooks`.
    """

    when_freed: Callable[[], None] | None = None

    @classmethod
    def of(cls, args: tuple[Any, ...], when_freed: Callable[[], None]) -> WatchedArgs:
        """``args`` with the call."""
        watched = cls(args)
        watched.when_freed = when_freed
        return watched

    def __del__(self) -> None:
        if self.when_freed is not None and not is_inside_a_step():
            self.when_freed()
