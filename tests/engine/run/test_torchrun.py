from __future__ import annotations

import pytest

from vgrad.errors import ConfigError
from vgrad.run.script_options import read_script_options
from vgrad.run.torchrun import on_ranks_of_this_machine, ranks_of_torchrun


@pytest.mark.parametrize(
    ("given", "title", "changed"),
    [
        ("torchrun --nnodes 2 train.py --lr 1", "train", "--nnodes 2 vgrad OWN train.py --lr 1"),
        ("/opt/bin/torchrun --nnodes=2 a/b.py", "b", "--nnodes=2 vgrad OWN a/b.py"),
        ("-m torch.distributed.run train.py train.py", "train", "vgrad OWN train.py train.py"),
        ("torchrun --nnodes 2 -m pack.train -m", "pack.train", "--nnodes 2 -m vgrad OWN -m pack.train -m"),
        ("torchrun -- train.py -- --x", "train", "-- vgrad OWN train.py -- --x"),
    ],
)  # fmt: skip
def test_every_rank_that_torchrun_starts_runs_the_script_under_vgrad(
    given: str, title: str, changed: str
) -> None:
    options = read_script_options(["--clip", "norm:1", *given.split()])
    assert options.own == ("--clip", "norm:1")
    ranks = ranks_of_torchrun(options)
    assert ranks is not None
    assert ranks.title == title
    assert " ".join(ranks.arguments(("OWN",))) == f"--module {changed}"


@pytest.mark.parametrize("given", ["train.py torchrun", "-m torchrun x.py", "torchrun --no-python ls -l"])
def test_what_is_no_torchrun_of_a_script_is_left_as_it_is(given: str) -> None:
    assert ranks_of_torchrun(read_script_options(given.split())) is None


def test_torchrun_says_itself_what_is_wrong_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        ranks_of_torchrun(read_script_options(["torchrun", "--no-such", "1", "train.py"]))
    assert "usage: torchrun" in capsys.readouterr().err


def test_a_number_of_ranks_is_a_command_of_torchrun() -> None:
    ranks = on_ranks_of_this_machine(read_script_options(["--name", "x", "-m", "pack.train", "1"]), "gpu")
    assert ranks.title == "x"
    assert " ".join(ranks.arguments(("OWN",))) == (
        "--module --standalone --nproc-per-node=gpu vgrad OWN -m pack.train 1"
    )


@pytest.mark.parametrize("number", ["x", "0", "-1", ""])
def test_a_number_of_processes_that_is_none_is_refused_before_torchrun_starts(number: str) -> None:
    with pytest.raises(ConfigError, match="--nproc-per-node must be a number"):
        on_ranks_of_this_machine(read_script_options(["train.py"]), number)
