"""The view of what a script prints: there where the run has a log, and at its end until somebody scrolls."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import ScriptedSource, script

from vgrad_tui.app.app import VgradApp


def print_lines(log: Path, first: int, last: int) -> None:
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(first, last + 1))


@pytest.mark.parametrize("key", ["6", "o"])
async def test_the_log_is_followed(tmp_path: Path, key: str) -> None:
    log = tmp_path / "log.txt"
    log.touch()
    source = ScriptedSource(log=log)
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source, script(20))
        assert "6 output" in line_with(app, "1 layers")
        await pilot.press(key)
        await pull(pilot, source)
        assert line_with(app, "it has printed nothing yet")
        log.write_text("\r 10%|█    |\x1b[31m\r 50%|██▌  |")
        await pull(pilot, source)
        assert line_with(app, "50%|██▌  |") and "10%" not in "".join(screen_lines(app))


async def test_new_lines_do_not_move_what_somebody_has_scrolled_to(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    print_lines(log, 1, 90)
    source = ScriptedSource(log=log)
    app = VgradApp(source)

    def first_line() -> str:
        return next(line for line in screen_lines(app) if line.startswith("line "))

    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source, script(20))
        await pilot.press("6")
        await pull(pilot, source)
        assert line_with(app, "line 90")
        print_lines(log, 91, 100)
        await pull(pilot, source)
        assert line_with(app, "line 100")
        await pilot.press("up", "up")
        await pull(pilot, source)
        shown = first_line()
        print_lines(log, 101, 110)
        await pull(pilot, source)
        assert first_line() == shown
        assert "end" in line_with(app, "6 output")
        await pilot.press("end")
        await pull(pilot, source)
        await pull(pilot, source)
        assert line_with(app, "line 110")
        await pilot.resize_terminal(60, 20)
        await pull(pilot, source)
        print_lines(log, 111, 111)
        await pull(pilot, source)
        assert line_with(app, "line 111")


@pytest.mark.parametrize("length", [30, 90])
async def test_no_character_of_a_wide_line_is_lost(tmp_path: Path, length: int) -> None:
    """Neither without a scroll bar nor under one."""
    log = tmp_path / "log.txt"
    wide = "".join(chr(0x4E00 + number) for number in range(100))  # each takes two cells
    log.write_text("x\n" * length + wide)
    source = ScriptedSource(log=log)
    app = VgradApp(source)
    async with app.run_test(size=(81, 24)) as pilot:
        await play(pilot, source, script(20))
        await pilot.press("6")
        for _ in range(3):
            await pull(pilot, source)
        cells = "".join(screen_lines(app))
        assert [char for char in wide if char not in cells] == []


async def test_the_chosen_layer_stays_chosen_behind_the_output(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    print_lines(log, 1, 90)
    source = ScriptedSource(log=log)
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source, script(20))
        await pilot.press("down", "down")
        await pull(pilot, source)
        chosen = app.main.view.chosen
        assert chosen
        await pilot.press("6", "enter", "up", "1")
        await pull(pilot, source)
        assert app.main.view.chosen == chosen


@pytest.mark.parametrize("log", [None, Path("/nonexistent/log.txt")])
async def test_a_run_without_a_log_has_no_such_view(log: Path | None) -> None:
    source = ScriptedSource(log=log)
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source, script(20))
        await pilot.press("6")
        await pull(pilot, source)
        assert app.main.view.NAME == "layers"
        assert "output" not in line_with(app, "1 layers")
