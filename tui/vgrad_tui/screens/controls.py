"""Every control there is: choose one, read what it does, change it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Input

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.choices import Number
from vgrad.controls.controls import Command, Reinit, Set
from vgrad.controls.wording import describe, describe_refusal
from vgrad.errors import ConfigError
from vgrad_tui.draw.numbers import number, safe
from vgrad_tui.draw.runs import Runs, fit_fields, wrapped
from vgrad_tui.keys import CONTROL_KEYS
from vgrad_tui.state.control_guide import (
    CHECK,
    DEFAULTS,
    ENTRIES,
    WEIGHTS,
    at_hand,
    hint,
    moved_parameter,
    next_variant,
    with_word,
)
from vgrad_tui.state.remedy import commands_in_words, remedy
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.control_list import ControlCard, ControlList, Sheet
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.lines import Lines, StyledScreen
from vgrad_tui.widgets.text_field import TextField

_LEAST_FOR_TWO_COLUMNS = 112
_MOST_ANSWER = 3  # rows


class ControlsScreen(StyledScreen[None]):
    """The list of controls, the chosen one's explanation, and a field to type a value into.

    Nothing here changes what is shown: it asks the run, and shows the answer when it has come.
    A value is chosen first and set with enter, so that moving through the values sets none of them. A
    number is set at once: each halving or doubling is worth trying.

    Args:
        state: The run.
        entry: What is chosen at first.
        edit: Whether to open the field at once.
    """

    AUTO_FOCUS = "#control-list"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_LEAST_FOR_TWO_COLUMNS, "-wide")]  # noqa: RUF012  # an instance variable to Textual's types
    BINDINGS: ClassVar[list[BindingType]] = [
        key.binding() for key in CONTROL_KEYS if key.action == "back" or key.action.startswith("app.")
    ]

    class Requested(Message):
        """A command was asked for."""

        def __init__(self, command: Command) -> None:
            super().__init__()
            self.command = command

    def __init__(self, state: State, entry: str = "", *, edit: bool = False) -> None:
        super().__init__()
        self._state = state
        self._table = ControlList(state)
        self._card = ControlCard(state)
        self._entry = entry
        self._edit_at_once = edit
        self._has_begun = False
        self._edited = ""  # the control whose value is being typed
        self._message = ""  # why the last key did nothing

    def compose(self) -> ComposeResult:
        """Lay the widgets out; the style sheet says where each goes."""
        yield Lines(id="controls-top")
        with VerticalScroll(id="control-list-box", can_focus=False):
            yield self._table
        with VerticalScroll(id="control-card-box", can_focus=False):
            yield self._card
        yield Sheet(id="answer")
        yield TextField(id="edit")  # typing replaces what stands there; → keeps it
        yield KeyBar(CONTROL_KEYS)

    def on_mount(self) -> None:
        """Draw once the sizes are known."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self._has_begun = True
        if self._entry in ENTRIES:
            self._table.cursor = ENTRIES.index(self._entry)
        self.refresh_view()
        if self._edit_at_once:
            self._open_field()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.refresh_view)

    def refresh_view(self) -> None:
        """Show everything as it is now, once there is something to show it on."""
        if not (self._has_begun and self.is_attached and self.is_running):
            return
        self.query_one("#controls-top", Lines).show([fit_fields(self._top(), self.size.width)])
        self._table.update()
        self._card.update(self._table.entry, self._table.choice)
        answer, role = self._answer()
        lines = wrapped([(safe(answer), role)], max(10, self.size.width))
        self.query_one("#answer", Sheet).show(lines[:_MOST_ANSWER])

    @property
    def _field(self) -> TextField:
        return self.query_one("#edit", TextField)

    @property
    def _is_editing(self) -> bool:
        return bool(self._edited)

    # -- what is shown -------------------------------------------------------------------------

    def _top(self) -> list[tuple[int, Runs]]:
        """How the run is doing, so that the effect of a change can be seen from here."""
        state = self._state
        fields: list[tuple[int, Runs]] = [(9, [("controls", "title")])]
        if state.info is None:
            fields.append((8, [(f"{state.preparing} …", "text")]))
        if state.record is not None:
            fields.append((8, [(f"{state.phase}, step {state.step:,}", "text")]))
            if state.record.loss is not None:
                fields.append((7, [("loss ", "dim"), (number(state.record.loss).strip(), "strong")]))
            fields.append((6, [("‖g‖ ", "dim"), (number(state.record.grad_norm).strip(), "text")]))
        fields.append((5, [(state.verdict.kind, "text")]))
        commands = remedy(state)
        if commands:
            fields.append((4, [("r", "key"), (f" {commands_in_words(commands)}", "text")]))
        return fields

    def _answer(self) -> tuple[str, str]:
        """The text below the explanation, and its role."""
        if self._edited:
            control = find_control(self._edited)
            try:
                value = control.read(self._field.value)
            except ConfigError as error:
                return f"✗ {error}", "warn"
            return f"enter {control.shown(value)}  ({hint(control, self._field.value)})", "text"
        if self._message:
            return self._message, "dim"
        if self._table.choice is not None:
            return f"enter sets {describe(self._table.choice)}, esc leaves it as it is", "text"
        refused = self._state.rejected
        if refused is None:
            return "", "dim"
        return (
            f"✗ refused at step {refused.step:,}: {describe_refusal(refused.command, refused.reason)}",
            "warn",
        )

    # -- what is asked -------------------------------------------------------------------------

    def on_control_list_chosen(self) -> None:
        """Explain what was chosen; a choice for another entry is dropped."""
        self._message = ""
        self._table.choice = None
        if self._edited != self._table.entry:
            self._close_field()
        self.refresh_view()

    def on_control_list_acted(self, event: ControlList.Acted) -> None:
        """Do to the chosen control what the key says."""
        self._message = ""
        entry = self._table.entry
        if event.action == "read":
            box = self.query_one("#control-card-box", VerticalScroll)
            box.scroll_relative(y=event.direction * max(1, box.size.height - 1), animate=False)
        elif entry not in CONTROLS:
            if event.action == "edit":
                self.run_worker(self.run_action("app.reinit" if entry == WEIGHTS else "app.check"))
        else:
            match event.action:
                case "kind":
                    self._choose(next_variant(entry, event.direction, self._state, self._table.choice))
                case "parameter":
                    self._move_parameter(entry, event.direction)
                case "off":
                    self._ask(self._back_to_default(entry), "already off, or as built")
                case "edit" if self._table.choice is not None:
                    self._ask(self._table.choice)
                case "edit":
                    self._open_field()

    def _choose(self, choice: Set) -> None:
        """Show what enter would ask for."""
        if isinstance(find_control(choice.control), Number):
            self._ask(choice)
            return
        is_wanted = choice.value == getattr(self._state.wanted, choice.control)
        self._table.choice = None if is_wanted else choice
        self.refresh_view()

    def _move_parameter(self, entry: str, direction: int) -> None:
        choice = self._table.choice
        moved = moved_parameter(entry, direction, self._state, choice)
        if moved is not None and choice is not None:
            self._choose(moved)
        else:
            self._ask(moved, "no number to change here: press enter to type a value")

    def _back_to_default(self, name: str) -> Set | None:
        default = getattr(DEFAULTS, name)
        return None if getattr(self._state.wanted, name) == default else Set(name, default)

    def on_control_card_picked(self, event: ControlCard.Picked) -> None:
        """Set what was clicked."""
        entry = self._table.entry
        if entry == WEIGHTS:
            self._ask(Reinit(event.word))
        elif entry != CHECK:
            self._ask(with_word(entry, event.word, self._state))

    def _ask(self, command: Command | None, otherwise: str = "") -> None:
        if command is None:
            self._message = otherwise
            self.refresh_view()
        else:
            self._table.choice = None
            self.post_message(self.Requested(command))

    # -- typing --------------------------------------------------------------------------------

    def _open_field(self) -> None:
        self._edited = self._table.entry
        control = find_control(self._edited)
        field = self._field
        field.value = control.format(at_hand(control, self._state))
        field.add_class("-open")
        field.focus()
        self.refresh_view()

    def _close_field(self) -> None:
        if self._is_editing:
            self._edited = ""
            self._field.remove_class("-open")
            self._table.focus()

    def on_input_changed(self) -> None:
        """Show the value that the text stands for, or what is wrong with it, while the user types."""
        self.refresh_view()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask for it; what cannot be read stays in the field."""
        event.stop()
        control = find_control(self._edited)
        try:
            value = control.read(event.value)
        except ConfigError:
            return  # the row above the field says why
        self._close_field()
        self._ask(Set(control.name, value))

    def action_back(self) -> None:
        """Leave the field, drop the choice, or leave the screen."""
        if self._is_editing:
            self._close_field()
            self.refresh_view()
        elif self._table.choice is not None:
            self._table.choice = None
            self.refresh_view()
        else:
            self.dismiss()

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A click on a key does what the key does."""
        event.stop()
        action = event.action
        owner = self if action == "back" or action.startswith("app.") else self._table
        self.run_worker(owner.run_action(action))
