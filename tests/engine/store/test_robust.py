"""Real processes that are killed, stopped and kept out; disks that are full or read-only: runs go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.engine.store.recorded import record, story
from tests.engine.store.test_recorder import small_run
from tests.waiting import until

import vgrad
from vgrad.config import RunConfig
from vgrad.controls.controls import Set
from vgrad.events.notices import CommandApplied, RecordingChanged, RunEnded, RunStarted
from vgrad.methods.clip import ClipGradNorm
from vgrad.run.detached import start
from vgrad.run.recording import recorded
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.store import inbox
from vgrad.store.attached_run import AttachedRun
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader

NOBODY = 65534

VIEWER = """
import sys
from pathlib import Path
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
print("reads", flush=True)
while True:
    with RunReader(RunFolder(Path(sys.argv[1]))) as reader:
        for _ in range(20):
            reader.overview()
            reader.take()
"""


def bits_of_training(num_viewers: int) -> list[bytes]:
    """Losses and weights of one run, watched by so many processes that are stopped, killed and hung up."""
    trainer = vgrad.build("charlm-rnn", steps=600, batch_size=2, options={"hidden": 8, "seq_len": 8})
    session = Session(trainer)
    viewers: list[subprocess.Popen[str]] = []
    with recorded(session, "watched") as folder:
        assert folder is not None
        session.start()
        until(folder.database.exists)
        for number in range(num_viewers):
            command = [sys.executable, "-c", VIEWER, str(folder.path)]
            viewers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            viewers[-1].stdout.readline()  # type: ignore[union-attr]
            os.kill(viewers[-1].pid, (signal.SIGSTOP, signal.SIGKILL, signal.SIGHUP)[number % 3])
        session.join()
    for viewer in viewers:
        viewer.kill()
        viewer.wait()
        viewer.stdout.close()  # type: ignore[union-attr]
    with RunReader(folder) as reader:
        losses = np.concatenate([block.loss for block in reader.steps(0)])
    assert len(losses) == 600
    weights = [p.detach().numpy().tobytes() for p in trainer.task.model.parameters()]
    return [losses.tobytes(), *weights]


def test_viewers_that_are_killed_while_they_read_change_no_bit_of_training() -> None:
    assert bits_of_training(6) == bits_of_training(0)


def test_a_stopped_reader_keeps_nothing_from_being_written() -> None:
    folder = record(RunFolder.create("stopped"), 200, ("a",))
    command = [sys.executable, "-c", VIEWER, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as viewer:
        assert viewer.stdout is not None
        viewer.stdout.readline()
        os.kill(viewer.pid, signal.SIGSTOP)
        session = small_run(steps=50)
        with recorded(session, "next to it", folder=RunFolder.create("next")) as other:
            session.start()
            session.join()
        viewer.kill()
    assert other is not None
    with RunReader(other) as reader:
        assert isinstance(reader.take().notices[-1].body, RunEnded)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 1 MB of our own that runs are recorded on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:  # the test runs in a namespace of its own, see conftest.py
        yield disk
        return
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if done.returncode:
        pytest.skip("this machine does not let anybody mount a file system")
    monkeypatch.setenv("VGRAD_HOME", str(disk))
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.mark.mounts
def test_a_run_that_cannot_be_prepared_on_a_full_disk_says_where_and_leaves_nothing(small_disk: Path) -> None:
    first = RunFolder.create("first")  # so that the folder of all runs is there
    fill(small_disk)
    with pytest.raises(OSError, match=rf"cannot be kept in {small_disk}/runs: No space.*VGRAD_HOME can name"):
        start(RunConfig(recipe="article-net"))
    assert list(first.path.parent.iterdir()) == [first.path]


@pytest.mark.mounts
def test_a_full_disk_stops_the_record_and_not_the_run(small_disk: Path) -> None:
    session = small_run(steps=None)
    history = RunHistory()

    def seen() -> RunHistory:
        history.take(screen.drain())
        return history

    screen = session.attach()
    with recorded(session, "small") as folder:
        assert folder is not None
        session.start()
        until(lambda: seen().step > 20 and folder.database.exists())
        fill(small_disk)
        until(lambda: seen().not_recorded)
        before = history.step
        until(lambda: seen().step > before + 20)
        said = f"not recorded: {folder.path}: "
        assert any(entry.text.startswith(said) and "full" in entry.text for entry in history.journal)
        (small_disk / "filler").unlink()
        until(lambda: seen().not_recorded is None)
        session.stop()
        session.join()
    assert session.exception is None
    with RunReader(folder) as reader:
        bodies = [notice.body for notice in reader.take().notices]
        steps = np.concatenate([block.step for block in reader.steps(0)])
        status = reader.status()
    assert status["recipe"] == history.info.recipe and status["started_s"]
    assert isinstance(bodies[-1], RunEnded) and isinstance(bodies[0], RunStarted)
    told = [body.problem for body in bodies if isinstance(body, RecordingChanged)]
    assert told[0] is not None and told[-1] is None, "the record itself says where it has a gap"
    assert (np.diff(steps) > 0).all() and steps[-1] == bodies[-1].step


@pytest.mark.mounts
def test_a_read_only_disk_means_no_record_and_a_run_that_says_so(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    session = small_run(steps=20)
    with recorded(session, "read-only") as folder:
        session.start()
        session.join()
    history = RunHistory()
    history.take(session.drain())
    assert folder is None and history.phase == "done" and history.step == 20
    assert history.not_recorded is not None and "Read-only" in history.not_recorded


LOOK = """
import os, sys
from pathlib import Path
from vgrad.controls.controls import Pause
from vgrad.errors import VgradError
from vgrad.store import inbox
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
folder = RunFolder(Path(sys.argv[1]))
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
for act in (lambda: RunReader(folder).take(), lambda: inbox.send(folder.inbox, Pause())):
    try:
        act()
    except (VgradError, OSError):
        print("refused")
    else:
        print("let in")
