"""Numbers that a loop reports by `Watch.log`: what is none must not end the training."""

from __future__ import annotations

import logging

from torch import Tensor

from vgrad.validation import brief

_log = logging.getLogger("vgrad")


class LoggedNumbers:
    """Reads what a loop reports, and says once for each name that something was no number."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def read(self, name: str, value: object) -> Tensor | float | None:
        """``value`` as a float; a tensor of one entry on an accelerator as it is. None if it is no number."""
        if isinstance(value, Tensor):
            value = value.detach()  # torch warns of a number with a graph
            if not value.is_cpu and value.numel() == 1:
                return value
        try:
            return float(value)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001  # several entries, complex, a text, too large, somebody's own class
            if name not in self._said:
                self._said.add(name)
                what = (
                    f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else brief(value)
                )
                _log.warning("%s was logged as %s, which is no number: it is left out", name, what)
            return None
