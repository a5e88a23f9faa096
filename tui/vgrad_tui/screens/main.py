"""The main screen: what is running, the loss, the controls, every layer."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from vgrad.transforms.clip import Clip
from vgrad_tui.keys import KEYS
from vgrad_tui.state import State
from vgrad_tui.widgets.chart import EffectLine, LossPane
from vgrad_tui.widgets.controls import Controls
from vgrad_tui.widgets.journal import Journal
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.layers import LayerTable, LayerTitle
from vgrad_tui.widgets.lines import Palette
from vgrad_tui.widgets.topline import TopLine, VerdictLine


class MainScreen(Palette[None]):
    """Chart above, controls beside it (below it when narrow), layers under them."""

    AUTO_FOCUS = "#layers"
    # The class is set where the width is at least so many cells.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-medium"), (112, "-wide")]  # noqa: RUF012  # an instance variable to Textual's types

    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-tall")]  # noqa: RUF012  # likewise

    def __init__(self, state: State, *, column_s: float) -> None:
        super().__init__()
        self._state = state
        self._column_s = column_s

    def compose(self) -> ComposeResult:
        """Lay the widgets out; the style sheet says where each goes."""
        yield TopLine()
        yield VerdictLine()
        with Container(id="upper"):
            with Vertical(id="left"):
                yield LossPane()
            with Vertical(id="right"):
                yield Controls()
                yield Journal()
        yield EffectLine()
        yield LayerTitle()
        yield LayerTable(self._state, column_s=self._column_s)
        yield Input(placeholder="part of a layer's name; enter keeps it, esc shows all", id="filter")
        yield KeyBar(KEYS)

    def show(self, spare_clip: Clip, *, chart: bool) -> None:
        """Show the state as it is now.

        Args:
            spare_clip: The clipping that ``c`` would turn on.
            chart: Whether the chart is due: it is the dearest to draw and to send.
        """
        state = self._state
        self.query_one(TopLine).update(state)
        self.query_one(VerdictLine).update(state)
        self.query_one(Controls).update(state, spare_clip)
        self.query_one(Journal).update(state.journal)
        if chart:
            self.query_one(LossPane).update(state)
            self.query_one(EffectLine).update(state)
        table = self.query_one(LayerTable)
        table.update()
        self.query_one(LayerTitle).update(table)

    def open_filter(self) -> None:
        """Ask for a part of a layer's name."""
        field = self.query_one("#filter", Input)
        field.add_class("-open")
        field.focus()

    def close_filter(self, *, keep: bool) -> None:
        """Hide the field; forget the filter unless it is kept."""
        field = self.query_one("#filter", Input)
        if not keep:
            field.value = ""
        field.remove_class("-open")
        self.query_one(LayerTable).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        table = self.query_one(LayerTable)
        table.filter = event.value
        table.reorder()
        table.update()
        self.query_one(LayerTitle).update(table)

    def on_input_submitted(self) -> None:
        """Enter keeps the filter."""
        self.close_filter(keep=True)

    def key_escape(self) -> None:
        """Esc shows all layers again."""
        self.close_filter(keep=False)
