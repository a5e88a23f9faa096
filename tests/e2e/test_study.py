"""``vgrad-tui study`` as a shell sees it: real processes, real training."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A background job inherits an ignored SIGINT, and the test may run in one.
CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from vgrad_tui.cli import main; main()"
)


def study(*args: object) -> list[str]:
    return [sys.executable, "-c", CODE, "study", *map(str, args)]


def test_a_study_leaves_its_table_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    command = study(
        "--quick", "--only", "article-net", "--seeds", 3, "--out", tmp_path, "--json", "--jobs", 1
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        assert next(lines).startswith("left out: ")
        assert any("run 2/39" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert "the same command goes on from here" in process.stderr.read()
        assert process.stdout is not None
        partial = json.loads(process.stdout.read())
        assert process.wait(timeout=60) == 130
    assert partial[0]["method"] == "none"

    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "runs were done before" in again.stderr
    assert "39 of 39 runs done" in again.stderr
    rows = json.loads(again.stdout)
    assert len(rows) == 13 and {row["num_seeds"] for row in rows} == {3}
    lines_of_csv = list(csv.DictReader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["outcome"] for line in lines_of_csv] == [row["outcome"] or "" for row in rows]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("runs.jsonl", "table.md", "table.csv", "article-net.svg")
    }


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--only", "no-such"], "no recipe and no experiment"),
        (["--quick", "--only", "adding-gates"], "not in this plan"),
        (["--seeds", "0"], "seeds"),
        (["--jobs", "0"], "jobs"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, args: list[str], told: str
) -> None:
    out = tmp_path / "study"
    result = subprocess.run(
        study(*args, "--out", out), capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 2
    assert told in result.stderr
    assert not out.exists()
