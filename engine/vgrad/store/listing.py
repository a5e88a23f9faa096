"""What a list of runs says of each: one look into its folder, however long the run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError, DataError
from vgrad.events.run_info import Parent
from vgrad.store.folder import RunFolder, all_runs, runs_elsewhere
from vgrad.store.move_from_local import complete_moves
from vgrad.store.reader import RunReader

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run of a list.

    Attributes:
        name: What it is called.
        pid: The process that trains it now, or None.
        status: ``alive finished failed stopped crashed``; ``unreadable``; or ``elsewhere``, on another host.
        step: The last step that was recorded; before the first, that of the parent.
        loss: Training loss of the last of them; None where it is not known.
        verdict: Kind of the newest verdict; None before the first.
        recipe: What it trains.
        host: Machine that it runs or ran on.
        parent: The run that it goes on from, and the step there; None where it began at its first step.
        started_s: When it began, Unix time in seconds; None where that is not known.
        size: Bytes of its folder.
        problem: Why its record cannot be read here; empty if it can.
    """

    name: str
    pid: int | None
    status: str
    step: int = 0
    loss: float | None = None
    verdict: str | None = None
    recipe: str = ""
    host: str = ""
    parent: Parent | None = None
    started_s: float | None = None
    size: int = 0
    problem: str = ""


def list_runs(folders: Iterable[RunFolder] | None = None) -> list[ListedRun]:
    """Look at each of ``folders``, or at all runs of this account.

    Of those the last to begin comes first, and those on other hosts come last.
    """
    if folders is not None:
        return [look(folder) for folder in folders]
    complete_moves()
    elsewhere = (
        ListedRun(name, None, "elsewhere", host=pointer.host, problem=pointer.words)
        for name, pointer in runs_elsewhere().items()
    )
    # By when they began: by when they were last written, two that are alive would change places all the time.
    looks = [(folder, look(folder)) for folder in all_runs()]
    here = [run for _, run in sorted(looks, key=lambda each: _begin_s(*each), reverse=True)]
    return [*here, *elsewhere]


def _begin_s(folder: RunFolder, run: ListedRun) -> float:
    """When a run began; one that is alive and has not begun yet is the last to do so.

    Of one that failed before it began, when that was.
    """
    if run.started_s or run.pid:
        return run.started_s or math.inf
    try:
        return folder.database.stat().st_mtime
    except OSError:  # somebody has just removed it
        return 0.0


def look(folder: RunFolder) -> ListedRun:
    """Look at one run; a record that cannot be read is listed with the reason."""
    pid = folder.pid()
    try:
        with RunReader(folder) as reader:
            known = reader.status()
    except DataError as error:
        return ListedRun(folder.name, pid, "unreadable", size=folder.num_bytes(), problem=str(error))
    parent = _parent(known.get("parent"))
    begins_at = 0 if parent is None else parent.step
    return ListedRun(
        name=folder.name,
        pid=pid,
        status=str(known["status"]),
        step=_typed(known.get("step", begins_at), int) or 0,
        loss=_typed(known.get("loss"), float),
        verdict=_typed(known.get("verdict"), str),
        recipe=_typed(known.get("recipe"), str) or "",
        host=_typed(known.get("host"), str) or "",
        parent=parent,
        started_s=_typed(known.get("started_s"), float),
        size=folder.num_bytes(),
    )


def find_run(name: str | None) -> RunFolder:
    """The run called ``name``, or whose name begins so; without a name the newest that is alive.

    Of several whose names begin so it is the one that is alive.

    Raises:
        ConfigError: If there is none, there are several of which not exactly one is alive, or it is on
            another host.
    """
    complete_moves()
    folders = all_runs()
    if name is None:
        alive = [folder for folder in folders if folder.pid() is not None]
        if not alive:
            raise ConfigError("no run is alive: name one, see vgrad-tui runs")
        return alive[0]
    exact = [folder for folder in folders if folder.name == name]
    found = exact or [folder for folder in folders if name and folder.name.startswith(name)]
    if len(found) > 1:
        found = [folder for folder in found if folder.pid() is not None] or found
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found[:5])
        raise ConfigError(f"several runs have a name that begins with {name!r}, name one: {names}")
    if found:
        return found[0]
    for other, pointer in runs_elsewhere().items():
        if name and other.startswith(name):
            pointer.require_here(other)
    return RunFolder.find(name)


def newest_run() -> RunFolder:
    """The run that was written to last, alive or not.

    Raises:
        ConfigError: If there is none.
    """
    complete_moves()
    folders = all_runs()
    if not folders:
        raise ConfigError("nothing was recorded yet: vgrad-tui run RECIPE, or vgrad-tui watch SCRIPT")
    return folders[0]


def _parent(value: object) -> Parent | None:
    match value:
        case {"run": str(run), "step": int(step)}:
            return Parent(run, step)
    return None


def _typed(value: object, kind: type[Any]) -> Any:
    return value if type(value) is kind else None
