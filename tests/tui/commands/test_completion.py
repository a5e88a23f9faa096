"""A shell completes commands and flags, and never gets an error in place of them."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from vgrad_tui.cli import cli


@pytest.mark.parametrize(
    ("words", "incomplete", "completions"),
    [([], "ru", ["run", "runs"]), (["run"], "--cli", ["--clip"]), (["no-such-command"], "--cl", [])],
)
def test_what_a_shell_completes(words: list[str], incomplete: str, completions: list[str]) -> None:
    complete = ShellComplete(cli, {}, "vgrad-tui", "_VGRAD_TUI_COMPLETE")
    assert [item.value for item in complete.get_completions(words, incomplete)] == completions
