"""The callbacks of Hugging Face's Trainer and of Lightning, also in a process that is watched as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.watching.test_scripts import SCRIPTS, bare_run, run, watched

from vgrad.events.notices import MetricsLogged, RunEnded, RunStarted
from vgrad.store.folder import all_runs
from vgrad.store.reader import RunReader

STEPS = {"hf_trainer.py": 24, "lightning_trainer.py": 48}
METRICS = {"hf_trainer.py": {"loss", "grad_norm", "eval_loss"}, "lightning_trainer.py": {"val_loss"}}


@pytest.mark.parametrize("script", STEPS)
def test_a_callback_in_a_watched_process_is_part_of_the_same_run(script: str, tmp_path: Path) -> None:
    copy, summary = watched(SCRIPTS / script, tmp_path), tmp_path / "summary.json"
    seen = run("-m", "vgrad", "--name", "whole", "--summary", str(summary), str(copy))
    assert seen.stdout == bare_run(script).stdout, seen.stderr
    assert json.loads(summary.read_text())["steps"] == STEPS[script]
    [folder] = all_runs()
    assert folder.name.startswith("whole-")
    with RunReader(folder) as reader:
        batch = reader.take()
    assert [int(step) for block in batch.blocks for step in block.step] == list(range(1, STEPS[script] + 1))
    kinds = [type(notice.body) for notice in batch.notices]
    assert (kinds.count(RunStarted), kinds.count(RunEnded)) == (1, 1)
    logged = [notice.body for notice in batch.notices if isinstance(notice.body, MetricsLogged)]
    assert METRICS[script] <= {name for body in logged for name, _ in body.metrics}


@pytest.mark.parametrize(("module", "library"), [("huggingface", "transformers"), ("lightning", "lightning")])
def test_a_missing_framework_is_said_with_the_extra_to_install(module: str, library: str) -> None:
    code = f"import sys; sys.modules['{library}'] = None; import vgrad.integrations.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"vgrad.errors.MissingExtra: {library} is not installed: pip install 'vgrad-tui[{module}]'"
    )
