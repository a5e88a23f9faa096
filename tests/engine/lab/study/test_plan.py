"""What is tried: that nothing of the catalog is forgotten, and that nonsense is refused early."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Number, OneOf
from vgrad.errors import ConfigError, RecipeError
from vgrad.lab.study import Method, Plan, Protocol, Solved, full_plan, quick_plan
from vgrad.lab.study.experiments import NOT_TRIED
from vgrad.lab.study.method_table import AS_PRINTED
from vgrad.lab.study.plan import CONTROL, covered, settings
from vgrad.recipes.registry import RECIPES

every_plan = pytest.mark.parametrize("plan", [full_plan(), quick_plan()], ids=["full", "quick"])


def values_of_the_catalog() -> set[tuple[str, str]]:
    found = set()
    for name, control in CONTROLS.items():
        words = [""] if isinstance(control, Number) else control.words
        found |= {(name, word) for word in words if word != "off"}
    return found


def test_every_value_of_every_control_is_tried_or_it_says_why_not() -> None:
    tried = covered(full_plan())
    assert tried | set(NOT_TRIED) == values_of_the_catalog() | (
        tried & {("skip", "off"), ("layer_norm", "off")}
    )
    assert all(NOT_TRIED.values())


def test_all_that_the_article_prints_is_tried() -> None:
    printed = {
        (control.name, kind.word)
        for control in CONTROLS.values()
        if isinstance(control, OneOf)
        for kind in control.variants.values()
        if kind.as_printed
    }
    methods = Plan((full_plan().experiments[0],))
    assert printed <= covered(methods)
    assert len(AS_PRINTED) == len(printed) + 1  # 4.2's clamp is also the standard one


def test_every_recipe_of_a_lesson_is_there() -> None:
    tried = {experiment.protocol.recipe for experiment in full_plan().experiments}
    comparisons = {"charlm-lstm", "charlm-gru", "charlm-transformer"}  # healthy as they are
    assert tried == set(RECIPES) - comparisons


@every_plan
def test_names_tell_runs_apart(plan: Plan) -> None:
    keys = [run.key for run in plan.runs()]
    assert len(set(keys)) == len(keys)


@every_plan
def test_every_method_runs_beside_its_control(plan: Plan) -> None:
    for experiment in plan.experiments:
        runs = list(experiment.runs())
        assert len(runs) == experiment.num_seeds * (1 + len(experiment.methods))
        seeds = [run.seed for run in runs]
        assert seeds == sorted(seeds)
        starts = [
            run for previous, run in pairwise([None, *runs]) if not previous or previous.seed != run.seed
        ]
        assert all(run.method == CONTROL for run in starts)


def test_a_quick_plan_says_what_it_leaves_out() -> None:
    quick = quick_plan()
    there = {experiment.protocol.name for experiment in quick.experiments}
    for experiment in full_plan().experiments:
        name = experiment.protocol.name
        assert (name in there) != (name in quick.left_out[0])
    assert not full_plan().left_out


def test_a_part_is_chosen_by_recipe_or_by_experiment() -> None:
    names = [e.protocol.name for e in full_plan().only(("temporal-order-30", "depth-tanh")).experiments]
    assert names == ["depth-tanh", "temporal-order-30"]
    by_recipe = full_plan().only(("temporal-order",)).experiments
    assert {e.protocol.recipe for e in by_recipe} == {"temporal-order"}
    assert len(by_recipe) > 3
    assert full_plan().only(()) == full_plan()


@pytest.mark.parametrize(
    ("name", "told"), [("no-such", "no recipe and no experiment"), ("adding-gates", "not in this plan")]
)
def test_what_is_not_there_cannot_be_chosen(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        quick_plan().only(("depth-sigmoid", name))


def test_seeds_are_as_many_as_asked_for() -> None:
    assert {e.num_seeds for e in full_plan().with_seeds(2).experiments} == {2}
    assert full_plan().with_seeds(None) == full_plan()
    with pytest.raises(ConfigError, match="seeds"):
        full_plan().with_seeds(0)


@pytest.mark.parametrize(
    "values", [{"clip": "norm:-1"}, {"clap": "norm:1"}, {"reinit": "badly"}, {"activation": "loud"}]
)
def test_a_method_that_makes_no_sense_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Method("bad", settings(**values))


def test_a_protocol_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(RecipeError):
        Protocol("bad", "no-such-recipe", 10)
    with pytest.raises(ConfigError, match="no data for the method"):
        Protocol("bad", "article-net", 10, prefix=10)
    with pytest.raises(ConfigError, match="needs to know when"):
        Protocol("bad", "article-net", 10, stops=True)
    assert Protocol("good", "article-net", 10, solved=Solved("loss", 1.0, "loss 1"), stops=True).stops
