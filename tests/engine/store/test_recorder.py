"""What happens in a run is in its folder: while it trains, when it has ended, and after kill -9."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.soak import times
from tests.waiting import until

import vgrad
from vgrad.controls.controls import Pause
from vgrad.errors import DataError
from vgrad.events.notices import CommandApplied, CommandRejected, RunEnded, RunStarted
from vgrad.run.recording import recorded
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store import inbox
from vgrad.store.folder import RunFolder
from vgrad.store.listing import look
from vgrad.store.reader import RunReader
from vgrad.store.recorder import Recorder


def small_run(steps: int | None = 40) -> Session:
    return Session(vgrad.build("charlm-rnn", steps=steps, batch_size=2, options={"hidden": 8, "seq_len": 8}))


def test_every_step_and_notice_is_recorded() -> None:
    session = small_run()
    cursor = session.cursor()
    with recorded(session, "demo") as folder:
        session.submit(vgrad.Set("clip", "norm:1"))
        session.submit(vgrad.Set("omega", "1"))
        session.start()
        session.join()
        assert folder is not None and folder.pid() == os.getpid()
    live = cursor.take()
    with RunReader(folder) as reader:
        read = reader.take()
        assert [notice.sequence for notice in read.notices] == [notice.sequence for notice in live.notices]
        assert [type(n.body) for n in read.notices] == [type(n.body) for n in live.notices]
        for name in ("step", "loss", "lr", "grad_norm", "applied_norm", "elapsed_s"):
            ours = np.concatenate([getattr(block, name) for block in read.blocks])
            theirs = np.concatenate([getattr(block, name) for block in live.blocks])
            assert ours.tobytes() == theirs.tobytes(), name
        layers = np.concatenate([block.grad_norms for block in reader.layers(0)])
        assert layers.tobytes() == np.concatenate([block.grad_norms for block in live.blocks]).tobytes()
        assert reader.take().blocks == reader.take().notices == ()
    listed = look(folder)
    assert (listed.status, listed.step, listed.recipe, listed.pid) == ("finished", 40, "charlm-rnn", None)
    assert listed.loss == live.blocks[-1].loss[-1]


def test_commands_from_another_process_are_carried_out_and_answered() -> None:
    session = small_run(steps=None)
    with recorded(session, "demo") as folder:
        assert folder is not None
        session.start()
        until(folder.inbox.exists)
        answers = [
            subprocess.run(
                [sys.executable, "-c", "from vgrad_tui.cli import main; main()", "send", folder.name, *words],
                capture_output=True, text=True, timeout=120, check=False,
                env=os.environ | {"SSH_CLIENT": "203.0.113.7 5000 22"},
            )
            for words in (["clip", "norm:1"], ["activation", "tanh", "--json"], ["omega", "banana"], ["stop"])
        ]  # fmt: skip
        session.join()
    codes = [answer.returncode for answer in answers]
    assert codes == [0, 0, 2, 0], [answer.stderr for answer in answers]
    assert answers[0].stdout.startswith("clip norm 1 @ ")
    assert json.loads(answers[1].stdout)["body"]["command"]["control"] == "activation"
    with RunReader(folder) as reader:
        applied = [n.body for n in reader.take().notices if isinstance(n.body, CommandApplied)]
    assert vgrad.Set("clip", vgrad.ClipGradNorm(1.0)) in [body.command for body in applied]
    history = RunHistory()
    history.take(session.drain())
    [line] = [entry.text for entry in history.journal if entry.text.startswith("clip norm 1")]
    assert re.search(r"by \S+@203\.0\.113\.7$", line), "the journal says who asked"


def test_a_refusal_has_its_reason_and_a_dead_run_says_so() -> None:
    session = small_run(steps=None)
    with recorded(session, "demo") as folder:
        assert folder is not None
        session.start()
        until(folder.inbox.exists)
        command_id = inbox.send(folder.inbox, vgrad.Set("skip", "on"))
        with RunReader(folder) as reader:
            until(lambda: reader.answer(command_id))
            answer = reader.answer(command_id)
        assert answer is not None and isinstance(answer.body, CommandRejected) and answer.body.reason
        session.stop()
        session.join()
    late = subprocess.run(
        [sys.executable, "-c", "from vgrad_tui.cli import main; main()", "send", folder.name, "pause"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert late.returncode == 5 and "not alive" in late.stderr


TRAIN = """
import sys, vgrad
from pathlib import Path
from vgrad.run.recording import recorded
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store.folder import RunFolder
session = Session(vgrad.build("charlm-rnn", batch_size=2, options={"hidden": 8, "seq_len": 8}))
with recorded(session, "killed", folder=RunFolder(Path(sys.argv[1]))):
    session.start()
    session.join()
