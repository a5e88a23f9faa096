"""A study in a folder: interrupted or in one go, with one process or with several, it is the same."""

from __future__ import annotations

import csv
import io
import json
import math
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.lab.study.toys import SHORT, made_up, made_up_results, tiny_plan

import vgrad
from vgrad.errors import ConfigError, VgradError
from vgrad.lab.process_pool import map_in_processes
from vgrad.lab.study import Experiment, Plan, Result, Run, Study, carry_out, quick_plan
from vgrad.lab.study import method_table as m
from vgrad.lab.study.picture import draw_experiment
from vgrad.lab.study.report import cells, table_to_csv, table_to_json, table_to_markdown
from vgrad.lab.study.results import FILE_NAME, Results, as_plain, result_from_json, run_from_json
from vgrad.lab.study.table import TableRow, make_rows

SVG = "{http://www.w3.org/2000/svg}"


def finish(study: Study, jobs: int = 1) -> dict[str, str]:
    """Every file but the runs' own, which has times in it."""
    for _ in study.go_on(jobs=jobs):
        pass
    return {path.name: path.read_text(encoding="utf-8") for path in study.write()}


def rows_of(losses: dict[str, list[float]]) -> list[TableRow]:
    plan = tiny_plan(num_seeds=max(map(len, losses.values())))
    return make_rows(plan, made_up_results(plan, losses))


def test_a_last_line_that_was_cut_off_anywhere_is_dropped_and_no_other(tmp_path: Path) -> None:
    runs = quick_plan().runs()
    omega = next(run for run in runs if not run.method.name.isascii())
    result = Result(1, 0.1, 0.1, 0.1, 0.1, None)
    results = Results(tmp_path, runs)
    results.add(runs[0], result)
    file = tmp_path / FILE_NAME
    before = file.read_bytes()
    results.add(omega, result)
    whole = file.read_bytes()
    for length in range(len(before), len(whole)):
        file.write_bytes(whole[:length])
        assert list(Results(tmp_path, runs).done) == [runs[0]]
        assert file.read_bytes() == before


def test_a_study_that_was_interrupted_ends_as_one_in_one_go(tmp_path: Path) -> None:
    plan = tiny_plan()
    whole = finish(Study(plan, tmp_path / "whole"))
    first = Study(plan, tmp_path / "parts")
    with closing(first.go_on()) as going:
        for _ in range(5):
            next(going)
    assert first.num_done == 5
    assert "5 of 18 runs" in first.write()[0].read_text(encoding="utf-8")
    again = Study(plan, tmp_path / "parts")
    assert again.num_done == 5
    assert finish(again) == whole
    assert again.num_done == again.num_planned == 18
    assert list(Study(plan, tmp_path / "parts").go_on()) == []


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    plan = tiny_plan(num_seeds=1)
    assert finish(Study(plan, tmp_path / "two"), jobs=2) == finish(Study(plan, tmp_path / "one"))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_cannot_be_carried_out_is_reported(processes: int) -> None:
    runs = [Run(SHORT, m.OMEGA, seed) for seed in range(2)]
    with pytest.raises(VgradError, match="Ω cannot be tried"):
        list(map_in_processes(carry_out, runs, processes=processes))


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    plan = Plan((replace(tiny_plan().experiments[0], num_seeds=1),))
    whole = finish(Study(plan, tmp_path))
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    study = Study(plan, tmp_path)
    assert study.num_done == study.num_planned - 1
    assert finish(study) == whole


def test_more_seeds_build_on_what_is_there(tmp_path: Path) -> None:
    finish(Study(tiny_plan(num_seeds=1), tmp_path))
    study = Study(tiny_plan(num_seeds=2), tmp_path)
    assert study.num_done == study.num_planned / 2


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    plan = tiny_plan(num_seeds=1)
    finish(Study(plan, tmp_path))
    experiment = plan.experiments[0]
    longer = replace(experiment, protocol=replace(experiment.protocol, microbatches=7))
    with pytest.raises(ConfigError, match="other settings"):
        Study(Plan((longer,)), tmp_path)


HEADER = json.dumps({"format": 1, "vgrad": vgrad.__version__, "torch": version("torch")})


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 1, "vgrad": "0.0.1", "torch": "1.0"}\n',
        "a letter to a friend\n",
        "[]\n",
        f'{HEADER}\n{{"run": 1, "result": {{}}}}\n',
        f"{HEADER}\n{{}}\n",
        f"{HEADER}\n3\n",
    ],
)
def test_another_file_is_not_touched(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="another --out"):
        Study(tiny_plan(), tmp_path)
    assert path.read_text(encoding="utf-8") == text


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers | st.just(math.nan), numbers, st.none() | st.integers(0, 10**6))
def test_results_survive_their_file(loss: float, metric: float, solved_at: int | None) -> None:
    result = made_up(loss, solved_at=solved_at, metric=metric)
    line = json.dumps(as_plain(result), allow_nan=False)
    back = result_from_json(json.loads(line))
    assert as_plain(back) == as_plain(result)
    assert back.solved_at == solved_at


def test_runs_survive_their_file() -> None:
    for run in [*quick_plan().runs(), *tiny_plan().runs()]:
        assert run_from_json(json.loads(json.dumps(as_plain(run)))) == run


def test_a_result_is_on_the_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    plan = tiny_plan(num_seeds=1)
    with closing(Study(plan, tmp_path).go_on()) as going:
        told = next(going)
        assert Results(tmp_path, plan.runs()).done == {told.run: told.result}


def test_only_whole_pairs_count() -> None:
    [control, clip] = rows_of({"none": [2.0, 2.0], "clip norm 1": [1.0, 1.0, 1.0, 1.0]})
    assert (control.num_seeds, clip.num_seeds) == (2, 2)
    assert clip.outcome == "could not tell"


