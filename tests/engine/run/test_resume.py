"""A recorded run is resumed and verified bit for bit, at any step, with its commands, also after kill -9."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tests.engine.train.test_state import _FEW, _MODEL

from vgrad.config import RunConfig
from vgrad.controls.controls import Command, Pause, Reinit, Resume, Set, StepOnce, UndoReinit
from vgrad.errors import ConfigError, DataError
from vgrad.events.notices import RunEnded
from vgrad.recipes.registry import RECIPES
from vgrad.run.recording import recorded
from vgrad.run.resume import Resumption
from vgrad.run.session import Session
from vgrad.run.verify import verify
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder
from vgrad.store.run_record import RunRecord
from vgrad.train.trainer import Trainer

COMMANDS: list[tuple[int, Command]] = [
    (0, Set("clip", "norm:0.5")), (3, Set("optimizer", "adam")), (5, Reinit("he")), (5, Set("accumulate", 2)),
    (8, UndoReinit()), (8, Set("noise", "gaussian")), (8, Pause()), (8, StepOnce()), (9, Resume()),
    (11, Set("lr_scale", 0.5)),
]  # fmt: skip


def small(recipe: str, **settings: object) -> RunConfig:
    known = {name.rpartition(".")[2] for name in RECIPES[recipe].settings}
    options = {name: value for name, value in _MODEL.items() if name in known}
    return RunConfig.make(
        recipe=recipe, options=options, batch_size=_FEW.get(recipe, 8), device="cpu", eval_every=6, seed=3,
        **settings,
    )  # fmt: skip


def trained(session: Session, title: str, commands: Sequence[tuple[int, Command]] = ()) -> RunFolder:
    """Train and record a run, with commands at the steps after which they are given."""
    prepare = session._trainer
    assert callable(prepare)

    def with_commands(say: object) -> Trainer:
        trainer = prepare(say)  # type: ignore[arg-type]
        left = list(commands)
        advance = trainer.advance

        def ask() -> None:
            while left and left[0][0] <= trainer.step:
                session.submit(left.pop(0)[1])

        def advance_and_ask() -> list[object]:
            records = advance()
            ask()
            return records  # type: ignore[return-value]

        trainer.advance = advance_and_ask  # type: ignore[method-assign,assignment]
        ask()
        return trainer

    session._trainer = with_commands
    with recorded(session, title) as folder:
        session.start()
        assert session.join(120)
    assert session.exception is None, session.exception
    assert folder is not None
    return folder


def run(config: RunConfig, commands: Sequence[tuple[int, Command]] = ()) -> RunFolder:
    return trained(Session.from_config(config), config.name, commands)


def losses(folder: RunFolder) -> dict[int, str]:
    record = RunRecord.read(folder)
    return {int(step): float(loss).hex() for step, loss in zip(record.steps, record.losses, strict=True)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_with_commands_is_verified_and_resumed_bit_for_bit(recipe: str) -> None:
    folder = run(small(recipe, steps=14), COMMANDS)
    whole = losses(folder)
    assert list(whole) == list(range(1, 15))
    checked: list[tuple[int, int]] = []
    result = verify(folder, lambda done, total: checked.append((done, total)))
    assert (result.num_steps, result.difference) == (14, None)
    assert checked == [(done, 14) for done in range(15)]
    for at in (0, 7, 13):
        later = [(step, command) for step, command in COMMANDS if step >= at]
        resumption = Resumption.of(folder, at=at)
        again = trained(resumption.session(), "again", later)
        assert losses(again) == {step: loss for step, loss in whole.items() if step > at}
        assert RunRecord.read(again).info.parent == resumption.parent
        assert verify(again).difference is None, "also where a run begins from the state of another"


@pytest.mark.parametrize("at", range(13))
def test_at_any_step_in_the_middle_of_an_epoch(at: int, tmp_path: Path) -> None:
    folder = run(_of_file(tmp_path, steps=13))
    again = trained(Resumption.of(folder, at=at, steps=15).session(), "again")
    longer = run(_of_file(tmp_path, steps=15))
    assert losses(again) == {step: loss for step, loss in losses(longer).items() if step > at}


def _of_file(tmp_path: Path, **settings: object) -> RunConfig:
    (tmp_path / "task.py").write_text(
        "import torch, vgrad\n"
        "def build(seed, device):\n"
        "    layers = torch.nn.Linear(2, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1)\n"
        "    model = torch.nn.Sequential(*layers)\n"
        "    rows = torch.arange(20.0).view(10, 2) / 20\n"
        "    pairs = torch.utils.data.TensorDataset(rows, rows.sum(1, keepdim=True))\n"
        "    data = torch.utils.data.DataLoader(pairs, batch_size=3, shuffle=True)\n"
        "    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)\n"
        "    return vgrad.Task(model=model, optimizer=optimizer, data=data, loss=torch.nn.MSELoss())\n"
    )
    return RunConfig.make(recipe=str(tmp_path / "task.py"), device="cpu", **settings)


def test_the_end_of_a_run_with_commands_after_its_last_step_is_where_it_goes_on() -> None:
    config = small("depth-tanh", steps=12)
    folder = run(config, COMMANDS)
    longer = losses(run(small("depth-tanh", steps=16), COMMANDS))
    again = trained(Resumption.of(folder, steps=16).session(), "again")
    assert losses(again) == {step: loss for step, loss in longer.items() if step > 12}
    third = trained(Resumption.of(again, at=14, steps=16).session(), "third")
    assert losses(third) == {step: loss for step, loss in longer.items() if step > 14}


def test_without_a_usable_checkpoint_it_is_trained_again_from_the_start() -> None:
    folder = run(small("depth-tanh", steps=12), COMMANDS)
    for checkpoint in checkpoints_of(folder):
        (checkpoint.path / "state.json").write_text("{}")
    again = trained(Resumption.of(folder, steps=16).session(), "again")
    longer = losses(run(small("depth-tanh", steps=16), COMMANDS))
    assert losses(again) == {step: loss for step, loss in longer.items() if step > 12}
    shutil.rmtree(again.checkpoints)
    with pytest.raises(DataError, match="began from"):
        verify(again)


def test_a_loss_that_differs_is_found_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(small("depth-tanh", steps=12), COMMANDS)
    record = RunRecord.read(folder)
    losses_changed = record.losses.copy()
    losses_changed[6] *= 1 + 2.0**-50
    changed = RunRecord(record.info, record.commands, record.steps, losses_changed, record.losses_known)
    monkeypatch.setattr(RunRecord, "read", classmethod(lambda cls, folder: changed))
    result = verify(folder)
    assert result.num_steps == 6
    assert result.difference is not None and result.difference.step == 7
    shutil.rmtree(folder.checkpoints)
    resumption = Resumption.of(folder, at=9)
    with pytest.raises(ConfigError, match="otherwise at step 7"):
        resumption.prepare(lambda what: None)


def test_a_command_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(small("depth-tanh", steps=12), COMMANDS)
    record = RunRecord.read(folder)
    fewer = RunRecord(record.info, record.commands[:1], record.steps, record.losses, record.losses_known)
    monkeypatch.setattr(RunRecord, "read", classmethod(lambda cls, folder: fewer))
    result = verify(folder)
    assert result.difference is not None and 4 <= result.difference.step <= 6


@pytest.mark.parametrize(
    ("at", "steps", "told"),
    [(13, None, "no step 13"), (-1, None, "no step -1"), (None, None, "--steps"), (5, 5, "5 steps are done")],
)
def test_what_cannot_be_resumed_is_refused_before_anything_is_built(
    at: int | None, steps: int | None, told: str
) -> None:
    folder = run(small("depth-tanh", steps=12))
    with pytest.raises(ConfigError, match=told):
        Resumption.of(folder, at=at, steps=steps)


def test_a_changed_task_file_is_refused(tmp_path: Path) -> None:
    folder = run(_of_file(tmp_path, steps=4))
    with (tmp_path / "task.py").open("a") as file:
        file.write("# changed\n")
    for again in (lambda: Resumption.of(folder, at=2).prepare(lambda what: None), lambda: verify(folder)):
        with pytest.raises(ConfigError, match="the task file of the run changed"):
            again()


def test_files_are_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "here"
    place.mkdir()
    _of_file(place, steps=4)
    (place / "text.txt").write_text("so it goes " * 500)
    monkeypatch.chdir(place)
    of_task = run(RunConfig.make(recipe="task.py:build", steps=4, device="cpu"))
    of_text = run(small("charlm-rnn", text="text.txt", steps=4))
    monkeypatch.chdir(tmp_path)
    for folder in (of_task, of_text):
        assert verify(folder).num_steps == 4
        resumption = Resumption.of(folder, steps=6)
        assert losses(trained(resumption.session(), "on")).keys() == {5, 6}


def test_a_run_that_is_alive_is_not_resumed() -> None:
    folder = run(small("depth-tanh", steps=3))
    folder.lock()
    try:
        with pytest.raises(ConfigError, match="is alive"):
            Resumption.of(folder, at=2)
    finally:
        folder.unlock()


def test_a_foreign_loop_is_refused_with_the_reason(tmp_path: Path) -> None:
    import vgrad
    from vgrad.store.recorder import Recorder

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    folder = RunFolder.create("foreign")
    watch = vgrad.watch(model, optimizer)
    with Recorder(watch.cursor, folder), watch:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    for again in (lambda: Resumption.of(folder), lambda: verify(folder)):
        with pytest.raises(ConfigError, match="a foreign loop has no checkpoints of vgrad's"):
            again()


def test_a_paused_run_goes_on_unless_its_pause_is_kept() -> None:
    session = Session.from_config(small("depth-tanh", steps=9))
    session.submit(Pause())
    with recorded(session, "paused") as folder:
        session.start()
        session.stop()
        assert session.join(60)
    assert folder is not None
    for keeps in (False, True):
        trainer = Resumption.of(folder, keeps_pause=keeps).prepare(lambda what: None)
        assert trainer.controls.paused is keeps
        trainer.close()


def test_what_a_run_goes_on_from_is_told_where_it_ends(tmp_path: Path) -> None:
    folder = run(small("depth-tanh", steps=4))
    session = Resumption.of(folder, steps=6).session()
    cursor = session.cursor()
    trained(session, "again")
    [ended] = [notice.body for notice in cursor.take().notices if isinstance(notice.body, RunEnded)]
    assert ended.step == 6


def test_a_run_that_goes_on_ends_with_the_first_loss_of_its_whole_course() -> None:
    folder = run(small("depth-tanh", steps=4))
    first = RunRecord.read(folder).loss_of(1)
    assert first is not None
    for steps in (6, 8):  # the second goes on from one that goes on itself
        session = Resumption.of(folder, steps=steps).session()
        cursor = session.cursor()
        folder = trained(session, "again")
        [ended] = [notice.body for notice in cursor.take().notices if isinstance(notice.body, RunEnded)]
        assert (ended.step, ended.loss_first) == (steps, first)
