"""A run in a process of its own, which outlives the terminal and the connection that started it.

python -m vgrad.run.detached FOLDER [SUMMARY]     what `start` runs; not for people
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError, DataError, VgradError
from vgrad.events.notices import RunEnded, RunStarted
from vgrad.store.folder import RunFolder, cannot_be_kept
from vgrad.store.reader import RunReader

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.run.resume import Resumption

_CONFIG, _ORIGIN = "config.json", "origin.json"  # the second where it goes on from another run
_LOOK_S = 0.05
_LAST_LINES = 12


def start(
    config: RunConfig, resumption: Resumption | None = None, *, summary_path: Path | None = None
) -> RunFolder:
    """Start a run in a process of its own and return its folder once training has begun.

    The process has a session of its own, so neither Ctrl-C nor the end of the connection reaches it, and what
    it prints goes to the folder's log.

    Args:
        config: The run.
        resumption: The recorded run to go on from; its settings are ``config``.
        summary_path: File for the JSON summary, which is written when the run has ended.

    Raises:
        ConfigError: If the run ends before its first step; says what it printed.
        OSError: If no folder can be made, or written to; says where.
    """
    folder = RunFolder.create(config.name)
    try:
        _prepare(folder, config, resumption)
    except OSError as error:
        folder.remove()
        raise cannot_be_kept(folder.path.parent, error) from error
    arguments = [folder.path] if summary_path is None else [folder.path, summary_path.absolute()]
    with folder.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", "vgrad.run.detached", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while not has_started(folder):
        if process.poll() is not None and not has_started(folder.settled()):
            folder = folder.settled()
            printed = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
            folder.remove()
            raise ConfigError("\n".join(["the run could not start:", *printed[-_LAST_LINES:]]))
        time.sleep(_LOOK_S)
        folder = folder.settled()  # it may have ended by now
    return folder


def _prepare(folder: RunFolder, config: RunConfig, resumption: Resumption | None) -> None:
    """Write down what the process is to train."""
    (folder.path / _CONFIG).write_text(config.model_dump_json(), encoding="utf-8")
    if resumption is not None:
        origin = {
            "run": resumption.folder.name,
            "at": resumption.at,
            "steps": resumption.config.steps,
            "keeps_pause": resumption.keeps_pause,
        }
        (folder.path / _ORIGIN).write_text(json.dumps(origin), encoding="utf-8")


def has_started(folder: RunFolder) -> bool:
    """Whether the run in ``folder`` has begun to train."""
    try:
        with RunReader(folder) as reader:
            bodies = [notice.body for notice in reader.take().notices]
    except DataError:
        return False  # there is no record yet
    failed = any(isinstance(body, RunEnded) and body.reason == "failed" and not body.step for body in bodies)
    return not failed and any(isinstance(body, RunStarted) for body in bodies)


def train_in_folder(path: Path, summary_path: Path | None = None) -> int:
    """Train what the configuration in the folder ``path`` says, record it there, and return the exit code."""
    from vgrad.config import RunConfig
    from vgrad.run.headless import run_headless

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = RunFolder(path)
    config = RunConfig.model_validate_json((folder.path / _CONFIG).read_text(encoding="utf-8"))
    return run_headless(
        config,
        stdout=sys.stdout,
        stderr=sys.stderr,
        summary_path=summary_path,
        folder=folder,
        resumption=_origin(folder),
    )


def _origin(folder: RunFolder) -> Resumption | None:
    path = folder.path / _ORIGIN
    if not path.exists():
        return None
    from vgrad.run.resume import Resumption

    origin = json.loads(path.read_text(encoding="utf-8"))
    return Resumption.of(RunFolder.find(origin.pop("run")), **origin)


def _main(*paths: str) -> int:
    """Train, and print why where that makes no sense: the words are for whoever asked for the run."""
    try:
        return train_in_folder(*map(Path, paths))
    except VgradError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
