"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Set before any test imports torch: workers share the cores, and sums must not depend on how many.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine may take its time over any single example: what is tested is laws, not speed.
# New examples are looked for at the desk; the build server tries the same ones every time.
settings.register_profile("laws", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("laws")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the runs of whoever tests: each has a home of its own, made when it is used."""
    home = tmp_path_factory.getbasetemp() / f"home-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("VGRAD_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def children_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that tests start train on the CPU, whatever the machine has: there they can be repeated."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


NEEDS_CUDA = "needs a CUDA device"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ``CI`` is set nobody reads about skipped tests: only those of a graphics card may be skipped."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr  # type: ignore[misc]  # of a skipped test it is a place and a reason
        if NEEDS_CUDA not in reason:
            report.outcome = "failed"
            report.longrepr = f"{reason}: CI must not skip"
    return report


RequireTool = Callable[[str], str]


@pytest.fixture
def require_tool() -> RequireTool:
    """A function that returns the path of a program.

    Without the program the test is skipped, and the reason says so.
    """

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        pytest.skip(f"{name} is not installed")

    return require
