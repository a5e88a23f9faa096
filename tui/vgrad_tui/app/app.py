"""The app: keys become commands, batches become what the screens show. Drawing is done by the widgets.

The screens that lie over the main one are imported when they are asked for: the first frame
need not wait for them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from vgrad.controls.catalog import find_control, label
from vgrad.controls.controls import (
    CheckGradients,
    Command,
    Pause,
    Reinit,
    Resume,
    Rewind,
    SaveCheckpoint,
    Set,
    StepOnce,
)
from vgrad.errors import DataError
from vgrad_tui.app import command_palette
from vgrad_tui.app.bridge import Bridge
from vgrad_tui.app.refresh_rate import RefreshRate
from vgrad_tui.app.source import Source
from vgrad_tui.app.type_ahead import TypeAhead
from vgrad_tui.draw.charts import warm_up
from vgrad_tui.draw.numbers import safe
from vgrad_tui.keys import KEYS
from vgrad_tui.state import control_guide, next_value, remedy
from vgrad_tui.widgets.controls_panel import ControlRow
from vgrad_tui.widgets.keybar import KeyBar

if TYPE_CHECKING:
    from textual.actions import ActionParseResult

    from vgrad.controls.choices import ControlValue
    from vgrad_tui.screens.controls import ControlsScreen
    from vgrad_tui.screens.quit import StopRequest
    from vgrad_tui.terminal.driver import Interrupted


_LOOK_FOR_TERMINAL_S = 1.0


class VgradApp(TypeAhead):
    """Watches one source and submits what the keys ask for.

    Args:
        source: The run.
        frugal: Draw seldom, for slow lines.

    Attributes:
        was_interrupted: Whether a signal ended it.
        can_detach: Whether the run may go on in a process of its own: it is recorded.
        detaches: Whether it is to go on there once the screen has closed.
        leaves_at_once: Whether to leave without waiting for the step that is running.
    """

    CSS_PATH = "app.tcss"
    TITLE = "vgrad-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in KEYS]

    def __init__(self, source: Source, *, frugal: bool = False) -> None:
        super().__init__(RefreshRate(frugal=frugal), log=source.log)
        self._source = source
        self._bridge = Bridge(source, self._refresh_rate)
        self._is_quitting = False
        self._shown_error = False
        self.was_interrupted = False
        self.can_detach = False
        self.detaches = False
        self.leaves_at_once = False
        if source.outlives_screen:
            self.state.preparing = "reading its record"

    async def on_mount(self) -> None:
        """Start the run once there is a screen to watch it on."""
        await self.main.mount(self._bridge)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.was_interrupted:
            return
        if not self.is_headless:
            self.set_interval(_LOOK_FOR_TERMINAL_S, self._leave_a_lost_terminal)
        self.refresh_view(chart=True)
        # Training needs the interpreter for microseconds between two operations; in 5 ms turns it
        # would wait for the screen's whole turn. Measured at 20 ms a step: 0.97 of full speed with
        # the usual turns, 0.99 with these.
        sys.setswitchinterval(0.0005)
        # Objects that exist by now stay to the end: later collections need not look through them.
        gc.freeze()
        gc.enable()
        self.run_worker(warm_up, thread=True)  # before the first chart needs it, beside torch's import
        self._source.start()

    # -- batches -------------------------------------------------------------------------------

    def on_bridge_arrived(self, event: Bridge.Arrived) -> None:
        """Fold the batch in, and show the result if the terminal keeps up."""
        self.state.take(event.batch)
        if not self.screen_stack:
            return  # it is closing, and there is nothing left to draw on
        self.do_what_waited()
        if not self.keeps_up():
            return  # frames are dropped, never queued; the batch is not lost
        self.tell_of_ranks(event.batch)
        changed = bool(event.batch.notices)
        if changed or not event.hurried:
            self.refresh_view(chart=changed or self._refresh_rate.chart_is_due())
        if self._is_quitting and self._source.join(0):
            self.exit()
        ended = self.state.ended
        if ended is not None and ended.reason == "failed" and not self._shown_error:
            self._shown_error = True
            began = self.state.info is not None or self._source.outlives_screen
            if not began and ended.traceback_text is None:
                self.exit()  # it could not even begin, and one line in the terminal says why
            else:
                self.action_why()

    # -- commands ------------------------------------------------------------------------------

    def needs_run(self, action: str | ActionParseResult) -> bool:
        """Besides what steers the run: leaving it to a process of its own."""
        return super().needs_run(action) or (action == "detach" and not self._source.outlives_screen)

    def submit(self, command: Command, *, undoable: bool = True) -> None:
        """Ask the run for a command, and show that it was asked for."""
        if not self._can_steer():
            return
        if isinstance(command, Set) and getattr(self.state.wanted, command.control) == command.value:
            words = safe(label(command.control, command.value))
            self.notify(f"already set to {words}", timeout=2, markup=False)
            return
        try:
            command_id = self._source.submit(command)
        except DataError as error:  # the folder of a run in another process cannot be written
            self.notify(safe(str(error)), severity="error", markup=False)
            return
        self.state.ask(command, command_id, undoable=undoable)
        self._bridge.hurry()
        self.refresh_view(chart=False)

    def _can_steer(self) -> bool:
        has_ended = self.state.ended is not None
        is_training = self.state.info is not None and not has_ended
        if not is_training:
            self.notify("the run has ended" if has_ended else "nothing is training yet", timeout=2)
        return is_training

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A click on a key does what the key does."""
        self.act(event.action)

    def on_control_row_pressed(self, event: ControlRow.Pressed) -> None:
        """A click on a control does what its key does."""
        self.act(event.action)

    def action_pause(self) -> None:
        """Pause or resume."""
        self.submit(Resume() if self.state.wanted.paused else Pause())

    def action_step_once(self) -> None:
        """Train for one step."""
        self.submit(StepOnce())

    def action_toggle_clip(self) -> None:
        """Clip, or stop clipping."""
        wanted = self.state.wanted
        if wanted.clip is not None:
            self.state.spare_clip = wanted.clip
        self.submit(next_value.toggled_clip(wanted, self.state.spare_clip))

    def action_threshold(self, direction: int) -> None:
        """Move the threshold of clipping, or of the clipping that would be turned on."""
        self._change_clip(
            next_value.next_parameter(self.state.wanted.clip or self.state.spare_clip, direction)
        )

    def action_clip_kind(self) -> None:
        """Clip in the next way."""
        self._change_clip(next_value.next_clip_variant(self.state.wanted.clip or self.state.spare_clip))

    def _change_clip(self, clip: ControlValue) -> None:
        self.state.spare_clip = clip
        if self.state.wanted.clip is not None:
            self.submit(Set("clip", clip))
        else:
            self.refresh_view(chart=False)

    def action_accumulate(self, direction: int) -> None:
        """Accumulate more or fewer microbatches."""
        self.submit(next_value.next_accumulation(self.state.wanted, direction))

    def action_lr(self, direction: int) -> None:
        """Halve or double the learning rate; 0 sets it back."""
        wanted = self.state.wanted
        lr_scale = find_control("lr_scale")
        self.submit(
            next_value.next_value(lr_scale, wanted.lr_scale, direction) if direction else Set("lr_scale", 1.0)
        )

    def on_controls_screen_requested(self, event: ControlsScreen.Requested) -> None:
        """A control was set on the screen of all controls."""
        self.submit(event.command)

    def action_controls(self, entry: str = "", edit: bool = False) -> None:
        """Show every control."""
        from vgrad_tui.screens.controls import ControlsScreen

        if isinstance(self.screen, ControlsScreen):
            self.pop_screen()
        self.push_screen(ControlsScreen(self.state, entry, edit=edit))

    def action_reinit(self) -> None:
        """Ask for a scheme, and re-initialise the weights by it."""
        from vgrad_tui.screens.reinitialise import ReinitScreen

        if self._can_steer():
            self.push_screen(ReinitScreen(self.state.info), self._reinit)

    def _reinit(self, scheme: str | None) -> None:
        if scheme is not None:
            self.submit(Reinit(scheme))

    def action_checkpoint(self) -> None:
        """Save the run's whole state."""
        self.submit(SaveCheckpoint(), undoable=False)

    def action_rewind(self) -> None:
        """Ask for a checkpoint to go back to."""
        from vgrad_tui.screens.rewind import RewindScreen

        if self._can_steer():
            self.push_screen(RewindScreen(self.state.rewind_steps), self._rewind)

    def _rewind(self, step: int | None) -> None:
        if step is not None:
            self.submit(Rewind(step), undoable=False)

    def action_check(self) -> None:
        """Check the gradients, and show how far the check is."""
        from vgrad_tui.screens.gradient_check import GradientCheckScreen

        if not self._can_steer():
            return
        if self.state.checking is None and self.state.pending_on(control_guide.CHECK) is None:
            self.submit(CheckGradients())
        if not isinstance(self.screen, GradientCheckScreen):
            self.push_screen(GradientCheckScreen(self.state))

    def set_word(self, name: str, word: str) -> None:
        """Set a control to one of its words."""
        self.submit(control_guide.with_word(name, word, self.state))

    def action_remedy(self) -> None:
        """Apply the verdict's remedy."""
        commands = remedy.remedy(self.state)
        if not commands:
            advice = self.state.verdict.advice
            words = f"no key helps here: {advice}" if advice else "nothing to remedy"
            self.notify(words, timeout=6 if advice else 2, markup=False)
        for command in commands:
            self.submit(command)

    def action_undo(self) -> None:
        """Take back the last change."""
        command = self.state.pop_undo()
        if command is None:
            self.notify("nothing to undo", timeout=2)
        else:
            self.submit(command, undoable=False)

    # -- the end -------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Textual's own quit action asks, too."""
        self.action_ask_quit()

    def action_ask_quit(self) -> None:
        """Quit; ask first while training runs."""
        from vgrad_tui.screens.quit import QuitScreen

        if self.state.ended is not None or self._source.outlives_screen:
            self.exit()
        elif self._is_quitting or self.state.info is None:
            self.leaves_at_once = True
            self._source.stop()
            self.exit()
        else:
            is_saved = self.can_detach and not self._why_not_saved
            self.push_screen(QuitScreen(self.state, is_saved=is_saved), self._leave)

    def action_ask_stop(self) -> None:
        """End the run; ask first. A screen on a run of another process stays, to show how it ends."""
        from vgrad_tui.screens.quit import StopRequest, StopScreen

        if not self._source.outlives_screen:
            self.action_ask_quit()
        elif self._can_steer():
            how = StopRequest(self._source.stop_signal)
            self.push_screen(StopScreen(self.state, how), partial(self._stop, how))

    def _stop(self, how: StopRequest, confirmed: bool | None) -> None:
        if confirmed:
            self._source.stop()
            self.notify(how.done, timeout=5)

    def action_detach(self) -> None:
        """Leave, and let the run go on: in its own process, or from this state in a new one."""
        if self._source.outlives_screen or self.state.ended is not None or self._is_quitting:
            self.action_ask_quit()
        elif not self.can_detach:
            self.notify("this run is not recorded, so it cannot go on in another process", timeout=6)
        elif reason := self._why_not_saved:
            self.notify(f"it cannot go on in another process: {reason}", timeout=12, markup=False)
        else:
            self.detaches = True
            self._leave(confirmed=True)

    @property
    def _why_not_saved(self) -> str:
        """Why the state of the run cannot be saved; empty if it can."""
        return "" if self.state.info is None else self.state.info.capabilities.why_not("checkpoint")

    def on_interrupted(self, event: Interrupted) -> None:
        """A signal ends the screen; a dropped line leaves the run to a process of its own."""
        self._interrupt(is_hang_up=event.is_hang_up)

    def _interrupt(self, *, is_hang_up: bool) -> None:
        """Restore the terminal and go; a run of this process stops at its safe point."""
        self.was_interrupted = True
        if is_hang_up:
            self.detach_if_lost()
        if not self._source.outlives_screen:
            self._source.stop()
        self.exit()

    def detach_if_lost(self) -> None:
        """Nobody has asked for the end of the run: it goes on in a process of its own, if it can."""
        if self.state.ended is None and self.can_detach and not self._is_quitting:
            self.detaches = True

    def _leave_a_lost_terminal(self) -> None:
        if self.has_lost_its_terminal:
            self._interrupt(is_hang_up=True)

    def _leave(self, confirmed: bool | None) -> None:
        """Stop the run at its safe point, and exit once it has ended."""
        if not confirmed:
            return
        self._is_quitting = True
        self._source.stop()
        self._bridge.hurry()
        words = "the run goes on in a process of its own" if self.detaches else "q again leaves at once"
        self.notify(f"stopping after this step; {words}", timeout=30)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key is in the command palette, and everything that a control can be."""
        yield from command_palette.palette_entries(self)
        yield command_palette.theme_entry(self)
