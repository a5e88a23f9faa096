"""Where ``CI`` is set, a test that skips for want of something fails, and says for want of what."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest
def test_skips(): pytest.skip("no compiler")
@pytest.mark.skipif(True, reason="no terminal")
def test_is_skipped(): pass
@pytest.fixture
def disk(): pytest.skip("no disk")
def test_has_no_disk(disk): pass
@pytest.mark.skipif(True, reason="needs a CUDA device")
def test_has_no_card(): pass
@pytest.mark.xfail
def test_is_known_to_fail(): raise ValueError
"""


@pytest.mark.parametrize(("is_ci", "outcome"), [(True, "1 skipped"), (False, "4 skipped")])
def test_in_ci_nothing_but_a_graphics_card_may_be_missing(tmp_path: Path, is_ci: bool, outcome: str) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "test_them.py",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment | ({"CI": "true"} if is_ci else {}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert outcome in done.stdout and "1 xfailed" in done.stdout, done.stdout
    for reason in ("no compiler", "no terminal", "no disk"):
        assert (f"{reason}: CI must not skip" in done.stdout.replace("\n", " ")) is is_ci, done.stdout
