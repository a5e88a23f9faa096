"""The main screen: what is running, the loss, the controls, every layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from vgrad_tui.keys import KEYS, Key
from vgrad_tui.state.layer_order import LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.controls_panel import ControlsPanel
from vgrad_tui.widgets.heat_map import HeatMap
from vgrad_tui.widgets.histogram import HistogramView
from vgrad_tui.widgets.journal import Journal
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.layer_table import LayerTable
from vgrad_tui.widgets.lines import Lines, StyledScreen
from vgrad_tui.widgets.loss_pane import EffectLine, LossPane
from vgrad_tui.widgets.output import OutputView
from vgrad_tui.widgets.tabs import Tabs
from vgrad_tui.widgets.text_field import TextField
from vgrad_tui.widgets.through_time import TimeView
from vgrad_tui.widgets.topline import TopLine
from vgrad_tui.widgets.transform_chain import ChainView
from vgrad_tui.widgets.verdict import VerdictLines
from vgrad_tui.widgets.view import View


class MainScreen(StyledScreen[None]):
    """Chart above, controls beside it (below it when narrow), one of several views under them.

    Args:
        state: What it shows.
        column_s: Seconds that a column of the sparklines may stand for, at least.
        log: The file that the run's process prints into; None where there is none.
        keys: The keys that work on it.
        bar: A row above those keys.

    Attributes:
        order: The layers that the views show.
        views: All views by their names, in the order of their keys.
        view: The view that is shown.
    """

    AUTO_FOCUS = "#layers"
    # The class is set where the width is at least so many cells.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-medium"), (112, "-wide")]  # noqa: RUF012  # an instance variable to Textual's types

    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (24, "-tall")]  # noqa: RUF012  # likewise

    def __init__(
        self,
        state: State,
        *,
        column_s: float,
        log: Path | None = None,
        keys: Sequence[Key] = KEYS,
        bar: Lines | None = None,
    ) -> None:
        super().__init__()
        self._bar = bar
        self._keys = keys
        self._state = state
        self.order = LayerOrder(state)
        self._loss = LossPane()
        views: list[View] = [
            LayerTable(state, self.order, column_s=column_s),
            HeatMap(state, self.order, lambda: self._loss.steps_shown(state)),
            HistogramView(state, self.order),
            TimeView(state, self.order),
            ChainView(state, self.order),
        ]
        if log is not None:
            views.append(OutputView(state, self.order, log))
        self.views: dict[str, View] = {view.NAME: view for view in views}
        self.view: View = views[0]

    def compose(self) -> ComposeResult:
        """Lay the widgets out; the style sheet says where each goes."""
        yield TopLine()
        yield VerdictLines()
        with Container(id="upper"):
            with Vertical(id="left"):
                yield self._loss
            with Vertical(id="right"):
                yield ControlsPanel()
                yield Journal()
        yield EffectLine()
        yield Tabs(tuple(self.views.values()))
        for view in self.views.values():
            view.display = view is self.view
            yield view
        yield TextField(placeholder="part of a layer's name; enter keeps it, esc shows all", id="filter")
        if self._bar is not None:
            yield self._bar
        yield KeyBar(self._keys)

    def on_mount(self) -> None:
        """Say in the very first frame what is going on."""
        self._show_top()

    def refresh_view(self, *, chart: bool) -> None:
        """Show everything as it is now.

        Args:
            chart: Whether the chart is due: it is the most expensive part to draw and to send.
        """
        state = self._state
        self._show_top()
        self.query_one(ControlsPanel).update(state)
        self.query_one(Journal).update(state.journal)
        if chart:
            self._loss.update(state)
            self.query_one(EffectLine).update(state)
        self.show_view()

    def _show_top(self) -> None:
        self.query_one(TopLine).update(self._state)
        self.query_one(VerdictLines).update(self._state)

    def show_view(self) -> None:
        """Show the lower half as it is now; what is hidden costs nothing."""
        self.view.update()
        self.query_one(Tabs).update(self.view)

    def choose_view(self, name: str) -> None:
        """Show another view, at the layer that was chosen in this one."""
        before, self.view = self.view, self.views[name]
        before.display, self.view.display = False, True
        if before.has_focus:
            self.view.focus(scroll_visible=False)
        if before is not self.view:
            self.view.choose(before.chosen)
        self.call_after_refresh(self.show_view)

    def open_filter(self) -> None:
        """Ask for a part of a layer's name."""
        field = self.query_one("#filter", TextField)
        field.add_class("-open")
        field.focus()

    def close_filter(self, *, keep: bool) -> None:
        """Hide the field; forget the filter unless it is kept."""
        field = self.query_one("#filter", TextField)
        if not keep:
            field.value = ""
        field.remove_class("-open")
        self.view.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self.order.filter = event.value
        self.order.renew()
        self.show_view()

    def on_input_submitted(self) -> None:
        """Enter keeps the filter."""
        self.close_filter(keep=True)

    def key_escape(self) -> None:
        """Esc shows all layers again."""
        self.close_filter(keep=False)
