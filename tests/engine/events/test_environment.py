from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engine.toys import toy_trainer

import vgrad
from vgrad.config import RunConfig
from vgrad.events.codec import notice_from_data, notice_to_data
from vgrad.events.environment import find_environment, find_git_commit
from vgrad.events.notices import Notice, RunStarted

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_git(tmp_path: Path) -> None:
    repository, worktree = tmp_path / "repository", tmp_path / "worktree"
    (repository / "deep" / "down").mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    assert find_git_commit(repository) is None, "there is no commit yet"
    for number in range(2):
        git(repository, "commit", "-q", "--allow-empty", "-m", str(number))
    git(repository, "worktree", "add", "-q", "-b", "other", str(worktree), "HEAD~1")
    for folder in (repository, repository / "deep" / "down", worktree):
        assert find_git_commit(folder) == git(folder, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    for folder in (repository, worktree):
        assert find_git_commit(folder) == git(folder, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "--detach", "HEAD~1")
    assert find_git_commit(repository) == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"ref: refs/heads/none",
        b"ref: HEAD",
        b"\xff\xfe",
        b"nonsense",
        b"ref: a\0b",
        COMMIT[:20].encode(),
    ],
)
def test_what_is_no_commit_is_none(tmp_path: Path, head: bytes) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head)
    assert find_git_commit(tmp_path) is None


def test_the_environment_is_that_of_this_process(tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    text.write_text("once upon a time")
    found = find_environment(torch.device("cpu"), text)
    assert (found.python, found.torch) == (platform.python_version(), torch.__version__)
    assert (found.numpy, found.vgrad) == (np.__version__, vgrad.__version__)
    assert found.threads == torch.get_num_threads()
    assert found.text_sha256 == hashlib.sha256(b"once upon a time").hexdigest()
    assert find_environment(torch.device("cpu"), tmp_path / "gone.txt").text_sha256 is None


def test_the_config_comes_back_from_what_a_run_says_of_itself() -> None:
    config = RunConfig.make(
        recipe="charlm-rnn",
        seed=3,
        clip="norm:1",
        freeze="'a,b'",
        text="/a/b.txt",
        options={"hidden": 8, "x": True},
    )
    assert RunConfig.make(**json.loads(json.dumps(config.to_data()))) == config
    relative = RunConfig.make(recipe="charlm-rnn", text="b.txt")
    assert relative.to_data()["text"] == str(Path("b.txt").absolute()), "it is read again in any folder"
    info = toy_trainer(seed=7, clip="norm:1").info()
    notice = Notice(0, 1.0, 0, 0, RunStarted(info))
    data = json.loads(json.dumps(notice_to_data(notice), allow_nan=False))
    assert notice_from_data(data) == notice
    assert RunConfig.make(**info.config).seed == 7
    assert info.environment is not None
    assert info.baseline is None, "nobody knows what a constant prediction costs here"
