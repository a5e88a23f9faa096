"""The keys of the main screen, of all controls and of one layer: bindings, help and palette are made from them.

Keys that move a cursor belong to the view that has it, and keys of a dialog to the dialog.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it does.

    Attributes:
        id: Stable name, for keymaps.
        keys: Keys as Textual names them, separated by commas.
        shown: The key as people write it.
        action: Action of the app.
        words: What it does, in a few words.
        help: The same in a sentence.
        group: Heading on the help screen.
        in_footer: Short label in the footer, or empty.
        everywhere: Whether it works in dialogs and while one types, too.
    """

    id: str
    keys: str
    shown: str
    action: str
    words: str
    help: str
    group: str
    in_footer: str = ""
    everywhere: bool = False

    def binding(self) -> Binding:
        """The Textual binding."""
        return Binding(
            self.keys,
            self.action,
            self.in_footer or self.words,
            show=bool(self.in_footer),
            key_display=self.shown,
            tooltip=self.help,
            priority=self.everywhere,
            id=self.id,
        )


_RUN, _GRADIENTS, _CHART, _VIEWS, _LAYERS, _PROGRAM = (
    "run",
    "gradients",
    "chart",
    "views",
    "layers",
    "program",
)
_CONTROLS = "on the screen of all controls"
_LAYER = "on the screen of one layer"

