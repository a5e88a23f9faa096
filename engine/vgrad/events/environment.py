"""Where a run takes place: versions, device, host, and which code and text it was started with."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")  # SHA-1, or SHA-256 in newer repositories
_MOST_LINKS = 8  # references that name another reference


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run needs to be repeated, beside its config. None: there is no such thing, or it is not known.

    Attributes:
        python: Version of Python.
        torch: Version of torch.
        numpy: Version of numpy.
        vgrad: Version of vgrad.
        device_name: What the device calls itself: ``"NVIDIA H100 80GB HBM3"``.
        threads: CPU threads that torch uses for one operation.
        host: Name of the machine.
        git_commit: Commit that is checked out where the run was started; the files may differ from it.
        text_sha256: Hash of the text file that the run was given.
        task_sha256: Hash of the task file that the run was built from.
    """

    python: str
    torch: str
    numpy: str
    vgrad: str
    device_name: str | None
    threads: int
    host: str
    git_commit: str | None = None
    text_sha256: str | None = None
    task_sha256: str | None = None


def find_environment(
    device: torch.device, text: Path | None = None, task_file: Path | None = None
) -> Environment:
    """Find out where this process runs.

    Args:
        device: Device of the model.
        text: Text file that the run reads, if any.
        task_file: File that the run's task comes from, if any.
    """
    import numpy as np
    import torch

    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        vgrad=sys.modules["vgrad"].__version__,
        device_name=_device_name(device),
        threads=torch.get_num_threads(),
        host=platform.node(),
        git_commit=find_git_commit(Path.cwd()),
        text_sha256=None if text is None else _sha256(text),
        task_sha256=None if task_file is None else _sha256(task_file),
    )


def find_git_commit(folder: Path) -> str | None:
    """The commit that is checked out in the repository around ``folder``; None where there is none.

    Read from its files: git itself may not be installed, and may run hooks or monitors.
    """
    try:
        for place in (folder, *folder.parents):
            if (place / ".git").exists():
                return _head_of(place / ".git")
    except (OSError, ValueError):  # ValueError: not UTF-8, or a path that no file can have
        pass
    return None


def _head_of(dot_git: Path) -> str | None:
    git = dot_git
    if dot_git.is_file():  # of a worktree or a submodule: it names the folder
        git = dot_git.parent / dot_git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    common = git
    if (git / "commondir").is_file():  # where a worktree finds the branches
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    found = (git / "HEAD").read_text(encoding="utf-8").strip()
    for _ in range(_MOST_LINKS):
        if not found.startswith("ref:"):
            break
        found = _ref(found.removeprefix("ref:").strip(), git, common)
    return found if _HASH.fullmatch(found) else None


def _ref(name: str, git: Path, common: Path) -> str:
    """What a reference stands for; empty if it stands for nothing, as before the first commit."""
    for folder in (git, common):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
    packed = common / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((commit for commit, _, ref in (line.partition(" ") for line in lines) if ref == name), "")


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _device_name(device: torch.device) -> str | None:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or platform.machine() or None
