"""The actions that change nothing but what the screen shows, and how.

The screens that lie over the main one are imported when they are asked for: the first frame
need not wait for them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from textual.screen import Screen

from vgrad.events.batch import Batch
from vgrad.events.notices import RankReported, RunEnded
from vgrad.store.folder import file_stem
from vgrad_tui.app.refresh_rate import RefreshRate
from vgrad_tui.draw.numbers import safe
from vgrad_tui.keys import KEYS, Key
from vgrad_tui.screens.main import MainScreen
from vgrad_tui.state.layer_order import SORTS
from vgrad_tui.state.run_state import State
from vgrad_tui.terminal.diff_app import DiffApp
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.lines import Lines
from vgrad_tui.widgets.loss_pane import LossPane
from vgrad_tui.widgets.tabs import Tabs
from vgrad_tui.widgets.view import View

_JUST_S = 10.0


@runtime_checkable
class Follower(Protocol):
    """A screen over the main one that follows the run."""

    def refresh_view(self) -> None:
        """Show everything as it is now."""


class ViewActions(DiffApp):
    """Shows a state on the main screen and on those over it.

    Args:
        refresh_rate: How often to draw.
        log: The file that the run's process prints into; None, or no file, where it prints elsewhere.

    Attributes:
        state: What the screen shows.
    """

    KEYS: ClassVar[Sequence[Key]] = KEYS

    def __init__(self, refresh_rate: RefreshRate, *, log: Path | None = None) -> None:
        super().__init__()
        self._output_log = log if log is not None and log.is_file() else None
        self.state = State()
        self._refresh_rate = refresh_rate

    def get_default_screen(self) -> Screen[Any]:
        """The main screen is there from the first frame."""
        return self.new_main_screen()

    def new_main_screen(self, bar: Lines | None = None) -> MainScreen:
        """A main screen, with ``bar`` above its keys."""
        column_s = self._refresh_rate.column_s
        return MainScreen(self.state, column_s=column_s, log=self._output_log, keys=self.KEYS, bar=bar)

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def refresh_view(self, *, chart: bool) -> None:
        """Show everything as it is now, the chart too if asked to."""
        if chart:
            self._refresh_rate.chart_was_drawn()
        main, over = self.main, self.screen
        main.refresh_view(chart=chart)
        # The main screen has such a method too. One that was just opened has no widgets yet.
        if over is not main and isinstance(over, Follower) and over.is_mounted:
            over.refresh_view()

    def on_resize(self) -> None:
        """Draw for the new size at once."""
        self.call_after_refresh(self.refresh_view, chart=True)

    def action_log(self) -> None:
        """Logarithmic or linear loss."""
        pane = self.main.query_one(LossPane)
        pane.is_log = not pane.is_log
        self.refresh_view(chart=True)

    def action_zoom(self, steps: int) -> None:
        """Show less or more of the run."""
        self.main.query_one(LossPane).zoom(steps, self.state.step)
        self.refresh_view(chart=True)

    def action_pan(self, direction: int) -> None:
        """Move a zoomed chart."""
        self.main.query_one(LossPane).pan(direction, self.state.step)
        self.refresh_view(chart=True)

    def action_sort(self) -> None:
        """Sort the layers by the next criterion."""
        order = self.main.order
        order.sort = (order.sort + 1) % len(SORTS)
        order.renew()
        self.refresh_view(chart=False)

    def action_scale(self) -> None:
        """One scale for all layers, or one each."""
        self.main.view.toggle_scale()
        self.refresh_view(chart=False)

    def action_next_part(self) -> None:
        """Show the next part of the run, where there are several."""
        if len(self.state.parts) < 2:
            self.notify("this run has one part", timeout=2)
            return
        self.state.show_next_part()
        self.refresh_view(chart=True)

    def action_view(self, name: str) -> None:
        """Show another view."""
        if name in self.main.views:
            self.main.choose_view(name)
        else:
            self.notify("no log: what the run prints goes elsewhere", timeout=3)

    def on_tabs_pressed(self, event: Tabs.Pressed) -> None:
        """A click on a tab does what its key does."""
        self.main.choose_view(event.name)

    def action_filter(self) -> None:
        """Filter the layers."""
        self.main.open_filter()

    def on_view_opened(self, event: View.Opened) -> None:
        """Open one layer."""
        from vgrad_tui.screens.layer import LayerScreen

        self.push_screen(LayerScreen(self.state, event.index))

    def action_journal(self) -> None:
        """Show the journal."""
        from vgrad_tui.screens.journal import JournalScreen

        self.push_screen(JournalScreen(self.state.journal))

    def tell_of_ranks(self, batch: Batch) -> None:
        """Say what has just happened to a rank; the journal has what happened before."""
        for notice in batch.notices:
            if isinstance(notice.body, RankReported) and time.time() - notice.time_s < _JUST_S:
                words = safe(f"rank {notice.body.rank}: {notice.body.what}")
                self.notify(f"{words} (R shows all ranks)", severity="warning", timeout=8, markup=False)

    def action_ranks(self) -> None:
        """Show the ranks of a training over several processes."""
        from vgrad_tui.screens.ranks import RanksScreen

        self.push_screen(RanksScreen(self.state))

    def action_help(self) -> None:
        """Show all keys."""
        from vgrad_tui.screens.help import HelpScreen

        bars = self.screen.query(KeyBar)  # a dialog has none
        self.push_screen(HelpScreen(self.KEYS, here=bars.first().keys if bars else ()))

    def action_why(self) -> None:
        """Show the whole verdict, or how the run ended."""
        if self.state.ended is None:
            from vgrad_tui.screens.verdict import VerdictScreen

            self.push_screen(VerdictScreen(self.state))
        else:
            self._show_result(self.state.ended)

    def _show_result(self, ended: RunEnded) -> None:
        from vgrad_tui.screens.result import ResultScreen

        losses = (
            "not known" if loss is None else f"{loss:.4g}" for loss in (ended.loss_first, ended.loss_last)
        )
        is_known = ended.loss_first is not None or ended.loss_last is not None
        whose = self.state.of_part(0)
        text = ended.traceback_text or (f"loss{whose} {' → '.join(losses)}" if is_known else "")
        if ended.val_loss is not None:
            text += f"\nvalidation {ended.val_loss:.4g}"
        if ended.message is not None:
            text += f"\n{ended.message}"
        title = ended.error or f"{ended.reason} after {ended.step:,} steps"
        verdict = self.state.verdict
        if verdict.evidence:  # a run that failed before its first steps has none
            text += f"\n{verdict.kind}: {verdict.evidence}"
        self.push_screen(ResultScreen(title, text))

    def action_picture(self) -> None:
        """Save the screen as an SVG file where the program was started."""
        name = "waiting" if self.state.info is None else file_stem(self.state.info.recipe)
        path = Path(f"vgrad-{name}-{self.state.step}.svg")
        try:
            path.write_text(self.export_screenshot(), encoding="utf-8")
        except OSError as error:
            self.notify(f"cannot write {path}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)
