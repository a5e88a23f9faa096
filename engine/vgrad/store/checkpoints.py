"""The checkpoints of a run: one folder each, written by a thread of their own, a few of them kept.

    checkpoints/STEP-COMMANDS-REASON/     state.safetensors and state.json, see `vgrad.train.state`

STEP optimizer steps had been done and COMMANDS commands applied when the state was captured: together with
the run's record the two numbers say exactly which moment it is. A folder appears whole or not at all.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.errors import VgradError
from vgrad.store.folder import bytes_below
from vgrad.store.size_limit import checkpoints_limit_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vgrad.store.folder import RunFolder
    from vgrad.train.state import TrainerState

KEPT = {"start": 1, "time": 3, "command": 3, "asked": 3, "end": 1}
"""How many are kept of each reason: the newest ones. All together stay within a limit of bytes, too."""

_NAME = re.compile(rf"(\d{{1,18}})-(\d{{1,18}})-({'|'.join(KEPT)})")
_MOST_WAITING = 2  # states in memory that the disk has not taken yet


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved state of a run.

    Attributes:
        path: Its folder.
        step: Optimizer steps that had been done.
        num_commands: Commands that the run had applied.
        reason: Why it was saved; a key of `KEPT`.
    """

    path: Path
    step: int
    num_commands: int
    reason: str

    @property
    def place(self) -> tuple[int, int]:
        """Its place in the course of the run: steps, then commands."""
        return self.step, self.num_commands

    def num_bytes(self) -> int:
        """Bytes of its files; 0 once it has been deleted."""
        return bytes_below(self.path)

    def load(self) -> TrainerState:
        """Read the state.

        Raises:
            DataError: If it is damaged or of another version.
        """
        from vgrad.train.state import TrainerState

        return TrainerState.load(self.path)


def checkpoints_of(folder: RunFolder) -> list[Checkpoint]:
    """The checkpoints of a run, in the order of its course."""
    try:
        paths = list(folder.checkpoints.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        Checkpoint(path, int(match[1]), int(match[2]), match[3])
        for path in paths
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.place)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a run's checkpoints, after one was saved.

    Attributes:
        steps: Steps at which they were saved, oldest first.
        num_bytes: Bytes of all of them.
        max_bytes: Bytes that they may take; infinity for no limit.
        num_dropped: Older ones that were deleted now because they took more.
    """

    steps: tuple[int, ...]
    num_bytes: int
    max_bytes: float
    num_dropped: int


class CheckpointWriter:
    """Writes states to a run's folder from a thread of its own: training never waits for the disk.

    Args:
        folder: The run's folder.
        on_saved: Called in the writer's thread with each checkpoint, and with what is kept now.
        on_failed: Called there with the step, and in words why no checkpoint could be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        on_saved: Callable[[Checkpoint, Kept], None],
        on_failed: Callable[[int, str], None],
    ) -> None:
        self._folder = folder
        self._on_saved = on_saved
        self._on_failed = on_failed
        self._changed = threading.Condition()
        self._waiting: deque[tuple[TrainerState, Checkpoint]] = deque()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="vgrad-checkpoints", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a state is waiting for the disk, or being written."""
        with self._changed:
            return bool(self._waiting)

    def put(self, state: TrainerState, *, num_commands: int, reason: str) -> None:
        """Have a captured state written. Never waits; where too many are waiting, `on_failed` is called."""
        step = state.step
        path = self._folder.checkpoints / f"{step}-{num_commands}-{reason}"
        with self._changed:
            has_room = len(self._waiting) < _MOST_WAITING or reason == "end"
            if has_room:
                self._waiting.append((state, Checkpoint(path, step, num_commands, reason)))
                self._changed.notify_all()
        if not has_room:
            self._on_failed(step, f"the disk has not taken the last {_MOST_WAITING} yet")

    def flush(self) -> None:
        """Wait until everything that was put is written."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)

    def close(self) -> None:
        """Write what is waiting, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                state, checkpoint = self._waiting[0]
            self._write(state, checkpoint)
            with self._changed:
                self._waiting.popleft()  # only now: until it is written, the writer is busy
                self._changed.notify_all()

    def _write(self, state: TrainerState, checkpoint: Checkpoint) -> None:
        folder = self._folder.checkpoints
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in folder.iterdir():
                if path.name.startswith("."):  # of a process that was killed while it wrote
                    shutil.rmtree(path, ignore_errors=True)
            if not checkpoint.path.exists():
                state.save(checkpoint.path)
            self._on_saved(checkpoint, self._drop_the_oldest(checkpoint))
        except (OSError, VgradError) as error:
            self._on_failed(checkpoint.step, str(error))

    def _drop_the_oldest(self, newest: Checkpoint) -> Kept:
        """Delete what is more than `KEPT`, and then the oldest until the rest fits.

        The one that was just saved stays, and that of the start, without which nothing can be verified.

        Raises:
            ConfigError: If the limit makes no sense.
            OSError: If a folder cannot be deleted.
        """
        sizes: dict[Checkpoint, int] = {}
        counts: Counter[str] = Counter()
        for checkpoint in reversed(checkpoints_of(self._folder)):
            counts[checkpoint.reason] += 1
            if counts[checkpoint.reason] > KEPT[checkpoint.reason]:
                shutil.rmtree(checkpoint.path)
            else:
                sizes[checkpoint] = checkpoint.num_bytes()
        limit, num_dropped = checkpoints_limit_bytes(), 0
        for checkpoint in reversed(tuple(sizes)):
            if sum(sizes.values()) <= limit:
                break
            if checkpoint.path != newest.path and checkpoint.reason != "start":
                shutil.rmtree(checkpoint.path)
                del sizes[checkpoint]
                num_dropped += 1
        steps = tuple(checkpoint.step for checkpoint in reversed(sizes))
        return Kept(steps, sum(sizes.values()), limit, num_dropped)