"""


@contextmanager
def killed_at_last(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A failed test leaves no process behind, and waits for none."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(times(5, 30)))
def test_kill_9_loses_at_most_the_last_moment_and_no_answer(seed: int) -> None:
    folder = RunFolder.create("killed")
    generator = np.random.default_rng(seed)
    with (
        subprocess.Popen([sys.executable, "-c", TRAIN, str(folder.path)]) as process,
        killed_at_last(process),
    ):
        until(folder.inbox.exists)
        with RunReader(folder) as reader:
            command_id = inbox.send(folder.inbox, vgrad.Set("clip", "norm:1"))
            until(lambda: reader.answer(command_id))
            seen = [0]

            def step_is(at_least: int) -> bool:
                seen.extend(int(block.step[-1]) for block in reader.take().blocks)
                return seen[-1] >= at_least

            target = int(generator.integers(50, 600))
            until(lambda: step_is(target))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert look(folder).status == "crashed"
    with RunReader(folder) as reader:
        assert reader.answer(command_id) is not None
        batch = reader.take()
        steps = np.concatenate([block.step for block in batch.blocks])
        assert steps.tolist() == list(range(1, len(steps) + 1))
        assert steps[-1] >= seen[-1], "what a reader saw is there"
        assert not any(isinstance(notice.body, RunEnded) for notice in batch.notices)
    connection = sqlite3.connect(folder.database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_training_goes_on_while_the_folder_is_gone_and_recording_resumes(tmp_path: Path) -> None:
    session = small_run(steps=None)
    problems: list[str | None] = []
    folder = RunFolder.create("gone")
    recorder = Recorder(session.cursor, folder, on_problem=problems.append)
    cursor = session.cursor()
    with recorder:
        session.start()
        until(folder.database.exists)
        folder.path.rename(tmp_path / "gone")  # at once: the recorder may be making a file in it
        shutil.rmtree(tmp_path / "gone")
        until(lambda: problems)
        before = max((int(b.step[-1]) for b in cursor.take().blocks), default=0)
        until(lambda: any(int(b.step[-1]) > before + 5 for b in cursor.take().blocks))
        until(lambda: problems[-1] is None)
        session.stop()
        session.join()
    assert problems[0] is not None and recorder.problem is None
    with RunReader(folder) as reader:
        notices = reader.take().notices
    assert isinstance(notices[0].body, RunStarted) and isinstance(notices[-1].body, RunEnded)


def test_a_run_whose_folder_was_removed_is_alive_for_others_once_it_is_recorded_again(
    tmp_path: Path,
) -> None:
    def pid_for_others() -> str:
        code = (
            "import pathlib, sys; from vgrad.store.folder import RunFolder;"
            "print(RunFolder(pathlib.Path(sys.argv[1])).pid())"
        )
        asked = subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, check=True)
        return asked.stdout.decode().strip()

    session = small_run(steps=None)
    problems: list[str | None] = []
    with recorded(session, "gone", on_problem=problems.append) as recorded_in:
        assert recorded_in is not None
        folder = recorded_in
        session.start()
        until(folder.database.exists)
        folder.path.rename(tmp_path / "gone")
        until(lambda: len(problems) > 1 and problems[-1] is None)
        assert pid_for_others() == str(os.getpid())
        session.stop()
        session.join()
    assert pid_for_others() == "None"


def test_a_folder_that_cannot_be_written_costs_the_run_nothing(tmp_path: Path) -> None:
    session = small_run(steps=20)
    problems: list[str | None] = []
    file = tmp_path / "a file"
    file.touch()
    with Recorder(session.cursor, RunFolder(file / "run"), on_problem=problems.append):
        session.start()
        assert session.join(60)
        until(lambda: problems)
    assert session.exception is None
    assert problems[0]


def test_an_error_in_what_takes_the_commands_is_told_and_recording_goes_on() -> None:
    session = small_run(steps=None)
    problems: list[str | None] = []
    taken: list[str] = []

    def take(sent: inbox.SentCommand) -> None:
        taken.append(sent.command_id)
        raise RuntimeError("nobody is at home")

    folder = RunFolder.create("faulty")
    with Recorder(session.cursor, folder, on_command=take, on_problem=problems.append) as recorder:
        session.start()
        until(folder.inbox.exists)
        asked = inbox.send(folder.inbox, Pause())
        until(lambda: problems and problems[-1] is None)
        session.stop()
        session.join()
    assert taken == [asked] and recorder.problem is None
    assert problems[0] == "RuntimeError: nobody is at home"
    with RunReader(folder) as reader:
        assert isinstance(reader.take().notices[-1].body, RunEnded)


@pytest.mark.parametrize("damage", ["empty", "text", "other", "newer", "truncated"])
def test_a_record_that_is_not_ours_or_damaged_is_refused(damage: str) -> None:
    session = small_run()
    with recorded(session, "demo") as folder:
        session.start()
        session.join()
    assert folder is not None
    path = folder.database
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("no database\n" * 100)
        case "truncated":
            path.write_bytes(path.read_bytes()[:5000])
        case "other" | "newer":
            connection = sqlite3.connect(path)
            connection.execute(
                "PRAGMA user_version = 99" if damage == "newer" else "PRAGMA application_id = 1"
            )
            connection.close()

    def read() -> None:
        with RunReader(folder) as reader:
            reader.status()
            reader.take()

    with pytest.raises(DataError, match="newer" if damage == "newer" else None):
        read()
    assert look(folder).name == folder.name


def test_small_chunks_are_joined_and_a_reader_in_between_sees_each_step_once() -> None:
    session = small_run(steps=3000)
    folder = RunFolder.create("long")
    recorder = Recorder(session.cursor, folder)
    with recorder:
        session.start()
        until(lambda: look(folder).status != "unreadable")
        steps: list[int] = []
        with RunReader(folder) as reader:
            while not session.join(0.02):
                steps += [int(step) for block in reader.take().blocks for step in block.step]
            recorder.close()
            steps += [int(step) for block in reader.take().blocks for step in block.step]
    assert steps == list(range(1, 3001))
