"""Scripts of many shapes, run as they are and watched: the same bits, output and exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
# What each script has where a user would write the line: `# -- watch: model, optimizer`.
_MARK = "# -- watch: "
SHAPES = [
    "checkpoint_and_resume.py",
    "compiled.py",
    "fails.py",
    "forks.py",
    "gan.py",
    "lbfgs.py",
    "optimizer_in_backward.py",
    "plain.py",
    "scaler_and_workers.py fork",
    "scaler_and_workers.py spawn",
    "tied_and_frozen.py",
    "two_models.py",
]


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), *sys.path])}
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True, text=True, timeout=300, check=False, env=environ,
    )  # fmt: skip


def watched(path: Path, folder: Path, *, controls: str = "") -> Path:
    """A copy of the script in which the marked lines watch."""
    text = path.read_text()
    assert _MARK in text
    lines = []
    for line in text.splitlines():
        indent, mark, arguments = line.partition(_MARK)
        # Each watch is kept, as a user's variable would: a model may be watched more than once.
        keep = "watches = globals().setdefault('watches', [])"
        call = f"watches.append(vgrad.watch({arguments}{controls}))"
        lines.append(f"{indent}import vgrad; {keep}; {call}" if mark else line)
    copy = folder / path.name
    copy.write_text("\n".join(lines) + "\n")
    return copy


def test_every_script_is_run_here() -> None:
    names = {path.name for path in SCRIPTS.glob("*.py")} - {"weights.py"}
    assert {shape.partition(" ")[0] for shape in SHAPES} == names


@pytest.mark.parametrize("shape", SHAPES)
def test_watching_changes_neither_weights_nor_output_nor_the_exit_code(shape: str, tmp_path: Path) -> None:
    name, *arguments = shape.split()
    bare = run(SCRIPTS / name, *arguments)
    seen = run(watched(SCRIPTS / name, tmp_path), *arguments)
    assert seen.stdout == bare.stdout
    assert seen.returncode == bare.returncode, seen.stderr
    assert "weights" in bare.stdout or bare.returncode == 1
    if bare.returncode == 0:
        assert seen.stderr == bare.stderr
    else:
        assert seen.stderr.splitlines()[-1] == bare.stderr.splitlines()[-1]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "fails.py"])
def test_a_control_that_is_accepted_never_ends_a_script(shape: str, tmp_path: Path) -> None:
    name, *arguments = shape.split()
    steered = run(
        watched(SCRIPTS / name, tmp_path, controls=", controls=vgrad.Controls(lr_scale=0.5)"), *arguments
    )
    assert steered.returncode == 0, steered.stderr
    bare = run(SCRIPTS / name, *arguments)
    assert steered.stdout != bare.stdout, "half the learning rate gives other weights"
