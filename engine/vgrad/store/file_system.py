"""Whether a folder lies on a network file system, where SQLite's write-ahead log does not work."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NETWORK = re.compile(
    r"nfs|cifs|smb|lustre|gpfs|beegfs|ceph|gluster|afs|pvfs|orangefs|panfs|weka|9p|sshfs|fuse\."
)
_MOUNTS = Path("/proc/self/mountinfo")


def is_on_network(path: Path) -> bool:
    """Whether ``path``, or the nearest folder above it that exists, is on a network file system.

    Where the system does not say, it counts as a local disk.
    """
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # no Linux
    return is_network_device(existing.stat().st_dev, mounts)


def is_network_device(device: int, mounts: str) -> bool:
    """Whether a device is mounted as a network file system.

    Args:
        device: Its number, as ``os.stat`` gives it.
        mounts: The table of mounts, in the form of ``/proc/self/mountinfo``.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        mount, _, file_system = line.partition(" - ")
        if mount.split()[2:3] == [number] and file_system:
            return _NETWORK.search(file_system.split()[0]) is not None
    return False
