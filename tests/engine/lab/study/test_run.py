"""One run: the same seed, the same numbers; and what a protocol says is what happens."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.engine.lab.study.toys import SHORT, UNTIL_SOLVED, UP

import vgrad
from vgrad.errors import ConfigError
from vgrad.lab.study import Experiment, Method, Protocol, Run, carry_out, full_plan
from vgrad.lab.study import method_table as m
from vgrad.lab.study.plan import CONTROL, settings
from vgrad.train.trainer import Trainer


@pytest.mark.parametrize("method", [CONTROL, m.CLIP, m.KICK, m.MEAN, UP], ids=lambda method: method.name)
def test_the_same_run_gives_the_same_result(method: Method) -> None:
    run = Run(SHORT, method, seed=3)
    assert carry_out(run) == carry_out(run)
    assert carry_out(run) != carry_out(replace(run, seed=4))


def test_a_control_is_the_plain_run() -> None:
    trainer = vgrad.build("article-net", seed=1, device="cpu")
    losses = [trainer.train_step().loss for _ in range(6)]
    result = carry_out(Run(SHORT, CONTROL, seed=1))
    assert result.updates == 6
    assert result.train_loss == losses[-1]
    assert result.val_loss == trainer.validate()
    assert result.metric == trainer.task.validate_metric()


def test_a_method_acts_after_the_prefix_and_not_before() -> None:
    trainer = vgrad.build("article-net", seed=1, device="cpu")
    for _ in range(2):
        trainer.train_step()
    trainer.apply(vgrad.Set("lr_scale", "10"))
    for _ in range(4):
        trainer.train_step()
    assert carry_out(Run(SHORT, UP, seed=1)).val_loss == trainer.validate()


def test_without_a_prefix_a_method_is_as_good_as_a_setting() -> None:
    protocol = replace(SHORT, prefix=0)
    as_base = replace(protocol, base=m.DOUBLE.settings)
    assert carry_out(Run(protocol, m.DOUBLE, 0)) == carry_out(Run(as_base, CONTROL, 0))


def test_every_method_gets_as_much_data() -> None:
    four = Method("accumulate 4", settings(accumulate="4"))
    assert carry_out(Run(SHORT, CONTROL, 0)).updates == 6
    assert carry_out(Run(SHORT, four, 0)).updates == 2 + 1  # 2 microbatches alone, then 4 together


def test_a_run_that_stops_ends_at_the_look_that_finds_it_solved() -> None:
    result = carry_out(Run(UNTIL_SOLVED, CONTROL, 0))
    assert result.solved_at == result.updates < UNTIL_SOLVED.microbatches
    assert result.updates % UNTIL_SOLVED.look_every == 0
    assert result.metric <= 0.5
    goes_on = carry_out(Run(replace(UNTIL_SOLVED, stops=False), CONTROL, 0))
    assert goes_on.updates == UNTIL_SOLVED.microbatches
    assert goes_on.solved_at == result.solved_at


def test_what_is_never_solved_says_so() -> None:
    result = carry_out(Run(UNTIL_SOLVED, m.ASCEND, 0))
    assert result.solved_at is None
    assert result.updates == UNTIL_SOLVED.microbatches
    assert result.judged(UNTIL_SOLVED) == math.inf
    assert result.judged(SHORT) == result.val_loss or math.isnan(result.val_loss)


def test_a_loss_that_is_not_finite_stays_so() -> None:
    blown = Method("far too fast", settings(lr_scale="1e6"))
    result = carry_out(Run(Protocol("blown", "article-net", 30), blown, 0))
    assert not math.isfinite(result.val_loss)
    assert math.isnan(result.train_loss)
    assert result.verdict == "non-finite"


def test_a_method_that_does_not_fit_is_refused_with_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"Ω cannot be tried with article-net: .* needs a recurrent model"):
        carry_out(Run(SHORT, m.OMEGA, 0))


def test_an_option_makes_another_model_from_the_start() -> None:
    wide = Method("wide", settings(model__hidden="8"))
    trainer = vgrad.build("article-net", device="cpu", options={"model.hidden": 8})
    for _ in range(6):
        trainer.train_step()
    assert carry_out(Run(SHORT, wide, 0)).val_loss == trainer.validate()


@pytest.mark.parametrize("experiment", full_plan().experiments, ids=lambda e: e.protocol.name)
def test_every_method_of_the_plan_fits_its_recipe(experiment: Experiment) -> None:
    def build(options: dict[str, str]) -> Trainer:
        base = dict(experiment.protocol.base) | options
        controls = {name: value for name, value in base.items() if "." not in name}
        settings = {name: int(v) if v.isdecimal() else v for name, v in base.items() if "." in name}
        return vgrad.build(experiment.protocol.recipe, device="cpu", options=settings, **controls)

    plain = build({})
    for method in experiment.methods:
        trainer = build(method.options) if method.options else plain
        before = trainer.controls
        for command in method.commands:
            answer = trainer.apply(command)
            assert isinstance(answer, vgrad.CommandApplied), f"{method.name}: {answer}"
        for command in method.commands:
            if isinstance(command, vgrad.Set):
                trainer.apply(vgrad.Set(command.control, getattr(before, command.control)))
        assert trainer.controls == before
