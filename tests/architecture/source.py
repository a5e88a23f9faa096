"""The program's own source, as syntax trees: what the tests of its architecture look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINE, SCREEN = ROOT / "engine" / "vgrad", ROOT / "tui" / "vgrad_tui"


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name; a package is its ``__init__``."""
    found = {}
    for package in (ENGINE, SCREEN):
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_at_import_time(path: Path) -> Iterator[str]:
    """Modules of ours that importing ``path`` imports: not those for type checkers, nor in functions."""
    yield from _imports(tree(path).body)


def all_imports(path: Path) -> Iterator[str]:
    """Modules of ours that ``path`` imports anywhere."""
    for node in ast.walk(tree(path)):
        yield from _imported(node)


def _imports(statements: list[ast.stmt]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield from _imported(node)
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _imports(getattr(node, block, []))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif isinstance(node, ast.ImportFrom) and node.module in modules():
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if submodule in modules() else node.module
