"""What every part of a judge has in common: its state can be captured and put back."""

from __future__ import annotations

from collections import deque
from typing import Any


class JudgePart:
    """Remembers something of the steps seen so far, all of it in its attributes.

    Attributes hold numbers, flags, words, frozen values, or lists and deques of these, and nothing that
    is shared with anybody else. So a state is a copy of the attributes.
    """

    def capture(self) -> dict[str, Any]:
        """The state as plain data, by attribute; deques as lists."""
        return {
            name: list(value) if isinstance(value, (deque, list)) else value
            for name, value in vars(self).items()
        }

    def restore_(self, captured: dict[str, Any]) -> None:
        """Put a state back that `capture` returned.

        Raises:
            ValueError: If it is the state of something else; nothing is changed then.
        """
        mine = vars(self)
        if captured.keys() != mine.keys():
            differing = ", ".join(sorted(captured.keys() ^ mine.keys()))
            raise ValueError(f"not a state of {type(self).__name__}: differs in {differing}")
        for name, value in captured.items():
            now = mine[name]
            if isinstance(now, deque):
                value = deque(map(_hashable, value), maxlen=now.maxlen)
            elif isinstance(now, (list, tuple)):
                value = type(now)(value)
            setattr(self, name, value)


def _hashable(value: Any) -> Any:
    """A pair that has been through JSON is a list."""
    return tuple(value) if isinstance(value, list) else value
