"""Text as numbers: read it, number its characters, keep a part for validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgrad.errors import DataError

TRAIN_SHARE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text, split in two, as indices into its vocabulary.

    Attributes:
        vocabulary: The distinct characters, sorted.
        train: First 95 % of the characters, int32 of shape ``(num_train,)``, on the CPU.
        validation: The rest, in the same form.
    """

    vocabulary: str
    train: Tensor
    validation: Tensor

    def require(self, seq_len: int) -> None:
        """Check that each part holds a sequence and the character after it.

        Raises:
            DataError: If one of them does not.
        """
        for name, part in (("training", self.train), ("validation", self.validation)):
            if len(part) <= seq_len:
                raise DataError(
                    f"the text is too short: its {name} part has {len(part)} characters and a sequence "
                    f"needs {seq_len + 1}; give a longer text or set a smaller seq_len"
                )


def load_text(path: Path | None) -> Text:
    """Read ``path``, or the built-in text when it is None, and number its characters.

    Raises:
        DataError: If the text is not in a regular file, cannot be read, is not UTF-8, or is empty.
    """
    return encode(_builtin_text() if path is None else _read(path))


def encode(text: str) -> Text:
    """Number the characters of ``text`` and split it.

    Raises:
        DataError: If the text is empty.
    """
    if not text:
        raise DataError("the text is empty: give a file with some text in it")
    # The vocabulary is sorted by code point, so one text gives one numbering everywhere.
    points, indices = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype="<u4"), return_inverse=True)
    tokens = torch.from_numpy(indices.astype(np.int32))
    num_train = int(len(tokens) * TRAIN_SHARE)
    return Text("".join(map(chr, points)), tokens[:num_train], tokens[num_train:])


def _builtin_text() -> str:
    """Python's own help topics: real English and code, on every machine that has Python.

    Each version of Python has other ones, so runs can be repeated to the bit only with the same one.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions strip it
        raise DataError("this Python came without its help topics: give a text file") from None
    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: Path) -> str:
    try:
        _require_regular(path)
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}: check the path of the text") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, for example with iconv -t UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; give a readable text file") from None


def _require_regular(path: Path) -> None:
    """Refuse what need not have an end: reading a pipe or ``/dev/zero`` could take for ever."""
    if path.is_dir():
        raise DataError(f"{path} is a directory: give a text file")
    if path.exists() and not path.is_file():
        raise DataError(
            f"{path} is a pipe, a socket or a device: save its text in a file first, and give that file"
        )
