"""The labelled runs: what a label is told from, and that what is stored is what was counted."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgrad.config import RunConfig
from vgrad.diagnose.confidence import CONFIDENCE, TRACK_RECORD
from vgrad.errors import DataError
from vgrad.lab.accuracy.cases import HELD_OUT, TRIVIAL, Case
from vgrad.lab.accuracy.counterfactuals import counterfactuals
from vgrad.lab.accuracy.families import all_cases
from vgrad.lab.accuracy.labels import CureKind, Outcome, Scale, label_of, needed_cures
from vgrad.lab.accuracy.matrix import (
    Judged,
    Share,
    judge_all,
    of_part,
    replay,
    share_right,
)
from vgrad.lab.accuracy.report import confidence_by_rule, report_as_dict, report_as_text
from vgrad.lab.accuracy.runs import task_of, train_all, train_case
from vgrad.lab.accuracy.store import read_runs, write_runs
from vgrad.recipes.data.text import load_text
from vgrad.recipes.recipe import Recipe
from vgrad.recipes.registry import build_task, get_recipe

SCALE = Scale(trivial=2.0, best=1.0)
LEARNT, STUCK, BLOWN_UP = Outcome(2.0, 1.2, 2.1), Outcome(2.0, 2.0, 2.1), Outcome(2.0, 2.0, 9.0)
# The stored runs of text were trained on the help topics of Python 3.11.7; other versions have other ones.
TEXT_OF_STORED_RUNS = "14873e2c5cbca149"
Cures = dict[CureKind, dict[str, float]]


@pytest.fixture(scope="module")
def stored() -> list[Judged]:
    return judge_all(read_runs())


@pytest.mark.parametrize(
    ("outcome", "cures", "label"),
    [
        (LEARNT, {}, "healthy"),
        (replace(LEARNT, final=math.nan), {}, "non-finite"),
        (replace(LEARNT, final=1.6), {}, "unclear"),
        (BLOWN_UP, {"explosion": {"clip": 1.0}}, "exploding"),
        (BLOWN_UP, {"explosion": {"clip": 2.0}}, "unclear"),
        (STUCK, {"explosion": {"clip": 1.0}}, "exploding"),
        (STUCK, {"explosion": {"clip": 1.0}, "vanishing": {"skip": 1.0}}, "unclear"),
        (STUCK, {"explosion": {"clip": 2.0}, "vanishing": {"skip": 1.0}}, "vanishing"),
        (STUCK, {"explosion": {"clip": math.nan}, "vanishing": {"skip": 1.0}}, "vanishing"),
        (STUCK, {"dead": {"another draw": 1.0}, "vanishing": {"skip": 1.0}}, "dead"),
        (STUCK, {"slow": {"lr x 10": 1.0}}, "unclear"),
        (STUCK, {"vanishing": {"skip": 2.0}}, "unclear"),
    ],
)
def test_a_label_is_what_happened_and_what_cured_it(outcome: Outcome, cures: Cures, label: str) -> None:
    assert label_of(outcome, cures, SCALE)[0] == label


def test_a_task_that_no_run_learnt_labels_nothing_but_nan() -> None:
    nobody = Scale(trivial=2.0, best=1.9)
    assert label_of(replace(LEARNT, final=1.91), {}, nobody)[0] == "unclear"
    assert label_of(replace(LEARNT, final=math.nan), {}, nobody)[0] == "non-finite"
    assert needed_cures(STUCK, nobody) == ()


def test_a_label_depends_on_no_verdict() -> None:
    """Nothing of the rules under test is loaded where labels are made."""
    code = (
        "import sys; from vgrad.lab.accuracy import labels, counterfactuals, families;"
        "rules = ('judge', 'rules', 'explosions', 'explosion_onset', 'verdicts');"
        "bad = {f'vgrad.diagnose.{name}' for name in rules} & sys.modules.keys();"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_parts_share_no_family_and_no_scale() -> None:
    cases = all_cases()
    by_part = {part: {case.family for case in cases if case.part == part} for part in ("fit", "held-out")}
    assert by_part["fit"].isdisjoint(by_part["held-out"])
    assert by_part["held-out"] == set(HELD_OUT)
    for case in cases:
        assert task_of(case)[0] == case.part
    longer = replace(cases[0], steps=2 * cases[0].steps)
    assert task_of(longer) != task_of(cases[0]), "no run is measured by one that had more time"


def test_the_trivial_loss_of_pixels_is_their_variance() -> None:
    task = build_task(RunConfig.make(recipe="fp16-underflow", batch_size=1437), torch.device("cpu"))
    pixels = task.validation.targets
    answer = pixels.mean(0).expand_as(pixels)
    assert float(task.loss(answer, pixels)) == pytest.approx(TRIVIAL["pixels"], rel=0.05)


def test_only_what_did_not_learn_needs_cures() -> None:
    assert needed_cures(LEARNT, SCALE) == ()
    assert needed_cures(replace(STUCK, final=math.nan), SCALE) == ()
    assert needed_cures(BLOWN_UP, SCALE) == ("explosion",)
    assert "vanishing" in needed_cures(STUCK, SCALE)


@given(st.lists(st.floats(0.0, 1e6), min_size=10, max_size=60))
def test_an_outcome_lies_within_its_losses(losses: list[float]) -> None:
    outcome = Outcome.of(losses)
    assert outcome.first == losses[0]
    for value in (outcome.final, outcome.peak):
        assert min(losses) - 1e-6 <= value <= max(losses) + 1e-6
    assert math.isnan(Outcome.of([*losses, math.inf]).final)


def test_every_case_and_every_counterfactual_can_be_built() -> None:
    cases = all_cases()
    assert len(cases) >= 500
    assert len({case.name for case in cases}) == len(cases)
    assert {case.family for case in cases} > set(HELD_OUT)
    changed = [
        counterfactual.case
        for case in cases
        for kind in ("slow", "explosion", "dead", "vanishing")
        for counterfactual in counterfactuals(case, kind)
    ]
    for case in (*cases, *changed):
        recipe: Recipe = get_recipe(case.recipe)
        recipe.read_options(
            RunConfig.make(recipe=case.recipe, seed=case.seed, **case.settings, options=dict(case.options))
        )


def small_case(**settings: object) -> Case:
    options = {"depth": 3, "width": 8, "activation": "relu", "init": "he"}
    return Case("small", "relu", "digits", "depth-sigmoid", 3, 80, {"lr": 0.1, **settings}, options)


def test_runs_that_are_written_and_read_are_the_same_to_rounding(tmp_path: Path) -> None:
    runs = [train_case(small_case()), train_case(replace(small_case(lr=1e6), name="nan"))]
    runs[1].cures["explosion"] = {"clip norm 1": math.nan}
    write_runs(runs, tmp_path)
    again = read_runs(tmp_path)
    for run, copy in zip(runs, again, strict=True):
        assert copy.case == run.case
        assert copy.cures.keys() == run.cures.keys()
        assert copy.trace.layers == run.trace.layers
        np.testing.assert_allclose(copy.trace.steps, run.trace.steps, rtol=3e-4)
        for name in ("norms", "stats", "time"):
            np.testing.assert_allclose(getattr(copy.trace, name), getattr(run.trace, name), rtol=0.03)
    assert [replay(run)[0].kind for run in again] == [replay(run)[0].kind for run in runs]
    with pytest.raises(DataError, match="--rerun"):
        read_runs(tmp_path / "nowhere")


def test_a_case_that_dies_is_labelled_by_what_cures_it() -> None:
    cases = [replace(small_case(), steps=120), replace(small_case(), name="dead", steps=120, dead_bias=-8.0)]
    told: list[tuple[str, int, int]] = []
    runs = train_all(cases, processes=1, on_progress=lambda *progress: told.append(progress))
    assert [one.label for one in judge_all(runs)] == ["healthy", "dead"]
    assert told[:2] == [("runs", 1, 2), ("runs", 2, 2)]
    assert told[-1] == ("counterfactuals", 1, 1)


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    low, high = Share(0, 10).interval
    assert (low, high) == pytest.approx((0.0, 0.27753), abs=1e-4)
    assert Share(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert all(map(math.isnan, Share(0, 0).interval))


@given(st.integers(0, 500), st.integers(1, 500))
def test_a_share_lies_in_its_interval(count: int, more: int) -> None:
    share = Share(count, count + more)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1


def _hash_of_builtin_text() -> str:
    text = load_text(None)
    tokens = torch.cat([text.train, text.validation]).numpy().tobytes()
    return hashlib.sha256(text.vocabulary.encode() + tokens).hexdigest()[:16]


def test_the_stored_runs_are_the_cases_of_today(stored: list[Judged]) -> None:
    by_name = {one.run.case.name: one.run.case for one in stored}
    assert by_name == {case.name: case for case in all_cases()}


@pytest.mark.parametrize("family", sorted({case.family for case in all_cases()}))
def test_the_stored_runs_are_what_the_code_trains_today(stored: list[Judged], family: str) -> None:
    run = next(one.run for one in stored if one.run.case.family == family)
    if run.case.recipe.startswith("charlm") and _hash_of_builtin_text() != TEXT_OF_STORED_RUNS:
        pytest.skip(f"Python {sys.version_info[:3]} has other help topics, which are the text, than 3.11.7")
    again = train_case(replace(run.case, steps=10))
    np.testing.assert_allclose(again.trace.steps[:3], run.trace.steps[:3], rtol=1e-3)


def test_the_matrix_counts_every_stored_run_once(stored: list[Judged]) -> None:
    numbers = report_as_dict(stored)
    for part in ("fit", "held_out"):
        counts = numbers[part]
        in_matrix = sum(sum(row.values()) for row in counts["matrix"].values())
        assert in_matrix + len(counts["unclear"]) == counts["runs"]
        matrix = counts["matrix"]
        diagonal = sum(row[label] for label, row in matrix.items()) + matrix["healthy"]["stalled"]
        assert diagonal == counts["right"]["count"]
        assert in_matrix - diagonal == len(counts["wrong"])
    assert numbers["fit"]["runs"] + numbers["held_out"]["runs"] == len(stored)


def test_the_report_says_what_was_held_out(stored: list[Judged]) -> None:
    text = report_as_text(stored)
    assert all(family in text for family in HELD_OUT)
    assert "wrong" in text or share_right(of_part(stored, "held-out")).value == 1.0


def test_confidence_is_what_the_held_out_part_gives(stored: list[Judged]) -> None:
    measured = confidence_by_rule(of_part(stored, "held-out"))
    assert {rule: (share.count, share.total) for rule, share in measured.items()} == dict(TRACK_RECORD)
    assert {rule: round(share.expected, 2) for rule, share in measured.items()} == dict(CONFIDENCE)
