"""A file of settings is read wholly or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgrad.config import RunConfig
from vgrad.errors import ConfigError


def test_flags_win_over_the_file_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('seed = 1\nlr = 0.5\n[options]\nhidden = 8\ninit = "he"\n')
    config = RunConfig.read(path, seed=2, options={"hidden": 16})
    assert (config.seed, config.lr) == (2, 0.5)
    assert config.options == {"hidden": 16, "init": "he"}


def test_dotted_options_are_one_name_however_toml_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for text in (
        "[options]\nmodel.hidden = 8\n",
        "[options.model]\nhidden = 8\n",
        '[options]\n"model.hidden" = 8\n',
    ):
        path.write_text(text)
        assert RunConfig.read(path, options={"data.seq_len": 3}).options == {
            "model.hidden": 8,
            "data.seq_len": 3,
        }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"options = 3", "options"),
        (b"cls = 1", "cls"),
        (b"path = 1", "path"),
        (b"[seed]\nx = 1", "seed"),
        (b"steps = -1", "steps"),
        (b"lr = inf", "lr"),
        (b"lr = 1e-310", "lr: must be at least 1e-12, got 1e-310"),
        (b"lr_scale = 9e-13", "lr_scale: .*from 1e-12"),
        (b'clip = "norm:1e-300"', "max_norm must be > 0, and from 1e-30"),
        (b'clip = "value:1e-300"', "clip_value must be > 0, and from 1e-30"),
        (b"seed = " + b"9" * 5000, "TOML"),
        (b"no toml", "TOML"),
        (b"\xff\xfe", "TOML"),
    ],
)
def test_nonsense_in_a_file_is_refused_in_words(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        RunConfig.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        RunConfig.read(tmp_path / "nowhere.toml")
