"""A run whose home is on a network file system: kept on a local disk while it trains, then moved."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from tests.engine.store.recorded import record, story
from tests.engine.store.test_recorder import TRAIN, killed_at_last, small_run
from tests.waiting import until
from torch import nn

import vgrad
from vgrad.controls.controls import SaveCheckpoint
from vgrad.errors import ConfigError
from vgrad.events.notices import RecordingChanged
from vgrad.run.recording import recorded
from vgrad.run.run_history import RunHistory
from vgrad.store import file_system
from vgrad.store.attached_run import AttachedRun
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.database import open_to_write
from vgrad.store.file_system import is_network_device, is_on_network
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.inbox import send
from vgrad.store.listing import find_run, list_runs
from vgrad.store.move_from_local import move_home
from vgrad.store.reader import RunReader
from vgrad_tui.cli import cli

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:45 / /home rw,relatime shared:7 - nfs4 filer:/export/home rw,vers=4.2,addr=10.0.0.2
32 27 0:46 / /scratch rw,relatime - lustre mds@tcp:/scratch rw
33 27 0:47 / /mnt/a\\040b rw,nosuid - fuse.sshfs me@host: rw,user_id=1000
34 27 0:48 / /dev/shm rw - tmpfs tmpfs rw
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a local disk that runs are kept in until they end."""
    place = tmp_path / "local"
    monkeypatch.setenv("VGRAD_LOCAL", str(place))
    return place


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def vgrad_tui(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


@pytest.mark.parametrize(
    ("device", "is_network"),
    [((254, 0), False), ((0, 45), True), ((0, 46), True), ((0, 47), True), ((0, 48), False), ((9, 9), False)],
)
def test_the_table_of_mounts_says_what_is_a_network(device: tuple[int, int], is_network: bool) -> None:
    assert is_network_device(os.makedev(*device), MOUNTS) is is_network


def test_this_machines_own_disk_is_no_network(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path / "not" / "there" / "yet")


def test_a_home_on_a_network_needs_a_local_disk(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"31 27 {os.major(device)}:{os.minor(device)} / / rw - nfs4 filer:/ rw\n")
    monkeypatch.setattr(file_system, "_MOUNTS", mounts)
    monkeypatch.setenv("VGRAD_LOCAL", str(tmp_path / "network-too"))
    with pytest.raises(ConfigError, match="VGRAD_LOCAL"):
        RunFolder.create("refused")
    shared_memory = Path(f"/dev/shm/vgrad-test-{os.getpid()}")  # another device than the home's
    monkeypatch.setenv("VGRAD_LOCAL", str(shared_memory))
    folder = RunFolder.create("kept")
    assert folder.path.parent == shared_memory and folder.name in names(own_home / "runs")
    folder.remove()
    shared_memory.rmdir()


def test_a_run_is_kept_there_is_found_by_its_name_and_moves_when_it_ends(own_home: Path, local: Path) -> None:
    session = small_run(steps=None)
    with recorded(session, "demo") as kept:
        assert kept is not None and kept.path.parent == local
        session.start()
        until(kept.inbox.exists)
        attached = AttachedRun(RunFolder.find(kept.name))
        assert find_run("demo") == kept and find_run(None) == kept
        [listed] = list_runs()
        assert (listed.name, listed.status, listed.pid) == (kept.name, "alive", os.getpid())
        assert names(own_home / "runs" / kept.name) == {"pointer.json"}
        assert vgrad_tui("send", kept.name, "clip", "norm:1").exit_code == 0
        send(kept.inbox, SaveCheckpoint())
        until(lambda: checkpoints_of(kept))
        assert vgrad_tui("runs", "rm", kept.name).exit_code != 0, "it is alive"
        session.stop()
        session.join()
    assert not kept.path.exists() and not names(local)
    moved = RunFolder.find(kept.name)
    assert moved.path == own_home / "runs" / kept.name and kept.settled() == moved
    assert names(moved.path) == {"run.sqlite", "checkpoints"}
    assert checkpoints_of(moved)
    history, seen = RunHistory(), RunHistory()
    history.take(session.drain())
    until(lambda: seen.take(attached.drain()) or seen.ended)
    with RunReader(moved) as reader:
        batch = reader.take()
        steps = np.concatenate([block.step for block in batch.blocks])
    assert steps.tolist() == list(range(1, history.step + 1)) and seen.step == history.step
    [place] = [n.body.place for n in batch.notices if isinstance(n.body, RecordingChanged)]
    assert place is not None and str(kept.path) in place and platform.node() in place
    assert any(entry.text.startswith(f"recorded in {kept.path}") for entry in history.journal)
    assert [run.status for run in list_runs()] == ["stopped"]
    attached.close()
    moved.remove()
    assert all_runs() == []


def test_a_loop_of_ones_own_is_kept_there_as_well_and_says_so_to_whoever_attaches(local: Path) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, name="own"):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        until(all_runs)
        kept = find_run("own")
        assert kept.path.parent == local
    moved = kept.settled()
    assert moved != kept
    with RunReader(moved) as reader:
        batch = reader.take()
    [place] = [n.body.place for n in batch.notices if isinstance(n.body, RecordingChanged)]
    assert place is not None and str(kept.path) in place and sum(map(len, batch.blocks)) == 1


