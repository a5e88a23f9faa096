"""Runs that are ended by a scheduler or by kill -9, resumed and verified by other processes."""

from __future__ import annotations

import json
import os
import signal

from tests.e2e.command_line import vgrad_tui
from tests.waiting import until

from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder
from vgrad.store.listing import look
from vgrad.store.run_record import RunRecord


def end(folder: RunFolder, number: signal.Signals) -> None:
    pid = folder.pid()
    assert pid is not None
    os.kill(pid, number)
    until(lambda: folder.pid() is None)


def test_sigterm_leaves_a_checkpoint_and_says_how_to_go_on(run: RunFolder) -> None:
    assert vgrad_tui("send", run.name, "clip", "norm:1").returncode == 0
    until(lambda: look(run).step > 20)
    end(run, signal.SIGTERM)
    step = look(run).step
    assert checkpoints_of(run)[-1].step == step
    # A run has ended when its record has; what it prints comes after that.
    until(lambda: f"to go on from step {step:,}: vgrad-tui run --resume {run.name}" in run.log.read_text())

    verified = vgrad_tui("verify", run.name)
    assert (verified.returncode, verified.stdout) == (0, f"identical for {step:,} steps\n"), verified.stderr

    resumed = vgrad_tui("run", "--resume", run.name, "--headless", "--steps", str(step + 30))
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == step + 30
    detached = vgrad_tui("run", "--resume", run.name, "--at", "10", "--steps", "30", "--detach")
    assert detached.returncode == 0, detached.stderr
    again = RunFolder.find(detached.stdout.splitlines()[-1])
    until(lambda: again.pid() is None)
    record = RunRecord.read(again)
    assert record.info.parent is not None
    assert (record.info.parent.run, record.info.parent.step) == (run.name, 10)
    assert list(record.steps) == list(range(11, 31))
    # At step 10 the clipping may have been on or not; both runs have the steps up to it in common.
    clipped_at = RunRecord.read(run).commands[0].step
    same = [number for number in record.steps if number < clipped_at or clipped_at <= 10]
    assert [record.loss_of(n) for n in same] == [RunRecord.read(run).loss_of(n) for n in same]


def test_a_run_that_was_killed_is_verified_and_resumed_as_far_as_its_record_goes(run: RunFolder) -> None:
    assert vgrad_tui("send", run.name, "reinit", "xavier").returncode == 0
    assert vgrad_tui("send", run.name, "lr-scale", "0.5").returncode == 0
    until(lambda: look(run).step > 20)
    end(run, signal.SIGKILL)
    step = look(run).step
    verified = vgrad_tui("verify", run.name)
    assert (verified.returncode, verified.stdout) == (0, f"identical for {step:,} steps\n"), verified.stderr
    resumed = vgrad_tui("run", "--resume", run.name, "--headless", "--steps", str(step + 5))
    assert resumed.returncode == 0, resumed.stderr
    [again] = [each for each in run.path.parent.iterdir() if each != run.path]
    assert list(RunRecord.read(RunFolder(again)).steps) == list(range(step + 1, step + 6))


def test_what_makes_no_sense_with_resume_is_refused(run: RunFolder) -> None:
    alive = vgrad_tui("run", "--resume", run.name, "--headless", "--steps", "9")
    assert alive.returncode == 2 and "is alive" in alive.stderr
    other = vgrad_tui("run", "charlm-rnn", "--resume", run.name, "--clip", "norm:1")
    assert other.returncode == 2 and "--clip" in other.stderr and "only --steps" in other.stderr
    alone = vgrad_tui("run", "charlm-rnn", "--at", "5")
    assert alone.returncode == 2 and "--resume" in alone.stderr


def test_a_live_run_is_rewound_and_its_old_name_still_finds_it(run: RunFolder) -> None:
    assert vgrad_tui("send", run.name, "checkpoint").returncode == 0
    until(lambda: look(run).step > 20)
    rewound = vgrad_tui("send", run.name, "rewind", "7")
    assert rewound.returncode == 0 and rewound.stdout == "rewind to step 7 @ 8\n", rewound.stderr
    until(lambda: run.newest() != run)
    new = run.newest()
    until(lambda: new.database.exists() and look(new).step > 20)
    assert vgrad_tui("send", run.name, "clip", "norm:1").returncode == 0
    refused = vgrad_tui("send", run.name, "rewind", "3")
    assert refused.returncode == 4 and "the run has the steps 7 to" in refused.stderr
    assert vgrad_tui("send", run.name, "stop").returncode == 0
    until(lambda: new.pid() is None)
    old, following = RunRecord.read(run), RunRecord.read(new)
    assert following.info.parent is not None and following.info.parent.run == run.name
    assert following.steps[0] == 8
    clipped_at = following.commands[0].step
    shared = [step for step in old.steps if 7 < step < clipped_at]
    assert [old.loss_of(step) for step in shared] == [following.loss_of(step) for step in shared]
    assert vgrad_tui("verify", new.name).stdout == f"identical for {len(following.steps):,} steps\n"
    assert look(run).status == "stopped"
