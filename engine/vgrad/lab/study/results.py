"""The file of finished runs: JSON lines, appended to as runs end, read again when a study is continued."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from vgrad.errors import ConfigError
from vgrad.lab.study.plan import Run
from vgrad.lab.study.run import Result

FILE_NAME = "runs.jsonl"
_FORMAT = 1


class Results:
    """Finished runs in a folder, in memory and on the disk at once.

    Args:
        folder: Where the file is, or is to be; made when it is not there.
        planned: The runs of the study. Others in the file are kept, and not looked at.

    Attributes:
        done: The planned runs that have been finished.

    Raises:
        ConfigError: If the folder holds runs made with other settings or by other versions, because
            results that cannot be compared must not be in one table.
        OSError: If the folder or its file cannot be made or read.
    """

    def __init__(self, folder: Path, planned: Iterable[Run]) -> None:
        self.done: dict[Run, Result] = {}
        self._path = folder / FILE_NAME
        self._planned = {run.key: run for run in planned}
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size:
            self._read()
        else:
            self._path.write_text(_line(_header()), encoding="utf-8")

    def add(self, run: Run, result: Result) -> None:
        """Write a finished run down, at once."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line({"run": as_plain(run), "result": as_plain(result)}))
        self.done[run] = result

    def _read(self) -> None:
        content = self._path.read_bytes()
        length = content.rfind(b"\n") + 1
        if length < len(content):  # ended while it was being written: that run is done again
            os.truncate(self._path, length)
        lines = content[:length].splitlines()
        if not lines or _parsed(lines[0], self._path) != _header():
            raise ConfigError(
                f"{self._path} was written by other versions of vgrad, torch or of this file's format: "
                "give another --out, or remove it"
            )
        for line in lines[1:]:
            entry = _parsed(line, self._path)
            try:
                run, result = run_from_json(entry["run"]), result_from_json(entry["result"])
            except (KeyError, ValueError) as error:
                raise _no_results(self._path) from error
            planned = self._planned.get(run.key)
            if planned is not None and planned != run:
                protocol, method, _ = run.key
                raise ConfigError(
                    f"{self._path} holds runs of {protocol} / {method} with other settings than this study's "
                    "(--quick, perhaps): give another --out, or remove it"
                )
            if planned is not None:
                self.done[run] = result


def as_plain(value: Run | Result) -> dict[str, Any]:
    """A run or a result as plain values; what is not finite is None, for JSON knows no NaN."""
    plain: dict[str, Any] = _adapters()[type(value)].dump_python(value, mode="json")
    return {
        name: None if isinstance(item, float) and not math.isfinite(item) else item
        for name, item in plain.items()
    }


def run_from_json(plain: object) -> Run:
    """The run that `as_plain` made ``plain`` from.

    Raises:
        ValueError: If it is none.
    """
    run: Run = _adapters()[Run].validate_python(plain)
    return run


def result_from_json(plain: dict[str, Any]) -> Result:
    """The result that `as_plain` made ``plain`` from.

    Raises:
        ValueError: If it is none.
    """
    numbers = {
        name: math.nan if item is None and name != "solved_at" else item for name, item in plain.items()
    }
    result: Result = _adapters()[Result].validate_python(numbers)
    return result


@cache
def _adapters() -> dict[type, Any]:
    from pydantic import TypeAdapter

    return {Run: TypeAdapter(Run), Result: TypeAdapter(Result)}


def _header() -> dict[str, Any]:
    from importlib.metadata import version

    from vgrad import __version__

    return {"format": _FORMAT, "vgrad": __version__, "torch": version("torch")}


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n"


def _parsed(line: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise _no_results(path)
    return values


def _no_results(path: Path) -> ConfigError:
    return ConfigError(f"{path} is no file of results: give another --out, or remove it")
