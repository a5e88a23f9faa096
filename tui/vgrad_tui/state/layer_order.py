"""Which layers are shown and in which order, the same for every view that lists them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vgrad_tui.draw.numbers import safe
from vgrad_tui.state.run_state import State

if TYPE_CHECKING:
    from vgrad.events.run_info import RunInfo

SORTS = ("model", "largest ‖g‖", "smallest ‖g‖", "largest update", "mark", "name")

_SORT_EVERY_S = 2.0  # rows that change places more often cannot be read


class LayerOrder:
    """The layers that a filter lets through, sorted.

    Args:
        state: The run.

    Attributes:
        names: Printable names of all layers, in the model's order; empty until they are known.
        sort: Index into `SORTS`.
        filter: Part of a name that a layer needs in order to be shown, in any case; empty shows all.
        shown: Indices of the shown layers, in order.
        version: Grows whenever ``shown`` changes.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._info: RunInfo | None = None
        self._made_at = 0.0
        self.names: list[str] = []
        self.sort = 0
        self.filter = ""
        self.shown: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.version = 0

    def follow(self) -> None:
        """Take the names of the shown part once they are known; sort again where the numbers have changed."""
        if self._info is not self._state.info and self._state.info is not None:
            self._info = self._state.info
            self.names = [safe(name) for name in self._state.info.layers]
            self.renew()
        moves = self.sort not in (SORTS.index("model"), SORTS.index("name"))
        if moves and time.monotonic() - self._made_at > _SORT_EVERY_S:
            self.renew()

    def renew(self) -> None:
        """Sort and filter now."""
        order = self._sorted()
        if self.filter:
            order = order[self._matches()[order]]
        self.shown = order
        self.version += 1
        self._made_at = time.monotonic()

    def by_depth(self) -> NDArray[np.int64]:
        """The shown layers in the model's order, whatever they are sorted by."""
        return np.sort(self.shown)

    def marks(self) -> NDArray[np.uint8]:
        """A mark for every layer of the model; only once there is a record."""
        return self._state.layer_marks()

    def _matches(self) -> NDArray[np.bool_]:
        needle = self.filter.lower()
        return np.array([needle in name.lower() for name in self.names], dtype=np.bool_)

    def _sorted(self) -> NDArray[np.int64]:
        """All layers; in the model's order as long as there are no numbers to sort by."""
        record, stats = self._state.record, self._state.stats
        order = np.arange(len(self.names))
        match SORTS[self.sort]:
            case "largest ‖g‖" if record is not None:
                order = np.argsort(-record.grad_norms, kind="stable")
            case "smallest ‖g‖" if record is not None:
                order = np.argsort(record.grad_norms, kind="stable")
            case "largest update" if stats is not None:
                order = np.argsort(-np.nan_to_num(stats.update_ratio, nan=-1.0), kind="stable")
            case "mark" if record is not None:
                order = np.argsort(-self.marks().astype(np.int64), kind="stable")
            case "name":
                order = np.array(sorted(order.tolist(), key=self.names.__getitem__), dtype=np.int64)
        return order
