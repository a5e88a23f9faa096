"""One meaning for each name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.architecture.source import ENGINE, SCREEN, modules, tree

# Names that mean the same wherever they stand.
SHARED = {
    "main": "what a program starts with",
    "VgradCallback": "what a training framework takes, each in its own module of integrations",
    "Float32s": "an array of that dtype",
    "Float64s": "an array of that dtype",
    "Int64s": "an array of that dtype",
    "Bools": "an array of that dtype",
}


def public_names(path: Path) -> Iterator[tuple[str, bool]]:
    """Classes, type aliases and functions of a module that others may import; True for types."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, False
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name[:1].isupper() and not name.isupper():  # an alias: constants are local to their module
                yield name, True


def homes(paths: list[Path], *, of_types: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for name, is_type in public_names(path):
            if is_type is of_types and not name.startswith("_") and name not in SHARED:
                found[name].append(str(path))
    return {name: where for name, where in found.items() if len(where) > 1}


def test_a_type_has_one_home() -> None:
    assert homes(list(modules().values()), of_types=True) == {}


@pytest.mark.parametrize("package", [ENGINE, SCREEN], ids=lambda package: package.name)
def test_a_function_has_one_home_within_its_package(package: Path) -> None:
    assert homes([path for path in modules().values() if package in path.parents], of_types=False) == {}
