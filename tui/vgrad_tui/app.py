"""The app: keys to commands, news to widgets. What happens on screen is in screens and widgets.

The screens that lie over the main one are imported when they are asked for: the first frame
need not wait for them.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from vgrad.controls import CheckGradients, Command, Pause, Reinit, Resume, Set, StepOnce
from vgrad.records import Batch
from vgrad.transforms.clip import ClipGradNorm
from vgrad_tui import methods, palette, steering
from vgrad_tui.bridge import Bridge
from vgrad_tui.keys import KEYS
from vgrad_tui.order import SORTS
from vgrad_tui.pace import Pace
from vgrad_tui.plots import warm_up
from vgrad_tui.screens.main import MainScreen
from vgrad_tui.sources import Source
from vgrad_tui.state import State
from vgrad_tui.thrift import ThriftyApp
from vgrad_tui.widgets.chart import LossPane
from vgrad_tui.widgets.controls import ControlRow
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.tabs import Tabs
from vgrad_tui.widgets.view import View

if TYPE_CHECKING:
    from vgrad_tui.screens.methods import MethodsScreen


@runtime_checkable
class Follower(Protocol):
    """A screen over the main one that follows the run."""

    def refresh_view(self) -> None:
        """Show everything as it is now."""


class VgradApp(ThriftyApp):
    """Watches one source and submits what the keys ask for.

    Args:
        source: The run.
        frugal: Draw seldom, for slow lines.
        observe: Is given every batch that arrives, too.

    Attributes:
        state: What the screen shows.
        spare_clip: The clipping that ``c`` would turn on.
        was_interrupted: Whether a signal ended it.
    """

    CSS_PATH = "app.tcss"
    TITLE = "vgrad-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in KEYS]

    def __init__(
        self, source: Source, *, frugal: bool = False, observe: Callable[[Batch], None] | None = None
    ) -> None:
        super().__init__()
        self._observe = observe
        self.state = State()
        self._source = source
        self._pace = Pace(frugal=frugal)
        self._bridge = Bridge(source, self._pace)
        self._until_chart = 0
        self._is_quitting = False
        self._shown_error = False
        self.was_interrupted = False
        self.spare_clip: object = ClipGradNorm(1.0)

    def get_default_screen(self) -> Screen[Any]:
        """The main screen is there from the first frame."""
        return MainScreen(self.state, column_s=self._pace.column_s)

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    async def on_mount(self) -> None:
        """Start the run once there is a screen to watch it on."""
        await self.main.mount(self._bridge)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                loop.add_signal_handler(number, self._interrupt)
        self._refresh_view(chart=True)
        # Training needs the interpreter for microseconds between two operations; in 5 ms turns it
        # would wait for the screen's whole turn. Measured at 20 ms a step: 0.97 of full speed with
        # the usual turns, 0.99 with these.
        sys.setswitchinterval(0.0005)
        # What has been made by now stays to the end: later collections need not look through it.
        gc.freeze()
        gc.enable()
        self.run_worker(warm_up, thread=True)  # before the first chart needs it, beside torch's import
        self._source.start()

    # -- news ----------------------------------------------------------------------------------

    def on_bridge_arrived(self, event: Bridge.Arrived) -> None:
        """Fold the news in, and show them if the terminal keeps up."""
        changed = bool(event.batch.notices)
        self.state.take(event.batch)
        if self._observe is not None:
            self._observe(event.batch)
        if not self.keeps_up():
            return  # frames are dropped, never queued; the news are not lost
        if not event.hurried:
            self._until_chart -= 1
        if changed or not event.hurried:
            self._refresh_view(chart=changed or self._until_chart <= 0)
        if self._is_quitting and self._source.join(0):
            self.exit()
        ended = self.state.ended
        if ended is not None and ended.reason == "failed" and not self._shown_error:
            self._shown_error = True
            if self.state.info is None and ended.traceback_text is None:
                self.exit()  # it could not even begin, and one line in the terminal says why
            else:
                self.action_result()

    def _refresh_view(self, *, chart: bool) -> None:
        if chart:
            self._until_chart = self._pace.refreshes_per_chart
        self.main.show(self.spare_clip, chart=chart)
        if isinstance(self.screen, Follower):
            self.screen.refresh_view()

    def on_resize(self) -> None:
        """Draw for the new size at once."""
        self.call_after_refresh(self._refresh_view, chart=True)

    # -- commands ------------------------------------------------------------------------------

    def submit(self, command: Command, *, undoable: bool = True) -> None:
        """Ask the run for a command, and show that it was asked for."""
        if not self._can_steer():
            return
        self.state.ask(command, undoable=undoable)
        self._source.submit(command)
        self._bridge.hurry()
        self._refresh_view(chart=False)

    def _can_steer(self) -> bool:
        is_training = self.state.info is not None and self.state.ended is None
        if not is_training:
            self.notify("nothing is training", timeout=2)
        return is_training

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A click on a key does what the key does."""
        self.act(event.action)

    def on_control_row_pressed(self, event: ControlRow.Pressed) -> None:
        """A click on a control does what its key does."""
        self.act(event.action)

    def act(self, action: str) -> None:
        """Do what a key with this action does."""
        self.run_worker(self.run_action(action))

    def action_pause(self) -> None:
        """Pause or train on."""
        self.submit(Resume() if self.state.wanted.paused else Pause())

    def action_step_once(self) -> None:
        """Train for one step."""
        self.submit(StepOnce())

    def action_toggle_clip(self) -> None:
        """Clip, or stop clipping."""
        wanted = self.state.wanted
        if wanted.clip is not None:
            self.spare_clip = wanted.clip
        self.submit(steering.toggled_clip(wanted, self.spare_clip))

    def action_threshold(self, direction: int) -> None:
        """Move the threshold of clipping, or of the clipping that would be turned on."""
        self._change_clip(steering.next_parameter(self.state.wanted.clip or self.spare_clip, direction))

    def action_clip_kind(self) -> None:
        """Clip in the next way."""
        self._change_clip(steering.next_clip_kind(self.state.wanted.clip or self.spare_clip))

    def _change_clip(self, clip: object) -> None:
        self.spare_clip = clip
        if self.state.wanted.clip is not None:
            self.submit(Set("clip", clip))
        else:
            self._refresh_view(chart=False)

    def action_accumulate(self, direction: int) -> None:
        """Accumulate more or fewer microbatches."""
        self.submit(steering.next_accumulation(self.state.wanted, direction))

    def action_lr(self, direction: int) -> None:
        """Halve or double the learning rate; 0 sets it back."""
        wanted = self.state.wanted
        self.submit(steering.next_lr_scale(wanted, direction) if direction else Set("lr_scale", 1.0))

    def on_methods_screen_asked(self, event: MethodsScreen.Asked) -> None:
        """A control was set on the screen of all methods."""
        self.submit(event.command)

    def action_methods(self, entry: str = "", edit: bool = False) -> None:
        """Show every control."""
        from vgrad_tui.screens.methods import MethodsScreen

        if isinstance(self.screen, MethodsScreen):
            self.pop_screen()
        self.push_screen(MethodsScreen(self.state, entry, edit=edit))

    def action_reinit(self) -> None:
        """Ask for a scheme, and draw the weights anew by it."""
        from vgrad_tui.screens.weights import ReinitScreen

        if self._can_steer():
            self.push_screen(ReinitScreen(), self._reinit)

    def _reinit(self, scheme: str | None) -> None:
        if scheme is not None:
            self.submit(Reinit(scheme))

    def action_check(self) -> None:
        """Check the gradients, and follow that."""
        from vgrad_tui.screens.check import CheckScreen

        if not self._can_steer():
            return
        if self.state.checking is None and self.state.asked(methods.CHECK) is None:
            self.submit(CheckGradients())
        if not isinstance(self.screen, CheckScreen):
            self.push_screen(CheckScreen(self.state))

    def set_word(self, name: str, word: str) -> None:
        """Set a control to one of its words."""
        self.submit(methods.with_word(name, word, self.state))

    def action_remedy(self) -> None:
        """Apply the verdict's remedy."""
        remedy = self.state.verdict.remedy
        if remedy is None:
            advice = self.state.verdict.advice or "nothing to remedy"
            self.notify(f"no key helps here: {advice}", timeout=6, markup=False)
        else:
            self.submit(remedy)

    def action_undo(self) -> None:
        """Take back the last change."""
        command = self.state.pop_undo()
        if command is None:
            self.notify("nothing to undo", timeout=2)
        else:
            self.submit(command, undoable=False)

    # -- the view ------------------------------------------------------------------------------

    def action_log(self) -> None:
        """Logarithmic or linear loss."""
        pane = self.main.query_one(LossPane)
        pane.is_log = not pane.is_log
        self._refresh_view(chart=True)

    def action_zoom(self, steps: int) -> None:
        """Show less or more of the run."""
        self.main.query_one(LossPane).zoom(steps, self.state.step)
        self._refresh_view(chart=True)

    def action_pan(self, direction: int) -> None:
        """Move a zoomed chart."""
        self.main.query_one(LossPane).pan(direction, self.state.step)
        self._refresh_view(chart=True)

    def action_sort(self) -> None:
        """Sort the layers another way."""
        order = self.main.order
        order.sort = (order.sort + 1) % len(SORTS)
        order.renew()
        self._refresh_view(chart=False)

    def action_scale(self) -> None:
        """One scale for all layers, or one each."""
        self.main.view.toggle_scale()
        self._refresh_view(chart=False)

    def action_view(self, name: str) -> None:
        """Look at the gradients another way."""
        self.main.choose_view(name)

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
        from vgrad_tui.screens.dialogs import JournalScreen

        self.push_screen(JournalScreen(self.state.journal))

    def action_help(self) -> None:
        """Show all keys."""
        from vgrad_tui.screens.dialogs import HelpScreen

        self.push_screen(HelpScreen())

    def action_result(self) -> None:
        """Show how the run ended."""
        from vgrad_tui.screens.dialogs import ResultScreen

        ended = self.state.ended
        if ended is None:
            self.notify("training has not ended", timeout=2)
            return
        text = ended.traceback_text or f"loss {ended.loss_first:.4g} → {ended.loss_last:.4g}"
        if ended.val_loss is not None:
            text += f"\nvalidation {ended.val_loss:.4g}"
        title = ended.error or f"{ended.reason} after {ended.step:,} steps"
        self.push_screen(
            ResultScreen(title, f"{text}\n{self.state.verdict.kind}: {self.state.verdict.evidence}")
        )

    def action_picture(self) -> None:
        """Save the screen as an SVG file where the program was started."""
        name = "waiting" if self.state.info is None else self.state.info.recipe
        path = Path(f"vgrad-{name}-{self.state.step}.svg")
        try:
            path.write_text(self.export_screenshot(), encoding="utf-8")
        except OSError as error:
            self.notify(f"cannot write {path}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)

    # -- the end -------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Textual's own way out asks, too."""
        self.action_ask_quit()

    def action_ask_quit(self) -> None:
        """Quit; ask first while training runs."""
        from vgrad_tui.screens.dialogs import QuitScreen

        if self.state.ended is not None or self._is_quitting:
            self.exit()
        elif self.state.info is None:
            self._leave(confirmed=True)
        else:
            self.push_screen(QuitScreen(self.state.step), self._leave)

    def _interrupt(self) -> None:
        """A signal: stop at the safe point, restore the terminal, go."""
        self.was_interrupted = True
        self._source.stop()
        self.exit()

    def _leave(self, confirmed: bool | None) -> None:
        """Stop at the safe point and go once the worker has ended."""
        if not confirmed:
            return
        self._is_quitting = True
        self._source.stop()
        self._bridge.hurry()
        self.notify("stopping after this step; q again leaves at once", timeout=30)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key is in the command palette, and everything that a control can be."""
        yield from palette.entries(self)
        yield from super().get_system_commands(screen)
