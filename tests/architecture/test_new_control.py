"""A new control touches three files, and is then a flag, a TOML key, a command, a link and on the screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VALUE = '''"""Gradients with the opposite sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.methods.transform import GradTransform
from vgrad.validation import positive_float

if TYPE_CHECKING:
    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class Mirror(GradTransform):
    """Multiply every gradient by ``-times``."""

    times: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", positive_float("times", self.times))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Change ``grads`` in place."""
        import torch

        torch._foreach_mul_(grads.tensors, -self.times)
        grads.forget_norms()
'''

IMPORT = "from vgrad.methods.noise import"
ROW = """    OneOf(
        "mirror", "mirror", "Turn gradients round", "chain",
        variants(Variant("times", Mirror, "times"), _OFF),
        shorthand="times",
    ),
    CLIP,
"""
FIELD = "    clip: GradTransform | None = None\n"
EDITS = {
    "engine/vgrad/controls/catalog.py": (
        (IMPORT, f"from vgrad.methods.mirror import Mirror\n{IMPORT}"),
        ("    CLIP,\n", ROW),
    ),
    "engine/vgrad/controls/controls.py": ((FIELD, f"    mirror: GradTransform | None = None\n{FIELD}"),),
}

USES = """
import json
import sys
import click.testing
import vgrad
from vgrad.controls import codec
from vgrad.controls.capabilities import in_any_loop
from vgrad.controls.controls import Controls, Set
from vgrad.methods.mirror import Mirror
from vgrad_tui.cli import main
from vgrad_tui.commands.controls import controls
from vgrad_tui.commands.run import run
from vgrad_tui.state.control_guide import GROUPS, explain, palette
from vgrad_tui.state.run_state import State


def output(command, *argv):
    result = click.testing.CliRunner().invoke(command, argv, catch_exceptions=False, standalone_mode=False)
    return result.output


def ratio(trainer):
    record = trainer.train_step()
    return round(record.applied_norm / record.grad_norm, 4), tuple(link.label for link in record.links)


found = ratio(vgrad.build("article-net", device="cpu", mirror="3"))
assert found == (3.0, ("mirror 3",)), found

with open(sys.argv[1], "w") as file:
    file.write('recipe = "article-net"\\ndevice = "cpu"\\nmirror = "times:2"\\nclip = "norm:1e9"\\n')
trainer = vgrad.build(vgrad.RunConfig.read(sys.argv[1]))
assert ratio(trainer) == (2.0, ("mirror 2", "clip norm 1e+09"))  # as they stand in the list
assert trainer.apply(vgrad.Set("mirror", "times:5")).controls.mirror == Mirror(5.0)
assert ratio(trainer)[0] == 5.0
assert "times" in trainer.apply(vgrad.Set("mirror", "0")).reason

command = Set("mirror", Mirror(2.5))
assert codec.command_from_data(json.loads(json.dumps(codec.command_to_data(command)))) == command
assert not in_any_loop().why_not("mirror")

assert "--mirror VALUE" in output(run, "--help")
assert "mirror: Turn gradients round" in output(controls)
assert [names for title, names in GROUPS if "mirror" in names]
assert "mirror off" in [title for title, *_ in palette()]
assert explain("mirror", State(), 80)

sys.argv = ["vgrad-tui", "run", "article-net", "--headless", "--steps", "2", "--mirror", "2"]
main()
"""


def test_a_control_is_added_by_three_files(tmp_path: Path) -> None:
    for name in ("engine", "tui"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "engine/vgrad/methods/mirror.py").write_text(VALUE, encoding="utf-8")
    for name, edits in EDITS.items():
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        for before, after in edits:
            assert text.count(before) == 1
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
    assert 1 + len(EDITS) <= 3
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'engine'}{os.pathsep}{tmp_path / 'tui'}"}
    result = subprocess.run(
        [sys.executable, "-c", USES, str(tmp_path / "run.toml")],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    if result.returncode:
        pytest.fail(result.stderr[-3000:])
    assert '"outcome": "done"' in result.stdout
