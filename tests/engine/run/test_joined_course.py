"""A run that goes on from others is shown, printed and exported with their history as its beginning."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner
from tests.engine.run.test_resume import COMMANDS, run, small, trained
from tests.waiting import until

from vgrad.controls.controls import Command, Rewind, Set
from vgrad.events.batch import Batch
from vgrad.events.notices import RunStarted
from vgrad.run.resume import Resumption
from vgrad.run.rewindable import RewindableRun
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store.ancestry import with_ancestors
from vgrad.store.attached_run import AttachedRun
from vgrad.store.export import layer_rows_of, rows_of, write_csv
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
from vgrad.store.replayed_run import ReplayedRun
from vgrad_tui.cli import cli

STEPS = 14


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Runs that all tests here read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGRAD_HOME", str(tmp_path_factory.mktemp("joined")))
        yield


def later(step: int) -> list[tuple[int, Command]]:
    return [(at, command) for at, command in COMMANDS if at >= step]


@pytest.fixture(scope="module")
def runs(home: object) -> dict[str, RunFolder]:
    """A run, one that goes on from it at step 5, and one that goes on from that one at step 9."""
    whole = run(small("depth-tanh", steps=STEPS), COMMANDS)
    child = trained(Resumption.of(whole, at=5).session(), "child", later(5))
    grandchild = trained(Resumption.of(child, at=9).session(), "grandchild", later(9))
    return {"whole": whole, "child": child, "grandchild": grandchild}


@pytest.fixture(autouse=True)
def in_their_home(runs: dict[str, RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGRAD_HOME", str(runs["whole"].path.parents[1]))


def attached(folder: RunFolder) -> RunHistory:
    source, history = AttachedRun(folder), RunHistory()
    history.take(source.drain())
    source.close()
    return history


def replayed(folder: RunFolder) -> RunHistory:
    history = RunHistory()
    history.take(ReplayedRun(folder, at_step=2**40).drain())
    return history


def assert_same_course(ours: RunHistory, theirs: RunHistory) -> None:
    assert ours.step == theirs.step
    for mine, whole in ((ours.losses, theirs.losses), (ours.layers, theirs.layers)):
        assert mine is not None and whole is not None
        left, right = mine.window(1, STEPS + 1, STEPS), whole.window(1, STEPS + 1, STEPS)
        assert left.mean.tobytes() == right.mean.tobytes() and left.count.tolist() == right.count.tolist()
    assert ours.marks == theirs.marks
    assert ours.validations == theirs.validations
    assert ours.applied_at == theirs.applied_at
    assert ours.controls == theirs.controls
    assert ours.totals.loss_first == theirs.totals.loss_first


@pytest.mark.parametrize("history_of", [attached, replayed])
@pytest.mark.parametrize("name", ["child", "grandchild"])
def test_on_the_screen_the_course_is_that_of_a_run_that_was_never_interrupted(
    runs: dict[str, RunFolder], name: str, history_of: Callable[[RunFolder], RunHistory]
) -> None:
    history = history_of(runs[name])
    assert_same_course(history, attached(runs["whole"]))
    changes = [entry.text for entry in history.journal if entry.kind == "applied"]
    assert changes == [entry.text for entry in attached(runs["whole"]).journal if entry.kind == "applied"]


def test_a_replay_goes_back_into_the_run_before(runs: dict[str, RunFolder]) -> None:
    recording, history = ReplayedRun(runs["grandchild"], at_step=3), RunHistory()
    history.take(recording.drain())
    assert history.step == 3 and history.controls.lr_scale == attached(runs["whole"]).controls.lr_scale * 2


def test_it_is_exported_with_every_step_once(runs: dict[str, RunFolder]) -> None:
    rows = {}
    for name, folder in runs.items():
        with RunReader(folder) as reader:
            rows[name] = [row for row in rows_of(reader) if row["kind"] == "step"]
    strip = [{**row, "elapsed_s": 0} for row in rows["whole"]]
    for name in ("child", "grandchild"):
        assert [{**row, "elapsed_s": 0} for row in rows[name]] == strip
    with RunReader(runs["grandchild"]) as reader:
        steps = [row["step"] for row in layer_rows_of(reader)]
    assert sorted(set(steps)) == list(range(1, STEPS + 1)) and steps == sorted(steps)
    with RunReader(runs["grandchild"]) as reader:
        write_csv(rows_of(reader), ("kind", "step"), io.StringIO())


def test_it_is_printed_and_listed_with_where_it_comes_from(runs: dict[str, RunFolder]) -> None:
    name = runs["grandchild"].name
    printed = CliRunner().invoke(cli, ["tail", name, "--steps", "--json"])
    lines = [json.loads(line) for line in printed.output.splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "Step"] == list(range(1, STEPS + 1))
    listed = {row["name"]: row for row in json.loads(CliRunner().invoke(cli, ["runs", "--json"]).output)}
    assert listed[name]["parent"] == {"run": runs["child"].name, "step": 9}
    assert listed[runs["whole"].name]["parent"] is None


def test_where_the_run_before_is_gone_it_begins_where_it_began(runs: dict[str, RunFolder]) -> None:
    with RunReader(runs["child"]) as reader:
        batch = reader.take()
    [started] = [n for n in batch.notices if isinstance(n.body, RunStarted)]
    assert started.body.info.parent is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGRAD_HOME", "/nowhere")
        assert with_ancestors(batch) is batch
        assert with_ancestors(Batch()).before is None


def test_a_screen_in_the_same_process_keeps_the_curve_when_the_run_is_rewound() -> None:
    with RewindableRun(Session.from_config(small("depth-tanh")), "wound") as rewindable:
        screen, history = rewindable.attach(), RunHistory()
        screen.start()

        def wait_for(condition: Callable[[], object]) -> None:
            until(condition, look=lambda: history.take(screen.drain()))

        wait_for(lambda: history.step > 12)
        screen.submit(Set("lr_scale", 0.5))
        wait_for(lambda: history.controls.lr_scale == 0.5)
        screen.submit(Rewind(6))
        wait_for(lambda: history.info and history.info.parent and history.step > 9)
        buckets = history.losses.window(1, 10, 9)
        assert (buckets.count == 1).all() and np.isfinite(buckets.mean[:, 0]).all()
        assert history.marks == type(history.marks)(), "the command after step 6 is of another course"
        assert any(entry.text.startswith("lr") for entry in history.journal), "but was given, all the same"
        rewindable.stop()
        assert rewindable.join(60)
        screen.close()


def test_tail_follows_a_run_that_is_rewound() -> None:
    with RewindableRun(Session.from_config(small("depth-tanh")), "wound") as rewindable:
        cursor, history = rewindable.cursor(), RunHistory()
        rewindable.start()
        first = rewindable.folder
        assert first is not None

        def wait_for(condition: Callable[[], object]) -> None:
            until(condition, look=lambda: history.take(cursor.take()))

        wait_for(lambda: history.step > 8 and first.database.exists())
        code = "from vgrad_tui.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "tail", first.name, "--follow"], stdout=subprocess.PIPE, text=True
        ) as follower:
            assert follower.stdout is not None
            follower.stdout.readline()  # it reads
            rewindable.submit(Rewind(5))
            wait_for(lambda: history.info and history.info.parent)
            rewindable.submit(Set("lr_scale", 0.25))
            wait_for(lambda: history.controls.lr_scale == 0.25)
            rewindable.stop()
            assert rewindable.join(60)
            printed, _ = follower.communicate(timeout=60)
    assert "rewind" in printed and "from step 5 of" in printed and "0.25" in printed
    assert printed.count("stopped") == 2
