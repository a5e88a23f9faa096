"""A folder that another program wrote, or a disk has damaged, is shown harmlessly or refused in words."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.engine.store.recorded import record, story
from tests.soak import times
from tests.tui.driving import screen_lines
from textual.widgets import Static

from vgrad.errors import DataError
from vgrad.store.attached_run import AttachedRun
from vgrad.store.folder import RunFolder
from vgrad.store.listing import look
from vgrad_tui.app.app import VgradApp
from vgrad_tui.cli import cli
from vgrad_tui.state.run_state import State

HOSTILE = (
    "[bold red]markup[/] [@click=app.quit]press[/]",
    "\x1b[2J\x1b]0;title\x07escape",
    "two\nlines\r\t",
    "\u202eright to left",
    "x" * 10_000,
    "\udcff undecodable",
    "=HYPERLINK(1)",
)
VALUES = ("NULL", "-1", "1e308", "9223372036854775807", "'text'", "x'00ff'", "''", "'{}'", "'[[[['", "0.5")
TABLES = ("facts", "notices", "steps", "layers", "snapshots")


def is_harmless(text: str) -> bool:
    """Whether printing ``text`` does nothing to a terminal but show characters."""
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it should be."""
    place = tmp_path_factory.mktemp("good") / "good"
    place.mkdir()
    record(RunFolder(place), 200, ("embed", "head"), bodies=story(200))
    return place


def damage(path: Path, generator: random.Random) -> None:
    """Change one thing of a record, as a failing disk or another program would."""
    if generator.random() < 0.3:
        data = bytearray(path.read_bytes())
        match generator.randrange(3):
            case 0:
                del data[generator.randrange(len(data)) :]
            case 1:
                for _ in range(8):
                    data[generator.randrange(len(data))] = generator.randrange(256)
            case 2:
                start = generator.randrange(len(data))
                data[start : start + 4096] = bytes(len(data[start : start + 4096]))
        path.write_bytes(bytes(data))
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        table = generator.choice(TABLES)
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = generator.choice(columns)
        row = "rowid" if table != "facts" else "name"
        rows = [key for (key,) in connection.execute(f"SELECT {row} FROM {table} ORDER BY {row}")]
        if not rows:
            return
        chosen = f"{row} = {generator.choice(rows)!r}"
        cells = connection.execute(f"SELECT {column} FROM {table} WHERE {chosen}").fetchall()
        try:
            if cells and isinstance(cells[0][0], str) and generator.random() < 0.8:
                text = cells[0][0]
                at = generator.randrange(len(text) + 1)
                part = generator.choice(("null", "-1", '"', "1e999", "[]", "{}", "", "\x1b[2J", "9" * 400))
                changed = text[:at] + part + text[at + generator.randrange(4) :]
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (changed, text))
            else:
                connection.execute(f"UPDATE {table} SET {column} = {generator.choice(VALUES)} WHERE {chosen}")
        except sqlite3.Error:
            return  # the database itself has refused it


def show(folder: RunFolder) -> None:
    """What a screen does with a record."""
    run = AttachedRun(folder)
    state = State()
    try:
        for _ in range(3):
            state.take(run.drain())
        state.layer_marks()
        state.effect()
    finally:
        run.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_damaged_records_are_read_or_refused_in_words(good: Path, tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    for number in range(times(75, 2500)):
        folder = RunFolder(tmp_path / f"run-{number}")
        folder.path.mkdir()
        shutil.copyfile(good / "run.sqlite", folder.database)
        damage(folder.database, generator)
        look(folder)
        refusals = []
        try:
            show(folder)
        except DataError as error:
            refusals.append(str(error))
        assert all(map(is_harmless, refusals))
        shutil.rmtree(folder.path)


async def test_hostile_names_are_shown_and_do_nothing(own_home: Path) -> None:
    folder = record(RunFolder.create("hostile"), 60, HOSTILE, recipe=HOSTILE[0] + HOSTILE[1])
    for size in ((80, 24), (120, 36)):
        app = VgradApp(AttachedRun(folder))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            while app.state.step < 60:
                await pilot.pause(0.02)
            for key in ("1", "2", "3", "5", "j", "escape", "e", "escape", "enter"):
                await pilot.press(key)
                await pilot.pause()
                assert is_harmless("\n".join(screen_lines(app)))
                assert app.is_running
            assert app.query(Static) is not None
    runner = CliRunner()
    for arguments in (["runs"], ["tail", folder.name], ["tail", folder.name, "--steps"]):
        done = runner.invoke(cli, arguments)
        assert done.exit_code == 0, done.exception
        assert is_harmless(done.output)
