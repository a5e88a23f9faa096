"""Every key, once: the bindings, the help screen and the command palette are made from this."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    id: str
    keys: str
    shown: str
    action: str
    words: str
    help: str
    group: str
    in_footer: str = ""

    def binding(self) -> Binding:
        """The Textual binding."""
        return Binding(
            self.keys,
            self.action,
            self.in_footer or self.words,
            show=bool(self.in_footer),
            key_display=self.shown,
            tooltip=self.help,
            id=self.id,
        )


_RUN, _GRADIENTS, _CHART, _LAYERS, _PROGRAM = "run", "gradients", "chart", "layers", "program"

KEYS = (
    Key("run.pause", "space", "space", "pause", "pause or train on", "Pause at the next safe point, or train on", _RUN, "pause"),
    Key("run.step", "full_stop", ".", "step_once", "single step", "Train for one optimizer step, then pause", _RUN, "step"),
    Key("clip.toggle", "c", "c", "toggle_clip", "clipping on or off", "Clip gradients from the next step on, or stop clipping", _GRADIENTS, "clip"),
    Key("clip.lower", "left_square_bracket", "[", "threshold(-1)", "lower threshold", "Clip at a lower threshold: 1, 0.5, 0.2 …", _GRADIENTS),
    Key("clip.raise", "right_square_bracket", "]", "threshold(1)", "higher threshold", "Clip at a higher threshold: 1, 2, 5 …", _GRADIENTS),
    Key("clip.kind", "v", "v", "clip_kind", "clip by norm or value", "Clip the joint norm (keeps the direction) or every value (changes it)", _GRADIENTS),
    Key("accumulate.more", "a", "a", "accumulate(1)", "accumulate 1-2-4-8-16", "Average the gradient over more microbatches per step", _GRADIENTS, "accumulate"),
    Key("accumulate.less", "A", "A", "accumulate(-1)", "accumulate fewer", "Average the gradient over fewer microbatches per step", _GRADIENTS),
    Key("lr.lower", "minus", "-", "lr(-1)", "halve the learning rate", "Halve the learning rate; a scheduler's own changes stay", _GRADIENTS, "lr"),
    Key("lr.raise", "equals_sign", "=", "lr(1)", "double the learning rate", "Double the learning rate; a scheduler's own changes stay", _GRADIENTS, "lr"),
    Key("lr.reset", "0", "0", "lr(0)", "base learning rate", "Set the learning rate back to its base", _GRADIENTS),
    Key("remedy", "r", "r", "remedy", "apply the remedy", "Apply the remedy that the verdict names", _GRADIENTS),
    Key("undo", "u", "u", "undo", "undo", "Take back the last change, from the next step on", _GRADIENTS, "undo"),
    Key("chart.log", "l", "l", "log", "log or linear loss", "Draw the loss on a logarithmic or a linear axis", _CHART, "log"),
    Key("chart.zoom_in", "z", "z", "zoom(1)", "zoom in", "Show half as many steps", _CHART),
    Key("chart.zoom_out", "x", "x", "zoom(-1)", "zoom out", "Show twice as many steps, up to the whole run", _CHART),
    Key("chart.older", "left", "←", "pan(-1)", "older steps", "Move a zoomed chart to older steps", _CHART),
    Key("chart.newer", "right", "→", "pan(1)", "newer steps", "Move a zoomed chart to newer steps", _CHART),
    Key("layers.sort", "s", "s", "sort", "sort layers", "Sort the layers: model, ‖g‖, update, mark, name", _LAYERS, "sort"),
    Key("layers.filter", "slash", "/", "filter", "filter layers", "Show only layers whose name contains a text; esc shows all", _LAYERS, "filter"),
    Key("layers.scale", "y", "y", "scale", "shared or own scale", "Draw all sparklines on one scale, or each on its own", _LAYERS),
    Key("journal", "j", "j", "journal", "journal", "Every command and event so far", _PROGRAM, "journal"),
    Key("result", "e", "e", "result", "result or error", "How the run ended, or the traceback of what ended it", _PROGRAM),
    Key("picture", "S", "S", "picture", "save a picture", "Save the screen as an SVG file in the current folder", _PROGRAM),
    Key("redraw", "ctrl+l", "^l", "redraw", "redraw the screen", "Write every cell anew, after something else wrote to the terminal", _PROGRAM),
    Key("palette", "ctrl+p", "^p", "command_palette", "command palette", "Find everything by name", _PROGRAM),
    Key("quit", "q,ctrl+q,ctrl+c", "q", "ask_quit", "quit", "Quit; asks first while training runs", _PROGRAM, "quit"),
    Key("help", "question_mark", "?", "help", "all keys", "Show all keys", _PROGRAM, "keys"),
)  # fmt: skip

LAYER_KEYS = (
    Key("layer.above", "up", "↑", "go(-1)", "layer above", "Show the layer above", _LAYERS, "layer above"),
    Key("layer.below", "down", "↓", "go(1)", "layer below", "Show the layer below", _LAYERS, "layer below"),
    Key("layer.back", "escape,enter,q", "esc", "dismiss", "back", "Back to all layers", _LAYERS, "back"),
    Key("layer.help", "question_mark", "?", "app.help", "all keys", "Show all keys", _LAYERS, "keys"),
)  # fmt: skip
