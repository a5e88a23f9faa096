"""The closure of ``optimizer.step(closure)``, in which the backward pass of the step runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vgrad.watching.outside_modes import has_function_mode, num_dispatch_modes, outside_modes
from vgrad.watching.tracebacks import leave_out_this_frame

if TYPE_CHECKING:
    from collections.abc import Callable


def closure_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any] | None:
    """The closure among the arguments of a step pre-hook, whose first is the optimizer itself."""
    closure = args[1] if len(args) > 1 else kwargs.get("closure") if kwargs else None
    return closure if callable(closure) else None


def with_closure(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    closure: Callable[[], Any],
    after: Callable[[object], None],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a step whose closure also calls ``after`` with what it returns, at each return."""

    def wrapped() -> Any:
        try:
            loss = closure()
        except BaseException as error:
            leave_out_this_frame(error)
            raise
        if num_dispatch_modes() or has_function_mode():
            outside_modes(after, loss)
        else:
            after(loss)
        return loss

    if len(args) > 1:
        return (args[0], wrapped, *args[2:]), kwargs
    return args, {**kwargs, "closure": wrapped}
