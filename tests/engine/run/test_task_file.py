"""A task from a person's own file: found, given its options, run, and explained where it fails."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import vgrad
from vgrad.config import RunConfig
from vgrad.errors import ConfigError, RecipeError
from vgrad.events.notices import CommandApplied
from vgrad.run.detached import start
from vgrad.run.headless import run_headless
from vgrad.run.session import Session
from vgrad.run.task_file import require_source, traceback_of
from vgrad.store.folder import all_runs
from vgrad.store.listing import look
from vgrad.train.state import TrainerState

TASK = '''
"""Sums of four numbers."""
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vgrad
from helper import WIDTH

seen = {}

@dataclass
class Size:
    width: int

def build(seed, device, width: int = WIDTH, depth=1, rate: float = 0.5, act: Literal["tanh", "relu"] = "tanh",
          name: str = "x", where: Path | None = None, norm=False, lr: float = 0.1, batch_size: int = 8):
    seen.update(locals())
    size = Size(width)
    model = nn.Sequential(nn.Linear(4, size.width), nn.Dropout(rate), nn.Linear(size.width, 1)).to(device)
    rows = torch.rand(64, 4)
    data = TensorDataset(rows, rows.sum(1, keepdim=True))
    return vgrad.Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=lr),
        data=DataLoader(data, batch_size=batch_size, shuffle=True),
        loss=F.mse_loss,
    )

def anything(seed, device, **options):
    """Takes any option."""
    seen.update(options=options)
    return build(seed, device)

def needs(seed, device, size):
    return build(seed, device)

def wrong(seed, device):
    return 3

def divide(numbers):
    return 1 / len(numbers)

def fails(seed, device):
    return divide([])

def fails_later(seed, device):
    task = build(seed, device)
    task.loss = lambda outputs, targets: divide([])
    return task
'''


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("WIDTH = 6\n")
    file = tmp_path / "my_task.py"
    file.write_text(TASK)
    sys.modules.pop("helper", None)
    return file


def options_of(trainer: object) -> dict[str, Any]:
    assert trainer is not None
    return dict(sys.modules["vgrad_task_my_task"].seen)  # type: ignore[attr-defined]


def losses(source: str, seed: int, num: int = 10) -> list[float]:
    trainer = vgrad.build(source, seed=seed)
    return [trainer.train_step().loss or 0.0 for _ in range(num)]


def test_a_task_file_trains_and_takes_commands_as_a_recipe_does(path: Path) -> None:
    folders = list(sys.path)
    trainer = vgrad.build(str(path), clip="norm:1")
    assert sys.path == folders
    info = trainer.info()
    assert (info.recipe, info.description, info.baseline) == ("my_task", "Sums of four numbers.", None)
    assert trainer.train_step().applied_norm <= 1.0001
    assert isinstance(trainer.apply(vgrad.Set("optimizer", "adam:1e-3")), CommandApplied)
    assert isinstance(trainer.apply(vgrad.Reinit("xavier")), CommandApplied)
    trainer.train_step()


def test_a_seed_decides_weights_dropout_and_the_order_of_the_data(path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        assert losses(str(path), 1) == losses(str(path), 1)
        assert losses(str(path), 1) != losses(str(path), 2)


def test_options_are_read_as_annotated_or_as_their_default(path: Path) -> None:
    given = {"width": 3, "rate": 0, "depth": 2, "act": "relu", "where": "a/b", "norm": "on"}
    options = options_of(vgrad.build(str(path), options=given, lr=0.5, batch_size=4))
    assert {name: options[name] for name in given} == {**given, "where": Path("a/b"), "norm": True}
    assert isinstance(options["rate"], float)
    assert (options["lr"], options["batch_size"], options["seed"]) == (0.5, 4, 0)
    assert options_of(vgrad.build(str(path), options={"where": "none"}))["where"] is None
    assert options_of(vgrad.build(f"{path}:anything", options={"a": 1, "b.c": "x"}))["options"] == {
        "a": 1,
        "b.c": "x",
    }
    vgrad.build(f"{path}:needs", options={"size": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"wdth": 3},
            r"has no option 'wdth'; did you mean 'width'\? \(options of my_task.py:build: width=6, ",
        ),
        ({"width": "wide"}, "width must be a whole number, got 'wide'"),
        ({"width": 2.5}, "width must be a whole number"),
        ({"width": True}, "width must be a whole number"),
        ({"depth": "two"}, "depth must be a whole number"),
        ({"rate": "half"}, "rate must be a number"),
        ({"act": "elu"}, "act must be one of tanh, relu, got 'elu'"),
        ({"norm": 2}, "norm must be true or false"),
        ({"name": 3}, """name must be text, got 3: quote it, --set name='"3"'"""),
        ({"where": 3}, "where must be a path"),
        ({"seed": 3}, "has no option 'seed'"),
    ],
)
def test_options_that_make_no_sense_are_refused(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vgrad.build(str(path), options=options)


def test_what_is_missing_is_named(path: Path) -> None:
    for source, message in (
        (f"{path}:needs", r"needs size: add --set size=VALUE"),
        (f"{path}:buid", r"no function 'buid'; did you mean 'build'\?"),
        (f"{path}:wrong", "my_task.py:wrong must return a vgrad.Task, and it returned an object of type int"),
    ):
        with pytest.raises(ConfigError, match=message):
            vgrad.build(source)
    with pytest.raises(ConfigError, match="no option 'text'"):
        vgrad.build(str(path), text="book.txt")


def test_a_file_that_is_not_there_is_told_apart_from_a_recipe(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    (path.parent / "folder.py").mkdir()
    for recipe, message in (
        ("charlm-rn.py", r"'charlm-rn.py' does not exist; did you mean 'charlm-rnn'\?"),
        ("nowhere.py:build", "'nowhere.py' does not exist: check its path"),
        ("folder.py", "'folder.py' is a directory"),
        ("my_task", r"no recipe is called 'my_task'; did you mean the file my_task.py\?"),
        ("charlm-rn", r"no recipe is called 'charlm-rn'; did you mean 'charlm-rnn'\?"),
    ):
        with pytest.raises(RecipeError, match=message):
            require_source(RunConfig.make(recipe=recipe))
    require_source(RunConfig.make(recipe="my_task.py:build"))


def test_what_makes_no_sense_leaves_no_run_behind_and_what_fails_does(path: Path) -> None:
    config = RunConfig(recipe=str(path), steps=2, options={"widht": 8})
    with pytest.raises(ConfigError, match="no option 'widht'; did you mean 'width'"):
        run_headless(config, stdout=None, stderr=None)
    with pytest.raises(ConfigError, match="no option 'widht'; did you mean 'width'") as caught:
        start(config)
    assert "Traceback" not in str(caught.value)
    assert not all_runs()
    assert run_headless(RunConfig(recipe=f"{path}:fails", steps=2), stdout=None, stderr=None) == 1
    assert [look(run).status for run in all_runs()] == ["failed"]


def test_a_training_script_is_refused_before_it_runs(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("def main(): raise SystemExit(7)\nmain()\n")
    with pytest.raises(
        ConfigError, match=r"no function 'build' \(functions: main\).*vgrad-tui watch .*train.py"
    ):
        require_source(RunConfig.make(recipe=str(script)))
    for text in ("from elsewhere import *\n", "globals()['build'] = print\n", "build = print\n", "def f(:\n"):
        script.write_text(text)  # it may have one, or shows what is wrong with it when it runs
        require_source(RunConfig.make(recipe=str(script)))


def test_a_name_is_the_files_and_printable() -> None:
    assert RunConfig.make(recipe="a/b/my_task.py:small").name == "my_task"
    assert RunConfig.make(recipe="a\x1b[31m.py").name == r"a\x1b[31m"
    assert RunConfig.make(recipe="charlm-rnn").name == "charlm-rnn"


@pytest.mark.parametrize("function", ["fails", "fails_later"])
def test_the_traceback_of_an_own_error_begins_in_the_file(path: Path, function: str) -> None:
    session = Session.from_config(RunConfig.make(recipe=f"{path}:{function}", steps=3))
    session.start()
    assert session.join(60)
    assert isinstance(session.exception, ZeroDivisionError)
    lines = traceback_of(session.exception).splitlines()
    assert lines[0].startswith("Traceback")
    files = [line for line in lines if line.lstrip().startswith("File ")]
    assert len(files) == 2
    assert all(str(path) in line for line in files)
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_syntax_error_shows_its_line_alone(path: Path) -> None:
    path.write_text("x = = 3\n")
    with pytest.raises(SyntaxError) as caught:
        vgrad.build(str(path))
    assert "x = = 3" in traceback_of(caught.value)
    assert "Traceback" not in traceback_of(caught.value)


def test_an_error_of_ours_keeps_its_whole_traceback() -> None:
    with pytest.raises(ConfigError) as caught:
        vgrad.build("charlm-rnn", options={"hidden": 0})
    assert "recipe.py" in traceback_of(caught.value)


def test_the_task_in_the_readme_trains_and_learns(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", readme.partition("## Your own model and data")[2], re.DOTALL)[
        :1
    ]
    path = tmp_path / "readme_task.py"
    path.write_text(code)
    with torch.random.fork_rng(devices=[]):
        trainer = vgrad.build(str(path), options={"width": 16})
        before = trainer.validate()
        for _ in range(150):
            trainer.train_step()
        after = trainer.validate()
    assert before is not None
    assert after is not None
    assert after < 0.8 * before


def test_a_captured_run_goes_on_as_if_it_had_never_stopped(path: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        trainer = vgrad.build(str(path), seed=1, clip="norm:1")
        for _ in range(11):  # in the second epoch of eight microbatches
            trainer.train_step()
        trainer.capture().save(tmp_path / "state")
        wanted = [trainer.train_step().loss for _ in range(9)]
        again = vgrad.build(str(path), seed=1)
        again.restore_(TrainerState.load(tmp_path / "state"))
        assert [again.train_step().loss for _ in range(9)] == wanted