KEYS = (
    Key("run.pause", "space", "space", "pause", "pause or resume", "Pause at the next safe point, or resume", _RUN, "pause"),
    Key("run.step", "full_stop", ".", "step_once", "single step", "Train for one optimizer step, then pause", _RUN, "step"),
    Key("run.checkpoint", "K", "K", "checkpoint", "save a checkpoint", "Save the whole state of the run as it is now", _RUN),
    Key("run.rewind", "b", "b", "rewind", "rewind", "Go back to a checkpoint, and train on from there in a run of its own", _RUN),
    Key("controls", "m", "m", "controls", "all controls", "All controls: precision, detection, noise, optimizer, structure …", _GRADIENTS, "controls"),
    Key("clip.toggle", "c", "c", "toggle_clip", "clipping on or off", "Clip gradients from the next step on, or stop clipping", _GRADIENTS, "clip"),
    Key("clip.lower", "left_square_bracket", "[", "threshold(-1)", "lower threshold", "Clip at a lower threshold: 1, 0.5, 0.2 …", _GRADIENTS),
    Key("clip.raise", "right_square_bracket", "]", "threshold(1)", "higher threshold", "Clip at a higher threshold: 1, 2, 5 …", _GRADIENTS),
    Key("clip.kind", "v", "v", "clip_kind", "next kind of clipping", "Clip in another way: norm, value, tensor, AGC, ZClip, AutoClip, floors", _GRADIENTS),
    Key("accumulate.more", "a", "a", "accumulate(1)", "accumulate 1-2-4-8-16", "Average the gradient over more microbatches per step", _GRADIENTS, "accumulate"),
    Key("accumulate.less", "A", "A", "accumulate(-1)", "accumulate fewer", "Average the gradient over fewer microbatches per step", _GRADIENTS),
    Key("lr.lower", "minus", "-", "lr(-1)", "halve the learning rate", "Halve the learning rate; a scheduler's own changes stay", _GRADIENTS, "lr"),
    Key("lr.raise", "equals_sign", "=", "lr(1)", "double the learning rate", "Double the learning rate; a scheduler's own changes stay", _GRADIENTS, "lr"),
    Key("lr.reset", "0", "0", "lr(0)", "base learning rate", "Set the learning rate back to its base", _GRADIENTS),
    Key("reinit", "i", "i", "reinit", "re-initialise", "Re-initialise the weights by a scheme; u restores the old ones", _GRADIENTS),
    Key("check", "g", "g", "check", "gradient check", "Compare autograd with central differences; training waits meanwhile", _GRADIENTS),
    Key("remedy", "r", "r", "remedy", "apply the remedy", "Apply the remedy that the verdict names", _GRADIENTS),
    Key("undo", "u", "u", "undo", "undo", "Take back the last change, from the next step on", _GRADIENTS, "undo"),
    Key("chart.log", "l", "l", "log", "log or linear loss", "Draw the loss on a logarithmic or a linear axis", _CHART, "log"),
    Key("chart.zoom_in", "z", "z", "zoom(1)", "zoom in", "Show half as many steps", _CHART),
    Key("chart.zoom_out", "x", "x", "zoom(-1)", "zoom out", "Show twice as many steps, up to the whole run", _CHART),
    Key("chart.older", "left", "←", "pan(-1)", "older steps", "Move a zoomed chart to older steps", _CHART),
    Key("chart.newer", "right", "→", "pan(1)", "newer steps", "Move a zoomed chart to newer steps", _CHART),
    Key("view.layers", "1", "1", "view('layers')", "view: layers", "Every layer with its sparkline, numbers and mark", _VIEWS),
    Key("view.heat", "2", "2", "view('heat')", "view: heat map", "The gradient by depth and step; enter unfolds binned layers", _VIEWS),
    Key("view.histogram", "3", "3", "view('histogram')", "view: histograms", "How large the entries of each layer's gradient are", _VIEWS),
    Key("view.time", "4", "4", "view('time')", "view: through time", "How much gradient reaches the early steps of a sequence", _VIEWS),
    Key("view.chain", "5", "5", "view('chain')", "view: transform chain", "The gradient's norm before and after each transform", _VIEWS),
    Key("view.output", "6,o", "6 o", "view('output')", "view: output", "What the script prints, where the run has a log of it", _VIEWS),
    Key("part", "p", "p", "next_part", "next part", "Show the next part of the run: an optimizer with its layers", _VIEWS),
    Key("ranks", "R", "R", "ranks", "ranks", "Each process of a torchrun job: slowest, waiting, non-finite", _VIEWS),
    Key("layers.sort", "s", "s", "sort", "sort layers", "Sort the layers: model, ‖g‖, update, mark, name", _LAYERS, "sort"),
    Key("layers.filter", "slash", "/", "filter", "filter layers", "Show only layers whose name contains a text; esc shows all", _LAYERS, "filter"),
    Key("layers.scale", "y", "y", "scale", "shared or own scale", "Draw all layers on one scale, or each on its own", _LAYERS),
    Key("journal", "j", "j", "journal", "journal", "Every command and event so far", _PROGRAM, "journal"),
    Key("why", "e", "e", "why", "the verdict in full", "The whole verdict; at the end the result, or the traceback", _PROGRAM),
    Key("picture", "S", "S", "picture", "save a picture", "Save the screen as an SVG file in the current folder", _PROGRAM),
    Key("redraw", "ctrl+l", "^l", "redraw", "redraw the screen", "Write every cell again, after something else wrote to the terminal", _PROGRAM, everywhere=True),
    Key("suspend", "ctrl+z", "^z", "suspend_process", "suspend", "Suspend the program and its training; fg in the shell resumes", _PROGRAM, everywhere=True),
    Key("palette", "ctrl+p", "^p", "command_palette", "command palette", "Find everything by name", _PROGRAM),
    Key("detach", "d", "d", "detach", "leave it running", "Leave the screen; the run goes on in a process of its own, bit for bit", _PROGRAM),
    Key("quit", "q,ctrl+q,ctrl+c", "q", "ask_quit", "quit", "Quit; asks first, but on an attached screen just leaves it running", _PROGRAM, "quit"),
    Key("stop", "Q", "Q", "ask_stop", "end the run", "End the run; asks first, also on a screen that is attached to it", _PROGRAM),
    Key("help", "question_mark", "?", "help", "all keys", "Show all keys", _PROGRAM, "keys"),
)  # fmt: skip

STEERING = frozenset(key.action for key in KEYS if key.group in {_RUN, _GRADIENTS} and key.id != "controls")
"""The actions that need a run that trains."""

