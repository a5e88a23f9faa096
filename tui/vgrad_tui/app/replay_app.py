"""The app on a recording: the same screen, with keys that play and seek in place of those that steer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from vgrad_tui.app.app import VgradApp
from vgrad_tui.app.bridge import Bridge
from vgrad_tui.app.command_palette import theme_entry
from vgrad_tui.draw.numbers import count, safe
from vgrad_tui.keys import REFUSED_KEYS, REPLAY_KEYS, Key
from vgrad_tui.widgets.replay_bar import ReplayBar

if TYPE_CHECKING:
    from vgrad.store.replayed_run import ReplayedRun


class ReplayApp(VgradApp, inherit_bindings=False):
    """Shows a recorded run, at any of its steps.

    Args:
        recording: The run.
        frugal: Draw seldom, for slow lines.
    """

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in (*REPLAY_KEYS, *REFUSED_KEYS)]
    KEYS: ClassVar[Sequence[Key]] = REPLAY_KEYS

    def __init__(self, recording: ReplayedRun, *, frugal: bool = False) -> None:
        super().__init__(recording, frugal=frugal)
        self._recording = recording
        self._bar = ReplayBar(recording)
        self.state.is_recording = True

    def get_default_screen(self) -> Screen[Any]:
        """The main screen, with the bar above the keys."""
        return self.new_main_screen(self._bar)

    def on_bridge_arrived(self, event: Bridge.Arrived) -> None:
        """Show where the recording stands; what has come is shown by the base, which is called as well."""
        self._bar.refresh_view()

    def action_play(self) -> None:
        """Play or pause."""
        self._recording.toggle()
        self._show()

    def action_speed(self, direction: int) -> None:
        """Play twice as fast, or half."""
        self._recording.faster(2.0**direction)
        self._show()

    def action_go(self, steps: int) -> None:
        """Go on or back by so many steps."""
        self._recording.seek(max(0, self._recording.step + steps))
        self._show()

    def action_start(self) -> None:
        """Go to the start."""
        self._recording.seek(0)
        self._show()

    def action_end(self) -> None:
        """Go to the last step."""
        self._recording.seek(self._recording.timeline.last_step)
        self._show()

    def action_event(self, direction: int) -> None:
        """Go to the next command or verdict, or to the one before."""
        event = self._recording.seek_event(direction)
        words = "nothing more" if event is None else f"{safe(event.words)} @ {count(event.step)}"
        self.notify(words, timeout=3, markup=False)
        self._show()

    def action_seek(self) -> None:
        """Ask for a step, and go there."""
        from vgrad_tui.screens.seek import SeekScreen

        self.push_screen(SeekScreen(self._recording.timeline.last_step), self._seek)

    def _seek(self, step: int | None) -> None:
        if step is not None:
            self._recording.seek(step)
            self._show()

    def _show(self) -> None:
        self._bridge.pull()

    def action_refuse(self) -> None:
        """Answer a key that would steer a run."""
        self._can_steer()

    def _can_steer(self) -> bool:
        self.notify("this is a recording: nothing in it can be changed", timeout=3)
        return False

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key of a recording."""
        for key in REPLAY_KEYS:
            yield SystemCommand(f"{key.words} ({key.shown})", key.help, partial(self.act, key.action))
        yield theme_entry(self)
