"""A script under torchrun: unmodified, and with two lines, it trains the same bits, and rank 0 records it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.engine.ranks.torchrun import SCRIPTS, torchrun

from vgrad.store.folder import all_runs
from vgrad.store.reader import RunReader


def test_watched_ranks_train_the_same_bits_and_make_one_record(tmp_path: Path) -> None:
    bare = (SCRIPTS / "ddp.py").read_text()
    lines = re.sub(r"# -- watch: (.*)", r"import vgrad; watch = vgrad.watch(\1, record=False)", bare)
    steps = r"import sys; sys.stdout.write(f'steps {watch.step}\n')"
    lines = lines.replace("dist.destroy", f"{steps}\ndist.destroy")
    (tmp_path / "bare.py").write_text(bare)
    (tmp_path / "lines.py").write_text(lines)
    summary = tmp_path / "summary.json"
    runs = {
        "bare": torchrun("bare.py", cwd=tmp_path),
        "lines": torchrun("lines.py", cwd=tmp_path),
        "unmodified": torchrun(
            "-m", "vgrad", "--summary", summary, "--fail-on", "non-finite", "bare.py", cwd=tmp_path
        ),
    }
    printed = {}
    for name, process in runs.items():
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "Error" not in err
        printed[name] = sorted(re.findall(r"weights \w+|steps \d+", out))
    weights = printed["bare"]
    assert len(weights) == 2 and weights[0] == weights[1], "the ranks agree"
    assert printed["unmodified"] == weights
    assert printed["lines"] == ["steps 60", "steps 60", *weights]
    [folder] = all_runs()
    with RunReader(folder) as reader:
        batch = reader.take()
    assert [int(step) for block in batch.blocks for step in block.step] == list(range(1, 61))
    assert json.loads(summary.read_text())["steps"] == 60
