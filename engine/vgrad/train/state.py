"""A run's whole state as a value, and as a folder of two files: ``state.safetensors`` and ``state.json``.

Nothing of it is ever unpickled. A folder appears whole or not at all, and each file carries a checksum, so
what can be read is what was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from vgrad.errors import ConfigError, DataError
from vgrad.train.state_codec import from_plain_data, to_plain_data

if TYPE_CHECKING:
    from torch import Tensor

    from vgrad.config import RunConfig

FORMAT = 7  # the version of a state: to be raised whenever a holder captures something else than before

_TENSORS, _REST = "state.safetensors", "state.json"


@dataclass(frozen=True, slots=True, eq=False)
class TrainerState:
    """Everything that decides how a run goes on; `Trainer.capture` makes it, `Trainer.restore_` takes it.

    Attributes:
        run: What a trainer must have in common with the one that was captured, as plain values by name.
        content: What each holder of state captured, by holder: tensors, plain values, and frozen values of
            ours, in dicts, lists and tuples.
    """

    run: Mapping[str, Any]
    content: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return int(self.content["watching"]["meter"]["step"])

    def require_same_run(self, run: Mapping[str, Any]) -> None:
        """Check that this is a state of such a run.

        Raises:
            ConfigError: If it is not; says what differs.
        """
        differing = _differences(self.run, run)
        if differing:
            raise ConfigError(f"the state is of another run: {'; '.join(differing)}")

    def save(self, folder: str | Path) -> None:
        """Write the state to ``folder``, which must not exist yet, or be empty.

        It is written beside it, flushed to the disk and then renamed.

        Raises:
            DataError: If it cannot be written, or holds something that has no form in a file.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        folder = Path(folder)
        tensors: dict[str, Tensor] = {}
        body = to_plain_data({"run": self.run, "content": self.content}, tensors)
        aside: str | None = None
        try:
            aside = tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
            tensors_path, rest_path = Path(aside, _TENSORS), Path(aside, _REST)
            save_file(tensors, tensors_path)
            whole = {"format": FORMAT, "tensors": _hash_of(tensors_path), "body": body}
            rest_path.write_text(json.dumps({**whole, "checksum": _checksum(whole)}), encoding="utf-8")
            for path in (tensors_path, rest_path, Path(aside)):
                _flush(path)
            Path(aside).rename(folder)
            aside = None
            _flush(folder.parent)
        except OSError as error:
            raise DataError(f"cannot save the state in {folder}: {error.strerror or error}") from None
        except SafetensorError as error:
            raise DataError(f"cannot save the state in {folder}: {error}") from None
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; its tensors are on the CPU.

        Raises:
            DataError: If it is not there, is of another version, or is not what was written; says which.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            whole = json.loads((folder / _REST).read_text(encoding="utf-8"))
            if not isinstance(whole, dict):
                raise DataError(f"{folder / _REST} is not a state of vgrad's")
            if whole.get("format") != FORMAT:
                raise DataError(
                    f"the state in {folder} is of version {whole.get('format')!r}, and this vgrad reads "
                    f"version {FORMAT}"
                )
            if whole.pop("checksum", None) != _checksum(whole):
                raise DataError(f"{folder / _REST} was changed after it was written, or is damaged")
            if _hash_of(folder / _TENSORS) != whole["tensors"]:
                raise DataError(f"{folder / _TENSORS} is truncated or damaged, or belongs to another state")
            body = from_plain_data(whole["body"], load_file(folder / _TENSORS))
            return cls(run=body["run"], content=body["content"])
        except OSError as error:
            raise DataError(f"cannot read a state in {folder}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            raise DataError(f"{folder / _REST} is truncated or damaged: {error}") from None


def run_in_common(
    config: RunConfig, device: torch.device, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Return what a trainer must have in common with the one that a state was captured from.

    The seed and the controls are not in it: they become those of the state. Of a task file only the name
    counts: it may have been given by another path, or have been moved.
    """
    task_file = config.task_file
    return {
        "version": FORMAT,
        "recipe": config.recipe if task_file is None else f"{task_file[0].name}:{task_file[1]}",
        "options": dict(config.options),
        "lr": config.lr,
        "batch_size": config.batch_size,
        "watch_budget": config.watch_budget,  # decides at which steps a verdict's numbers are measured
        "device": device.type,
        "optimizer": type(optimizer).__name__,
    }


def copied(tree: Any) -> Any:
    """Return ``tree`` with every tensor copied, so that training on changes nothing of it."""
    match tree:
        case torch.Tensor():
            return tree.detach().clone()
        case Mapping():
            return {key: copied(value) for key, value in tree.items()}
        case list():
            return [copied(value) for value in tree]
        case tuple():
            return tuple(copied(value) for value in tree)
    return tree


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of a state's run is not so ``now``; where the recipe is another one, only that."""
    if then.get("recipe") != now.get("recipe"):
        then, now = {"recipe": then.get("recipe")}, {"recipe": now.get("recipe")}
    found: list[str] = []
    for name in sorted({*then, *now}):
        before, here = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(here, Mapping):
            found += _differences(before, here)
        elif before != here:
            found.append(f"{name} is {before!r} in the state and {here!r} here")
    return found


def _checksum(whole: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
