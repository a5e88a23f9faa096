"""A run's folder says whether its process is alive, however that process ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vgrad.errors import ConfigError
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder, all_runs, home, runs_elsewhere
from vgrad.store.listing import find_run

HOLD = """
import os, sys
from pathlib import Path
from vgrad.store.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
folder.lock()
if sys.argv[2:] == ["fork"]:
    if os.fork() == 0:
        print("child", flush=True)
        sys.stdin.read()
        os._exit(0)
else:
    print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> RunFolder:
    return RunFolder.create("demo")


@contextmanager
def held(folder: RunFolder, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the folder's lock."""
    command = [sys.executable, "-c", HOLD, str(folder.path), *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() in ("held\n", "child\n")
        yield process
        process.kill()


@pytest.fixture
def holder(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    with held(folder) as process:
        yield process


def test_runs_lie_where_the_environment_says(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home() == own_home
    monkeypatch.delenv("VGRAD_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert home() == tmp_path / "state" / "vgrad"
    for none in ("", "not/absolute"):
        monkeypatch.setenv("XDG_STATE_HOME", none)
        assert home() == Path.home() / ".local" / "state" / "vgrad"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert home() == Path.home() / ".local" / "state" / "vgrad"
    monkeypatch.setenv("VGRAD_HOME", "here")
    assert home() == Path.cwd() / "here"


def test_a_folder_belongs_to_the_account_alone(folder: RunFolder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.path.parent.stat().st_mode & 0o777 == 0o700


@contextmanager
def changing(change: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """A thread that changes something again and again, and how often it has done so."""
    num_done, is_over = 0, threading.Event()

    def run() -> None:
        nonlocal num_done
        while not is_over.is_set():
            change()
            num_done += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: num_done
    finally:
        is_over.set()
        thread.join()


def test_its_size_is_counted_while_checkpoints_come_and_go(folder: RunFolder) -> None:
    (folder.path / "log.txt").write_bytes(bytes(1000))
    aside, saved = folder.checkpoints / ".10-0-end.x", folder.checkpoints / "10-0-end"

    def save_and_drop() -> None:
        aside.mkdir(parents=True)
        (aside / "state.json").write_bytes(bytes(100))
        aside.rename(saved)
        shutil.rmtree(saved)

    with changing(save_and_drop) as num_changes:
        while num_changes() < 500:
            assert 1000 <= folder.num_bytes() <= 1000 + 2 * 100
            for checkpoint in checkpoints_of(folder):
                assert checkpoint.num_bytes() in {0, 100}


def test_runs_are_listed_while_others_are_removed(folder: RunFolder) -> None:
    folder.database.touch()

    def come_and_go() -> None:
        other = RunFolder.create("other")
        other.database.touch()
        other.remove()

    with changing(come_and_go) as num_changes:
        while num_changes() < 300:
            assert folder in all_runs()


@pytest.mark.parametrize(
    "title", ["a/b", "../../etc", "", "\x1b[31mred", "x" * 500, "[bold]m[/]", "a\nb", ".."]
)
def test_any_title_gives_a_plain_name(title: str) -> None:
    folder = RunFolder.create(title)
    assert folder.path.parent == home() / "runs"
    assert folder.name.isprintable() and "/" not in folder.name and not folder.name.startswith(".")
    assert RunFolder.find(folder.name) == folder


def test_two_runs_of_one_second_have_names_of_their_own() -> None:
    assert len({RunFolder.create("same").name for _ in range(5)}) == 5


@pytest.mark.parametrize("name", ["", "..", "a/b", "../runs", ".hidden", "x" * 100, "no-such-run"])
def test_a_name_that_no_run_has_is_refused(folder: RunFolder, name: str) -> None:
    with pytest.raises(ConfigError, match="vgrad-tui runs"):
        RunFolder.find(name)


def test_a_run_is_alive_while_its_process_holds_the_lock(
    folder: RunFolder, holder: subprocess.Popen[str]
) -> None:
    assert folder.pid() == holder.pid
    with pytest.raises(ConfigError, match="alive"):
        folder.lock()
    with pytest.raises(ConfigError, match="alive"):
        folder.remove()
    assert folder.pid() == holder.pid, "looking at the lock does not let go of it"


def test_a_killed_run_is_not_alive(folder: RunFolder, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert folder.pid() is None


def test_a_stopped_run_is_alive(folder: RunFolder, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)  # until it has stopped
    assert folder.pid() == holder.pid


def test_a_forked_worker_does_not_keep_its_parents_run_alive(folder: RunFolder) -> None:
    with held(folder, "fork") as process:
        assert folder.pid() == process.pid
        process.kill()
        process.wait()
        assert folder.pid() is None


def test_a_process_sees_its_own_lock_and_keeps_it(folder: RunFolder) -> None:
    folder.lock()
    folder.lock()
    assert folder.pid() == os.getpid()
    code = (
        "from pathlib import Path; from vgrad.store.folder import RunFolder; "
        f"print(RunFolder(Path({str(folder.path)!r})).pid())"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(seen) == os.getpid()
    folder.unlock()
    assert folder.pid() is None
    folder.remove()
    assert not folder.path.exists()


def test_the_newest_run_comes_first(own_home: Path) -> None:
    assert all_runs() == []
    names = []
    for number in range(3):
        folder = RunFolder.create("run")
        folder.database.touch()
        os.utime(folder.database, (number, number))
        names.append(folder.name)
    (own_home / "runs" / "not-a-run").mkdir()
    assert [folder.name for folder in all_runs()] == names[::-1]


NOBODYS = """
import os
from pathlib import Path
from vgrad.controls.controls import Pause
from vgrad.errors import ConfigError
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store import inbox
from vgrad.store.folder import home
os.setuid(987654)  # a number that no account has, as in many containers
inbox.send(Path("inbox.sqlite"), Pause())
[sent] = inbox.Inbox(Path("inbox.sqlite")).take()
print(sent.sender)
try:
    home()
except ConfigError as error:
    print(error)
"""


def test_a_number_that_no_account_has_can_steer_and_is_asked_where_runs_are_to_be_kept() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", NOBODYS], cwd=place, env=known, capture_output=True, text=True, check=True
        )
    sender, problem = done.stdout.splitlines()
    assert sender == "987654@here"
    assert problem.startswith("this account has no home") and "VGRAD_HOME" in problem


def test_where_no_folder_can_be_made_it_is_said_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGRAD_HOME", str(tmp_path / "file"))
    with pytest.raises(
        OSError, match=r"^runs cannot be kept in .*file/runs: .*; VGRAD_HOME can name another"
    ):
        RunFolder.create("run")


@pytest.mark.parametrize("home", ["file", "loop"])
def test_where_runs_cannot_be_listed_nobody_says_that_there_are_none(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("VGRAD_HOME", str(tmp_path / home))
    for look in (all_runs, runs_elsewhere, lambda: find_run("run")):
        with pytest.raises(
            OSError, match=rf"^the runs in .*{home}/runs cannot be listed: .*; VGRAD_HOME can"
        ):
            look()
