"""What a list of runs says of one is what its record says."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.engine.store.recorded import notices, record, run_info, steps

from vgrad.errors import ConfigError
from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import RunStarted, VerdictChanged
from vgrad.events.run_info import Parent
from vgrad.events.verdict import Verdict
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.listing import find_run, list_runs, look, newest_run
from vgrad.store.writer import Writer
from vgrad_tui.cli import cli


def test_the_verdict_is_the_worst_of_all_parts_and_may_be_older_than_the_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    verdicts = [VerdictChanged(20, Verdict("exploding", "")), VerdictChanged(40, Verdict("healthy", ""))]
    exploding, healthy = notices([(verdict.step, verdict) for verdict in verdicts])
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch(snapshots={0: Snapshot(verdict=Verdict("starting", ""))}))
        assert look(folder).verdict is None
        writer.write(Batch(snapshots={0: Snapshot(verdict=Verdict("vanishing", "as before it went on"))}))
        assert look(folder).verdict == "vanishing"
        writer.write(Batch(notices=(replace(exploding, part=1), healthy)))
        assert look(folder).verdict == "exploding"
        writer.write(Batch(snapshots={1: Snapshot(verdict=Verdict("starting", "re-initialised"))}))
        assert look(folder).verdict == "healthy"


def test_a_run_that_goes_on_from_another_stands_at_that_step_before_its_own_first_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    [begun] = notices([(0, RunStarted(replace(run_info(("a",)), parent=Parent("before", 300))))])
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch(notices=(begun,)))
        assert look(folder).step == 300
        writer.write(Batch(blocks=(steps(301, 1, 1),)))
        assert look(folder).step == 301


def test_of_several_parts_a_run_stands_where_the_one_with_the_most_steps_does(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch(blocks=(steps(1, 100, 1),)))
        writer.write(Batch(blocks=(steps(1, 5, 1, part=1, seed=1),)))
    with closing(open_to_write(folder.database)) as connection:  # as after its disk was full
        Writer(connection).write(Batch(blocks=(steps(6, 5, 1, part=1, seed=1),)))
    found = look(folder)
    assert (found.step, found.loss) == (100, float(steps(1, 100, 1).loss[-1]))


def begun_at(name: str, time_s: float) -> RunFolder:
    folder = RunFolder.create(name)
    [notice] = notices([(0, RunStarted(run_info(("a",))))])
    with closing(open_to_write(folder.database)) as connection:
        Writer(connection).write(Batch(notices=(replace(notice, time_s=time_s),)))
    return folder


def test_runs_stand_in_the_order_in_which_they_began_whichever_was_written_last() -> None:
    folders = [begun_at(name, time_s) for name, time_s in (("a", 100.0), ("b", 300.0), ("c", 200.0))]
    for written in folders:
        os.utime(written.database, (2e9, 2e9))
        assert [run.started_s for run in list_runs()] == [300.0, 200.0, 100.0]


def test_a_run_that_failed_before_it_began_stands_where_it_failed() -> None:
    before, after = begun_at("before", 100.0), begun_at("after", 300.0)
    failed = RunFolder.create("failed")
    open_to_write(failed.database).close()
    os.utime(failed.database, (200.0, 200.0))
    assert [run.name for run in list_runs()] == [after.name, failed.name, before.name]


def test_the_newest_run_is_the_one_that_was_written_last_and_without_one_it_is_said_how_to_begin() -> None:
    with pytest.raises(ConfigError, match="vgrad-tui run RECIPE"):
        newest_run()
    folders = [begun_at(name, 100.0) for name in ("a", "b", "c")]
    for time_s, written in enumerate(folders, 2_000_000_000):
        os.utime(written.database, (time_s, time_s))
        assert newest_run() == written


def test_the_beginning_of_a_name_finds_the_run_that_is_alive() -> None:
    first, second = (begun_at("train", 100.0) for _ in range(2))
    assert find_run(first.name) == first and find_run(second.name) == second
    with pytest.raises(ConfigError, match="several runs have a name that begins with 'train-'"):
        find_run("train-")
    first.lock()
    try:
        assert find_run("train-") == first
        second.lock()
        with pytest.raises(ConfigError, match="several runs"):
            find_run("train-")
    finally:
        first.unlock()
        second.unlock()


def test_a_record_that_cannot_be_read_makes_the_list_no_wider_than_a_terminal() -> None:
    record(RunFolder.create("readable"), 20, ("a",))
    damaged = RunFolder.create("damaged")
    damaged.database.write_bytes(bytes(9000))
    shown = CliRunner().invoke(cli, ["runs"])
    assert shown.exit_code == 0, shown.exception
    *table, problem, _ = shown.output.splitlines()
    assert len(table) == 3 and max(map(len, table)) <= 80
    assert damaged.name in problem and "cannot be read" in problem
    assert f"vgrad-tui runs rm {damaged.name}" in problem
