"""The map of CONTRIBUTING is that of the folders, named files exist, and large rooms name their modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.architecture.source import ENGINE, ROOT, SCREEN

DOCUMENTS = ["CONTRIBUTING.md", "README.md"]
LARGE = 24  # modules
FOLDERS = ("engine/", "tui/", "tests/", "docs/", ".ci/")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def named_paths(text: str) -> set[str]:
    """What stands in backticks, or is linked to, and looks like a file or folder of this repository."""
    found = re.findall(r"`([^`\s]+)`", text) + re.findall(r"\]\(([^)#]+)\)", text)
    return {path for path in found if path.startswith(FOLDERS) or re.fullmatch(r"[\w/]+\.(py|tcss)", path)}


def exists(path: str) -> bool:
    """A path from the root, or the end of one: `budget.py`, `widgets/lines.py`."""
    if path.startswith(FOLDERS):
        return (ROOT / path).exists()
    return any(
        str(file).endswith(f"/{path}") for package in (ENGINE, SCREEN) for file in package.rglob("*.*")
    )


def large_rooms() -> list[Path]:
    """Folders of so many modules that their names alone do not say where to begin."""
    folders = [folder for package in (ENGINE, SCREEN) for folder in [package, *package.rglob("*/")]]
    return [folder for folder in folders if len(list(folder.glob("*.py"))) > LARGE]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_file_exists(document: str) -> None:
    missing = {path for path in named_paths(text_of(document)) if not exists(path)}
    assert missing - {"my_task.py"} == set()  # the reader's own


def test_links_to_files_are_not_broken() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", text_of(document)):
            assert (ROOT / target).exists(), f"{document} links to {target}"


@pytest.mark.parametrize("package", [ENGINE, SCREEN], ids=lambda package: package.name)
def test_every_room_is_on_the_map_and_every_room_on_the_map_is_there(package: Path) -> None:
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    heading = f"| `{package.relative_to(ROOT)}/` | |\n|---|---|\n"
    table = text_of("CONTRIBUTING.md").partition(heading)[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == rooms


@pytest.mark.parametrize("room", large_rooms(), ids=lambda room: room.name)
def test_the_docstring_of_a_large_room_names_every_module_and_no_other(room: Path) -> None:
    guide = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert guide is not None
    named = set(re.findall(r"(?<!`)`(\w+)`(?!`)", guide))
    assert named == {file.stem for file in room.glob("*.py")} - {"__init__"}
