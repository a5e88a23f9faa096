"""What is imported when, seen from inside a fresh interpreter; a static graph cannot prove it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "textual", "rich", "plotext", "pydantic", "numpy", "click"}
SCREEN = {"vgrad_tui", "textual", "rich", "plotext", "click"}


def modules_after(code: str, *argv: str) -> set[str]:
    """Top-level names in ``sys.modules`` after ``code`` ran in its own interpreter."""
    report = "import sys; print(*(name.partition('.')[0] for name in sys.modules), file=sys.stderr)"
    script = f"try:\n    {code}\nexcept SystemExit:\n    pass\n{report}"
    result = subprocess.run(
        [sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True, timeout=120
    )
    return set(result.stderr.split())


def test_importing_the_engine_is_cheap() -> None:
    assert modules_after("import vgrad").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["run", "--help"],
        ["recipes", "--help"],
        ["study", "--help"],
        ["verdicts", "--help"],
        ["controls", "--help"],
        ["--version"],
    ],
)
def test_help_waits_for_nothing_heavy(argv: list[str]) -> None:
    modules = modules_after("from vgrad_tui.cli import main; main()", *argv)
    assert "vgrad_tui" in modules
    assert modules.isdisjoint(HEAVY - {"click"})


def test_a_name_that_does_not_exist_is_refused_without_torch() -> None:
    modules = modules_after("from vgrad_tui.cli import main; main()", "run", "no-such-recipe")
    assert modules.isdisjoint({"torch", "textual"})


def test_the_first_frame_waits_for_nothing_large() -> None:
    code = (
        "import vgrad_tui.launch; from vgrad_tui.terminal.first_frame import opening; "
        "opening('charlm-rnn').__enter__()"
    )
    modules = modules_after(code)
    assert "vgrad_tui" in modules
    assert modules.isdisjoint(HEAVY)


def test_stored_runs_are_judged_without_torch() -> None:
    modules = modules_after("from vgrad_tui.cli import main; main()", "verdicts")
    assert "numpy" in modules
    assert modules.isdisjoint({"torch", "textual"})


def test_a_run_without_a_screen_imports_no_screen() -> None:
    code = (
        "import io, vgrad; from vgrad.run.headless import run_headless; "
        "config = vgrad.RunConfig.make(steps=2); "
        "assert run_headless(config, stdout=io.StringIO(), stderr=io.StringIO()) == 0"
    )
    modules = modules_after(code)
    assert "torch" in modules
    assert modules.isdisjoint(SCREEN)
