"""What every part of a judge has in common: its state can be captured and put back."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np


class JudgePart:
    """Remembers something of the steps seen so far, all of it in its attributes.

    Attributes hold numbers, flags, words, frozen values, lists, deques and arrays of these, or parts of its
    own, and nothing that is shared with anybody else. So a state is a copy of the attributes.
    """

    def capture(self) -> dict[str, Any]:
        """The state as plain data, by attribute; deques and arrays as lists."""
        return {name: _plain(value) for name, value in vars(self).items()}

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
            if isinstance(now, JudgePart):
                now.restore_(value)
                continue
            if isinstance(now, deque):
                value = deque(map(_hashable, value), maxlen=now.maxlen)
            elif isinstance(now, (list, tuple)):
                value = type(now)(value)
            elif isinstance(now, np.ndarray):
                value = np.array(value, dtype=now.dtype)
            setattr(self, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, JudgePart):
        return value.capture()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, (deque, list)) else value


def _hashable(value: Any) -> Any:
    """A pair that has been through JSON is a list."""
    return tuple(value) if isinstance(value, list) else value
