"""What is exported is what was recorded, and acts on no terminal and in no spreadsheet."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
from click.testing import CliRunner
from tests.engine.store.recorded import record, story

from vgrad.controls.controls import Set
from vgrad.events.notices import CommandRejected, VerdictChanged
from vgrad.events.verdict import Verdict
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
from vgrad_tui.cli import cli

NAMES = ('=HYPERLINK("http://x")', "\x1b[31mred", "+1\n2", "@cmd", "plain,name")


def exported(folder: RunFolder, *options: str) -> str:
    done = CliRunner().invoke(cli, ["export", folder.name, *options])
    assert done.exit_code == 0, done.exception
    assert all(char.isprintable() or char == "\n" for char in done.output)
    return done.output


def test_every_step_and_event_is_there_and_exact() -> None:
    folder = record(RunFolder.create("exported"), 300, ("a", "b"), bodies=story(300))
    table = list(csv.DictReader(io.StringIO(exported(folder, "--to", "csv"))))
    lines = [json.loads(line) for line in exported(folder, "--to", "jsonl").splitlines()]
    with RunReader(folder) as reader:
        losses = np.concatenate([block.loss for block in reader.steps(0)])
    assert [float(row["loss"]) for row in table if row["kind"] == "step"] == losses.tolist()
    assert [row["loss"] for row in lines if row["kind"] == "step"] == losses.tolist()
    events = [(row["kind"], int(row["step"])) for row in table if row["kind"] != "step"]
    assert events == [("RunStarted", 0), ("CommandApplied", 100), ("VerdictChanged", 200), ("RunEnded", 300)]
    assert [(row["kind"], row["step"]) for row in lines if row["kind"] != "step"] == events
    steps = [int(row["step"]) for row in table]
    assert steps == sorted(steps)


def test_names_and_reasons_are_harmless() -> None:
    bodies = [
        (5, VerdictChanged(5, Verdict("exploding", NAMES[1], (0,)))),
        (6, CommandRejected(6, Set("clip", None), NAMES[2])),
    ]
    folder = record(RunFolder.create("hostile"), 10, NAMES, bodies=bodies)
    exported(folder, "--to", "jsonl")
    for row in csv.reader(io.StringIO(exported(folder, "--to", "csv"))):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)
    layers = list(csv.DictReader(io.StringIO(exported(folder, "--to", "csv", "--layers"))))
    assert len(layers) == 10 * len(NAMES)
    assert layers[0]["layer"] == "'" + NAMES[0] and "\\x1b" in layers[1]["layer"]
