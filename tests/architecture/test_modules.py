"""Modules stay small enough to be read in one sitting, and say what they are for."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("engine/vgrad/**/*.py"), *ROOT.glob("tui/vgrad_tui/**/*.py")])


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_documented(path: Path) -> None:
    assert num_lines(path) <= 400
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_middle_module_has_about_150_lines() -> None:
    assert statistics.median(map(num_lines, MODULES)) <= 180