_RECORDING = "recording"
REPLAY_KEYS = (
    Key("replay.play", "space", "space", "play", "play or pause", "Play or pause; at the end, play from the start", _RECORDING, "play"),
    Key("replay.next_event", "n", "n", "event(1)", "next command or verdict", "Go to the next command or verdict", _RECORDING, "next event"),
    Key("replay.previous_event", "N,b", "N", "event(-1)", "previous command or verdict", "Go to the command or verdict before", _RECORDING, "previous"),
    Key("replay.go", "g", "g", "seek", "go to a step", "Type a step, and go there", _RECORDING, "go to step"),
    Key("replay.faster", "equals_sign,plus", "=", "speed(1)", "twice as fast", "Play twice as fast", _RECORDING, "faster"),
    Key("replay.slower", "minus", "-", "speed(-1)", "half as fast", "Play half as fast", _RECORDING, "slower"),
    Key("replay.step", "full_stop", ".", "go(1)", "next step", "Go on by one step", _RECORDING, "step"),
    Key("replay.back", "comma", ",", "go(-1)", "step back", "Go back by one step", _RECORDING, "back"),
    Key("replay.hundred", "greater_than_sign", ">", "go(100)", "100 steps on", "Go on by 100 steps", _RECORDING),
    Key("replay.hundred_back", "less_than_sign", "<", "go(-100)", "100 steps back", "Go back by 100 steps", _RECORDING),
    Key("replay.start", "0", "0", "start", "start", "Go to the start", _RECORDING),
    Key("replay.end", "9", "9", "end", "end", "Go to the last step", _RECORDING),
    *(key for key in KEYS if key.group not in {_RUN, _GRADIENTS} and key.id not in {"stop", "detach"}),
)  # fmt: skip
"""The keys on a recording, in which nothing can be changed."""

_PLAYING = {name for key in REPLAY_KEYS for name in key.keys.split(",")}
REFUSED_KEYS = tuple(
    replace(key, keys=",".join(names), action="refuse", in_footer="")
    for key in KEYS
    if key not in REPLAY_KEYS and (names := [name for name in key.keys.split(",") if name not in _PLAYING])
)
"""The keys of a run that a recording answers by saying what it is."""

CONTROL_KEYS = (
    Key("controls.up", "up,k", "↑", "move(-1)", "control above", "Choose the control above", _CONTROLS),
    Key("controls.down", "down", "↓", "move(1)", "control below", "Choose the control below", _CONTROLS),
    Key("controls.previous", "left", "←", "kind(-1)", "previous kind", "Choose the previous kind, enter sets it; a number is halved at once", _CONTROLS, "kind"),
    Key("controls.next", "right", "→", "kind(1)", "next kind", "Choose the next kind, enter sets it; a number is doubled at once", _CONTROLS, "kind"),
    Key("controls.lower", "left_square_bracket", "[", "parameter(-1)", "lower parameter", "Lower its first parameter, or that of what was chosen: 1, 0.5, 0.2 …", _CONTROLS),
    Key("controls.raise", "right_square_bracket", "]", "parameter(1)", "raise parameter", "Raise its first parameter, or that of what was chosen: 1, 2, 5 …", _CONTROLS, "parameter"),
    Key("controls.edit", "enter", "enter", "edit", "set or type", "Set what was chosen; else type a value such as zclip:2.5,alpha=0.9", _CONTROLS, "set, type"),
    Key("controls.off", "backspace,o", "o", "off", "off", "Turn it off, or back to its default", _CONTROLS, "off"),
    Key("controls.read_up", "pageup", "pgup", "read(-1)", "explanation up", "Scroll the explanation up", _CONTROLS),
    Key("controls.read_down", "pagedown", "pgdn", "read(1)", "explanation down", "Scroll the explanation down", _CONTROLS),
    Key("controls.undo", "u", "u", "app.undo", "undo", "Take back the last change", _CONTROLS, "undo"),
    Key("controls.reinit", "i", "i", "app.reinit", "re-initialise", "Re-initialise the weights by a scheme", _CONTROLS, "re-init"),
    Key("controls.check", "g", "g", "app.check", "gradient check", "Compare autograd with central differences", _CONTROLS, "check"),
    Key("controls.back", "escape,q,m", "esc", "back", "back", "Drop what was chosen or typed; then back to the main screen", _CONTROLS, "back"),
    Key("controls.help", "question_mark", "?", "app.help", "all keys", "Show all keys", _CONTROLS, "keys"),
)  # fmt: skip

LAYER_KEYS = (
    Key("layer.above", "up", "↑", "go(-1)", "layer above", "Show the layer above", _LAYER, "layer above"),
    Key("layer.below", "down", "↓", "go(1)", "layer below", "Show the layer below", _LAYER, "layer below"),
    Key("layer.back", "escape,enter,q", "esc", "dismiss", "back", "Back to all layers", _LAYER, "back"),
    Key("layer.help", "question_mark", "?", "app.help", "all keys", "Show all keys", _LAYER, "keys"),
)  # fmt: skip
