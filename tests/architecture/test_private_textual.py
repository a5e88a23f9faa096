"""Private parts of Textual are used in `vgrad_tui.terminal` alone, and each of them is as it was.

When Textual is updated and a test here fails: read what changed, mend what relies on it, and only then
write the new shape down.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path

import pytest
import textual
from textual import _compositor
from textual.app import App
from textual.driver import Driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver

ROOT = Path(__file__).parents[2] / "tui" / "vgrad_tui"
MODULES = sorted(ROOT.rglob("*.py"))


@dataclass(frozen=True)
class Part:
    """A private part of Textual.

    Attributes:
        name: What it is called there.
        owner: The class, function or module whose source says how it behaves.
        source: First digits of the SHA-256 of that source.
        relied_on: Which of ours relies on it, and on what of it.
    """

    name: str
    owner: object
    source: str
    relied_on: str


PARTS = (
    Part(
        "_compositor.ChopsUpdate", _compositor.ChopsUpdate, "7c7d3e0bf714",
        "terminal/cell_diff.py reads chops, chop_ends and spans (y, first cell, stop) of it",
    ),
    Part(
        "_compositor.LayoutUpdate", _compositor.LayoutUpdate, "619efe1cea78",
        "terminal/cell_diff.py reads strips (row by row) and region of it",
    ),
    Part(
        "_compositor.CompositorUpdate", _compositor.CompositorUpdate, "3c3ba1394893",
        "terminal/cell_diff.py: ChangedCells is one; App._display calls render_segments of it",
    ),
    Part(
        "Compositor._render_chops", _compositor.Compositor._render_chops, "ca8c3359d7af",
        "terminal/cell_diff.py: only the pieces that a span touches hold what the screen shows",
    ),
    Part(
        "Compositor.render_partial_update", _compositor.Compositor.render_partial_update, "888dccc892d8",
        "terminal/cell_diff.py: chop_ends and chops have the same pieces in the same order",
    ),
    Part(
        "App._display", App._display, "4b78dff6669a",
        "terminal/diff_app.py overrides it: everything that is written passes through, and an update that is"
        " not written is not rendered",
    ),
    *(
        Part(
            f"App.{name}", App._display, "4b78dff6669a",
            "terminal/diff_app.py asks it whether Textual would write now, and where the cursor was left",
        )
        for name in ("_batch_count", "_running", "_closed", "_previous_cursor_position")
    ),
    Part(
        "App._driver", App.is_headless.fget, "9e01b7211ef7",
        "terminal/diff_app.py asks the driver that is in use whether it is behind; None before there is one",
    ),
    Part(
        "Driver._app", Driver.__init__, "045ee24b9ab0",
        "terminal/driver.py posts a message to the app when a signal comes",
    ),
    Part(
        "LinuxDriver._writer_thread", LinuxDriver.__init__, "671887bbf938",
        "terminal/driver.py: None until the terminal is taken; fileno is that of the terminal's input",
    ),
    Part(
        "LinuxDriver.start_application_mode", LinuxDriver.start_application_mode, "7c41f5ba11a8",
        "terminal/driver.py overrides it: the terminal is taken in it, and it runs in the event loop",
    ),
    Part(
        "LinuxDriver.run_input_thread", LinuxDriver.run_input_thread, "d796af6d69db",
        "terminal/driver.py overrides it: what it raises ends the app with a traceback",
    ),
    Part(
        "LinuxDriver.write", LinuxDriver.write, "b78a34033db5",
        "terminal/driver.py overrides it: all output passes through, as text, on its way to a thread",
    ),
    Part(
        "WriterThread._queue", WriterThread, "411a9202bed5",
        "terminal/driver.py: what waits in its queue has not been taken by the terminal yet",
    ),
)  # fmt: skip


def source_of(owner: object) -> str:
    return hashlib.sha256(inspect.getsource(owner).encode()).hexdigest()[:12]  # type: ignore[arg-type]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_private_part_of_textual_is_as_it_was(part: Part) -> None:
    now = source_of(part.owner)
    assert now == part.source, (
        f"{part.name} is another one in Textual {textual.__version__} ({part.source} is {now} now).\n"
        f"{part.relied_on}."
    )


def test_every_private_part_that_is_used_is_watched() -> None:
    used = {name for path in MODULES if path.parent.name == "terminal" for name in private_of_textual(path)}
    watched = {piece for part in PARTS for piece in part.name.split(".")}
    assert not used - watched, f"add to PARTS: {sorted(used - watched)}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.parent.name != "terminal"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_other_module_touches_a_private_part_of_textual(path: Path) -> None:
    assert not private_of_textual(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_ours_hides_one_of_textuals(path: Path) -> None:
    """A subclass that uses ``self._size`` for its own purposes breaks what it inherits, in silence."""
    module = importlib.import_module(".".join(("vgrad_tui", *path.relative_to(ROOT).with_suffix("").parts)))
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            theirs = private_names_of_textual_bases(getattr(module, node.name))
            hidden = (names_defined_by(node) & theirs) - {"_display"}  # overridden on purpose, and watched
            assert not hidden, f"{node.name} redefines {sorted(hidden)}"


def private_of_textual(path: Path) -> set[str]:
    """Private modules of Textual that a module imports, and private attributes that are not our own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = OURS
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "textual":
                found |= {piece for piece in module.split(".") if is_private(piece)}
                found |= {alias.name for alias in names if is_private(alias.name)}
            case ast.Import(names=names):
                found |= {
                    piece
                    for alias in names
                    if alias.name.split(".")[0] == "textual"
                    for piece in alias.name.split(".")
                    if is_private(piece)
                }
            case ast.Attribute(value=value, attr=attr) if is_private(attr):
                is_ours = isinstance(value, ast.Name) and value.id in ("self", "cls") and attr in ours
                if not is_ours and ast.unparse(value) != "os":
                    found.add(attr)
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_defined_by(class_: ast.ClassDef) -> set[str]:
    """Private names that a class gives to itself and its instances."""
    found: set[str] = set()
    for node in ast.walk(class_):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr, ctx=ast.Store()):
                found.add(attr)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
    return {name for name in found if is_private(name)}


def private_names_of_textual_bases(class_: type) -> set[str]:
    """Private names that the classes of Textual among the bases of a class define."""
    found: set[str] = set()
    for base in class_.__mro__:
        if base.__module__.partition(".")[0] == "textual":
            found |= {name for name in vars(base) if is_private(name)}
            body = ast.parse(inspect.getsource(importlib.import_module(base.__module__))).body
            found |= {
                name
                for node in body
                if isinstance(node, ast.ClassDef) and node.name == base.__name__
                for name in names_defined_by(node)
            }
    return found


OURS = {
    name
    for path in MODULES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.ClassDef)
    for name in names_defined_by(node)
}
"""Every private name that a class of ours defines."""