def test_what_kill_9_left_there_is_moved_by_the_next_list(own_home: Path, local: Path) -> None:
    kept = RunFolder.create("killed")
    with subprocess.Popen([sys.executable, "-c", TRAIN, str(kept.path)]) as process, killed_at_last(process):
        until(kept.inbox.exists)
        with RunReader(kept) as reader:
            command_id = send(kept.inbox, SaveCheckpoint())
            until(lambda: reader.answer(command_id))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (kept.path / "run.sqlite-wal").stat().st_size, "the newest is in the log that a copy would miss"
    [listed] = list_runs()
    assert listed.status == "crashed" and not kept.path.exists()
    moved = RunFolder.find(kept.name)
    assert moved.path.parent == own_home / "runs"
    with RunReader(moved) as reader:
        assert reader.answer(command_id) is not None


def test_a_move_that_was_cut_off_is_begun_again(own_home: Path, local: Path) -> None:
    kept = record(RunFolder.create("cut"), 200, ("a",), bodies=story(200))
    at_home = own_home / "runs" / kept.name
    (at_home / "run.sqlite").write_bytes(b"half of it")
    assert find_run("cut").path == at_home
    with RunReader(RunFolder(at_home)) as reader:
        assert sum(map(len, reader.take().blocks)) == 200


def test_where_there_is_no_room_at_home_it_stays_and_is_found(local: Path, own_home: Path) -> None:
    kept = record(RunFolder.create("stays"), 50, ("a",), bodies=story(50))
    (own_home / "runs" / kept.name / "run.sqlite").mkdir()  # nothing can be written over it
    kept.lock()
    with pytest.raises(OSError, match=r"run\.sqlite"):
        move_home(kept)
    assert kept.pid() is None and find_run("stays") == kept and kept.database.exists()


def test_a_move_waits_for_no_reader(local: Path) -> None:
    kept = record(RunFolder.create("read"), 50, ("a",), bodies=story(50))
    with closing(open_to_write(kept.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notices").fetchone()
        assert list_runs()[0].step == 50 and not kept.path.exists()


def test_on_another_host_it_is_listed_and_refused_by_name(own_home: Path, local: Path) -> None:
    kept = record(RunFolder.create("far"), 50, ("a",))
    pointer = own_home / "runs" / kept.name / "pointer.json"
    pointer.write_text(json.dumps({"host": "node7\x1b[2J", "path": str(kept.path)}))
    row = json.loads(vgrad_tui("runs", "--json").output)[0]
    assert (row["name"], row["status"]) == (kept.name, "elsewhere") and "node7" in row["host"]
    table = vgrad_tui("runs").output
    assert "is on host node7" in table and str(kept.path) in table and "\x1b" not in table
    for words in (
        ("attach", kept.name), ("send", kept.name, "pause"), ("tail", kept.name), ("runs", "rm", kept.name),
        ("tail", "far"), ("replay", "far"), ("verify", "far"), ("export", "far"),
        ("run", "--resume", "far", "--headless"),
    ):  # fmt: skip
        done = vgrad_tui(*words)
        assert done.exit_code == 2 or isinstance(done.exception, ConfigError), words
        said = str(done.exception) + done.output
        assert "is on host node7" in said and "\x1b" not in said, words
    assert kept.path.exists()


def test_a_local_folder_that_others_can_write_is_not_used(local: Path) -> None:
    local.mkdir()
    local.chmod(0o777)
    session = small_run(steps=3)
    with recorded(session, "open") as folder:
        session.start()
        session.join()
    history = RunHistory()
    history.take(session.drain())
    assert folder is None and history.phase == "done"
    assert history.not_recorded is not None and "VGRAD_LOCAL" in history.not_recorded


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"host": 3}', '{"host": "a", "path": 5}', "[" * 9999]
)
def test_a_pointer_that_makes_no_sense_points_nowhere(text: str, own_home: Path) -> None:
    folder = record(RunFolder.create("odd"), 20, ("a",), bodies=story(20))
    (folder.path / "pointer.json").write_text(text)
    assert [run.name for run in list_runs()] == [folder.name]