def test_a_row_is_medians_spreads_and_a_word() -> None:
    [control, clip] = rows_of({"none": [2.0, 4.0, 3.0], "clip norm 1": [1.0, math.nan, 1.2]})
    assert (control.val_loss.median, control.val_loss.low, control.val_loss.high) == (3.0, 2.0, 4.0)
    assert control.outcome is None and math.isnan(control.ratio.median)
    assert clip.val_loss.high == math.inf
    assert clip.ratio.median == 0.5 and clip.outcome == "could not tell"
    assert clip.verdicts == (("healthy", 3),)


losses = st.floats(1e-6, 1e6) | st.just(math.nan)


@given(st.lists(losses, min_size=3, max_size=3), st.lists(losses, min_size=3, max_size=3))
def test_csv_json_and_markdown_agree(clip: list[float], up: list[float]) -> None:
    rows = rows_of({"none": [2.0, 2.5, 3.0], "clip norm 1": clip, "lr × 10": up})
    lines = list(csv.DictReader(io.StringIO(table_to_csv(rows))))
    items = json.loads(table_to_json(rows))
    markdown = table_to_markdown(tiny_plan(), rows, num_done=9, num_planned=18)
    assert len(rows) == len(lines) == len(items) == 3
    for row, line, item in zip(rows, lines, items, strict=True):
        assert line["method"] == item["method"] == row.method
        assert line["outcome"] == (item["outcome"] or "") == (row.outcome or "")
        assert float(line["val_loss"]) == row.val_loss.median
        assert item["val_loss"] == (row.val_loss.median if math.isfinite(row.val_loss.median) else None)
        [told] = [text for text in markdown.splitlines() if text.startswith(f"| {row.method} |")]
        shown = [cell for cell in cells(row) if cell]
        assert [cell.strip() for cell in told.split("|") if cell.strip()] == shown
        middle = cells(row)[4].partition(" ")[0].replace(",", "").replace("∞", "inf")
        assert float(middle) == pytest.approx(float(line["val_loss"]), rel=5.1e-3)


def test_the_report_states_its_rule_and_what_was_left_out() -> None:
    quick = quick_plan()
    report = table_to_markdown(quick, [], num_done=0, num_planned=len(quick.runs()))
    assert "could not tell" in report and "93.75 %" in report
    assert all(line in report for line in quick.left_out)


def test_solved_runs_have_a_table_of_their_own(tmp_path: Path) -> None:
    plan = Plan(tiny_plan().experiments[1:])
    report = finish(Study(plan, tmp_path))["table.md"]
    assert (tmp_path / "until-solved.svg").exists() and "(until-solved.svg)" in report
    [line] = [text for text in report.splitlines() if text.startswith("| until-solved |")]
    assert "3 of 3, " in line and "0 of 3" in line
    [row] = [text for text in report.splitlines() if text.startswith("| detection as coded |")]
    assert "**did harm**" in row  # never solved, and the control always was


@given(
    st.lists(st.sampled_from([0.0, 1e-9, 0.13, 2.3, 1e5, math.nan, math.inf]), min_size=3, max_size=3),
    st.booleans(),
)
def test_a_picture_has_a_dot_for_every_run_inside_its_frame(values: list[float], same: bool) -> None:
    plan = tiny_plan()
    experiment = plan.experiments[0]
    done = made_up_results(plan, {"none": values if same else [2.0, 2.5, 3.0], "clip norm 1": values})
    root = ET.fromstring(draw_experiment(experiment, make_rows(plan, done), done))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    dots = root.findall(f"{SVG}circle")
    assert len(dots) == len(done)
    assert all(0 < float(dot.attrib["cx"]) < width and 0 < float(dot.attrib["cy"]) < height for dot in dots)
    words = {text.text for text in root.findall(f"{SVG}text")}
    assert {"none", "clip norm 1", SHORT.name} <= words


def test_a_slice_of_the_quick_study_finds_what_the_whole_one_does(tmp_path: Path) -> None:
    """On the article's net: coding accumulation as g + g is a doubled rate, detection climbs the loss."""
    article = quick_plan().only(("article-net",)).experiments[0]
    wanted = [x for x in article.methods if x in (m.ASCEND, m.CLAMP, m.DOUBLE, m.LR_UP)]
    study = Study(Plan((Experiment(article.protocol, article.shows, tuple(wanted), num_seeds=3),)), tmp_path)
    finish(study)
    outcomes = {row.method: row.outcome for row in study.rows()}
    assert outcomes == {
        "none": None,
        m.ASCEND.name: "did harm",
        m.CLAMP.name: "did nothing",
        m.DOUBLE.name: "helped",
        m.LR_UP.name: "helped",
    }


def test_seed_0_of_the_articles_net_is_as_it_was_measured() -> None:
    """METHODS, section 1: 10 steps, plain 2.1232, as coded 4.9493 and 1.9481, the clamp changes nothing."""
    from vgrad.lab.study import carry_out, full_plan

    protocol = full_plan().only(("article-net",)).experiments[0].protocol
    found: dict[str, Result] = {
        method.name: carry_out(Run(protocol, method, 0)) for method in (m.ASCEND, m.CLAMP, m.DOUBLE)
    }
    plain = carry_out(Run(protocol, m.Method("none"), 0))
    assert plain.train_loss == pytest.approx(2.1232, abs=1e-4)
    assert found[m.ASCEND.name].train_loss == pytest.approx(4.9493, abs=1e-4)
    assert found[m.DOUBLE.name].train_loss == pytest.approx(1.9481, abs=1e-4)
    assert found[m.CLAMP.name] == plain
