"""Text for the character models: built in or from a file, and what is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recipes.building import CPU, TEXT_RECIPES, build, train

from vgrad.errors import ConfigError, DataError
from vgrad.recipes.data.streams import WindowStream, even_windows
from vgrad.recipes.data.text import encode, load_text


@given(st.text(min_size=1, max_size=200))
def test_a_text_can_be_read_back_from_its_numbers(text: str) -> None:
    encoded = encode(text)
    assert encoded.vocabulary == "".join(sorted(set(text)))
    tokens = torch.cat([encoded.train, encoded.validation]).tolist()
    assert "".join(encoded.vocabulary[token] for token in tokens) == text
    assert len(encoded.train) == int(0.95 * len(text))


def test_the_built_in_text_is_large_and_splits_in_order() -> None:
    text = load_text(None)
    assert len(text.train) > 300_000
    assert len(text.train) / (len(text.train) + len(text.validation)) == pytest.approx(0.95, abs=1e-4)


def test_targets_are_the_inputs_one_character_later() -> None:
    tokens = torch.arange(50, dtype=torch.int32)
    stream = WindowStream(tokens, seq_len=7, batch_size=40, seed=0, device=CPU)
    for batch in (stream.next(), even_windows(tokens, 7)):
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert torch.equal(batch.targets, batch.inputs + 1)
        assert torch.equal(batch.inputs, batch.inputs[:, :1] + torch.arange(7))


def test_windows_reach_both_ends_of_the_text_and_training_never_leaves_its_part() -> None:
    tokens = torch.arange(12)
    stream = WindowStream(tokens, seq_len=4, batch_size=500, seed=0, device=CPU)
    batch = stream.next()
    assert batch.inputs.min() == 0
    assert batch.targets.max() == 11
    fixed = even_windows(tokens, 4, at_most=3)
    assert fixed.inputs[:, 0].tolist() == [0, 3, 7]
    assert fixed.targets[-1, -1] == 11


def test_a_text_file_is_read_and_names_its_own_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("añ 漢\n" * 100, encoding="utf-8")
    task = build("charlm-rnn", text=path, options={"seq_len": 8})
    assert task.model.get_parameter("embed.weight").shape == (5, 32)
    assert train(task, 2)[0] == pytest.approx(np.log(5), abs=0.5)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "empty"),
        (b"fine so far \xff\xfe", "not UTF-8 text \\(byte 12\\).*iconv"),
        (b"x" * 68, "its training part has 64 characters and a sequence needs 65"),
        (b"x" * 1280, "its validation part has 64 characters.*smaller seq_len"),
    ],
    ids=["empty", "no text", "short training", "short validation"],
)
@pytest.mark.parametrize("name", TEXT_RECIPES)
def test_text_that_cannot_be_used(name: str, content: bytes, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=advice):
        build(name, text=path)


def test_one_character_more_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab" * 650, encoding="utf-8")
    assert build("charlm-rnn", text=path).validation.num_samples == 1


def test_a_text_file_that_is_not_there_or_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        build("charlm-rnn", text=tmp_path / "absent.txt")
    with pytest.raises(DataError, match="is a directory"):
        build("charlm-rnn", text=tmp_path)
    loop = tmp_path / "loop.txt"
    loop.symlink_to(loop)
    with pytest.raises(DataError, match=r"cannot read .*give a readable"):
        build("charlm-rnn", text=loop)


def test_a_text_that_need_not_end_is_refused_unread(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # nobody writes to it: whoever opens it waits
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(DataError, match=f"{path} is a pipe, a socket or a device: save its text"):
            build("charlm-rnn", text=path)


def test_a_python_without_help_topics_asks_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match="give a text file"):
        build("charlm-rnn")


def test_a_text_that_nobody_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="article-net reads no text"):
        build("article-net", text=tmp_path / "text.txt")
