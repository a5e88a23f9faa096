"""What is imported when, seen from inside a fresh interpreter; a static graph cannot prove it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.architecture.source import all_imports, modules

HEAVY = {"torch", "textual", "rich", "plotext", "pydantic", "numpy", "click"}
SCREEN = {"vgrad_tui", "textual", "rich", "plotext", "click"}


def modules_after(code: str, *argv: str) -> set[str]:
    """Top-level names in ``sys.modules`` after ``code`` ran in its own interpreter."""
    report = "import sys; print(*(name.partition('.')[0] for name in sys.modules), file=sys.stderr)"
    script = f"try:\n    {code}\nexcept SystemExit:\n    pass\n{report}"
    result = subprocess.run(
        [sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True, timeout=120
    )
    return set(result.stderr.split())


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A reader can understand any module with those alone that it names, for types and in functions too."""
    needs = {name: sorted(set(all_imports(path)) - {name}) for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for needed in needs[name]:
                visit(needed, (*path, name))
            done.add(name)

    for name in needs:
        visit(name, ())


def test_nothing_outside_the_laboratory_imports_it_but_the_two_commands_that_show_it() -> None:
    users = {
        name
        for name, path in modules().items()
        if not name.startswith("vgrad.lab")
        and any(used.startswith("vgrad.lab") for used in all_imports(path))
    }
    assert users == {"vgrad_tui.commands.study", "vgrad_tui.commands.verdicts"}


def test_importing_the_engine_is_cheap() -> None:
    assert modules_after("import vgrad").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["run", "--help"],
        ["recipes", "--help"],
        ["study", "--help"],
        ["verdicts", "--help"],
        ["controls", "--help"],
        ["attach", "--help"],
        ["watch", "--help"],
        ["release", "--help"],
        ["runs", "--help"],
        ["send", "--help"],
        ["tail", "--help"],
        ["--version"],
    ],
)
def test_help_waits_for_nothing_heavy(argv: list[str]) -> None:
    modules = modules_after("from vgrad_tui.cli import main; main()", *argv)
    assert "vgrad_tui" in modules
    assert modules.isdisjoint(HEAVY - {"click"})


def test_a_name_that_does_not_exist_is_refused_without_torch() -> None:
    modules = modules_after("from vgrad_tui.cli import main; main()", "run", "no-such-recipe")
    assert modules.isdisjoint({"torch", "textual"})


def test_the_first_frame_waits_for_nothing_large() -> None:
    code = (
        "import vgrad_tui.launch; from vgrad_tui.terminal.first_frame import first_frame; "
        "first_frame('charlm-rnn').__enter__()"
    )
    modules = modules_after(code)
    assert "vgrad_tui" in modules
    assert modules.isdisjoint(HEAVY)


def test_stored_runs_are_judged_without_torch() -> None:
    # A few of the runs: to judge all of them takes 13 s of a core, and loads nothing else.
    code = (
        "import vgrad.lab.accuracy.store as store; some = store.read_runs()[::100]; "
        "store.read_runs = lambda: some; from vgrad_tui.cli import main; main()"
    )
    modules = modules_after(code, "verdicts")
    assert "numpy" in modules
    assert modules.isdisjoint({"torch", "textual"})


def test_a_run_without_a_screen_imports_no_screen() -> None:
    code = (
        "import io, vgrad; from vgrad.run.headless import run_headless; "
        "config = vgrad.RunConfig.make(steps=2); "
        "assert run_headless(config, stdout=io.StringIO(), stderr=io.StringIO()) == 0"
    )
    modules = modules_after(code)
    assert "torch" in modules
    assert modules.isdisjoint(SCREEN)


# Everything that vgrad-tui installs beside torch and numpy; importing it fails as if it were not there.
WITHOUT_THE_REST = """
import sys
absent = {"pydantic", "pydantic_core", "textual", "rich", "click", "plotext"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
WATCHED_LOOP = """
import torch, vgrad
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with vgrad.watch(model, optimizer, controls=vgrad.Controls(clip=vgrad.ClipGradNorm(1.0))) as watch:
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
    watch.apply(vgrad.Set("clip", None))
    optimizer.zero_grad()
    model(torch.randn(16, 4)).square().mean().backward()
    optimizer.step()
    assert [record.step for record in watch.records()] == [1, 2, 3, 4]
    assert watch.verdict is not None
print(*watch.layers)
"""


def test_watching_needs_torch_and_numpy_alone() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_REST + WATCHED_LOOP],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stderr == ""
    assert (result.returncode, result.stdout) == (0, "0 2\n")