"""


def test_another_account_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # nothing but the folders' own modes keeps anybody out
        monkeypatch.setenv("VGRAD_HOME", place)
        folder = record(RunFolder.create("mine"), 20, ("a",))
        inbox.send(folder.inbox, vgrad.Pause())
        for account, answer in ((NOBODY, "refused"), (0, "let in")):
            command = [sys.executable, "-c", LOOK, str(folder.path), str(account)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.stdout.split("\n")[:2] == [answer, answer], done.stderr


BESIDE = """
import os, sys
import torch
import vgrad
from vgrad.store.folder import all_runs
def train():
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer):
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
place, os.environ["VGRAD_HOME"] = os.environ["VGRAD_HOME"], os.getcwd()
train()  # imports all modules, which the other account may not read
os.environ["VGRAD_HOME"] = place
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
train()
print(len(all_runs()) if os.access(place + "/runs", os.R_OK) else "none")
"""


@pytest.mark.parametrize(("mode", "found"), [(0o1777, "1"), (0o700, "none")])
def test_folders_of_another_account_do_not_end_a_loop_that_is_watched(
    mode: int, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where root has recorded a run into somebody's folder, or that whole folder is another's."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        monkeypatch.setenv("VGRAD_HOME", place)
        record(RunFolder.create("roots"), 20, ("a",)).path.parent.chmod(mode)
        command = [sys.executable, "-c", BESIDE, str(NOBODY)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == [found], done.stderr


def test_two_clients_that_want_opposite_things_each_get_their_own_answers() -> None:
    session = small_run(steps=None)
    with recorded(session, "argued about") as folder:
        assert folder is not None
        session.start()
        until(folder.inbox.exists)
        wanted = {"on": Set("clip", ClipGradNorm(1.0)), "off": Set("clip", None)}
        sent = [
            (name, inbox.send(folder.inbox, wanted[name], sender=name)) for _ in range(20) for name in wanted
        ]
        with RunReader(folder) as reader:
            until(lambda: all(reader.answer(command_id) for _, command_id in sent))
            answers = [(name, reader.answer(command_id)) for name, command_id in sent]
        session.stop()
        session.join()
    for name, answer in answers:
        assert answer is not None and isinstance(answer.body, CommandApplied)
        assert answer.body.command == wanted[name] and answer.sender == name
    order = [answer.sequence for _, answer in answers if answer is not None]
    assert order == sorted(order), "what was sent first was done first"
    history = RunHistory()
    history.take(session.drain())
    assert history.controls.clip is None, "the last word is that of the last command"


def test_a_screen_on_a_run_that_is_killed_says_so(tmp_path: Path) -> None:
    folder = record(RunFolder.create("killed"), 300, ("a", "b"), bodies=story(300)[:-1])
    folder.log.write_text("step 299\nSegmentation fault\x1b[2J\n")
    run = AttachedRun(folder)
    history = RunHistory()
    until(lambda: history.ended is not None, look=lambda: history.take(run.drain()))
    assert history.ended is not None and history.phase == "failed" and history.ended.step == 300
    assert "without giving a reason" in str(history.ended.error)
    assert "Segmentation fault" in str(history.ended.traceback_text)
    assert run.drain().notices == ()
    run.close()
