"""A program that our module runs as ``__main__`` sees and shows just what it does under python itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Runs its arguments as python would, by way of our module.
DRIVER = """
import sys
from vgrad.errors import ConfigError
from vgrad.run.main_module import find_module, find_script, run
target, *arguments = sys.argv[1:]
try:
    program = find_module(arguments.pop(0)) if target == "-m" else find_script(target)
except ConfigError as error:
    sys.exit(str(error))
run(program, arguments)
"""
# What a program can see of how it was started.
PROBE = """
import atexit, pickle, sys
class Thing: pass
assert pickle.loads(pickle.dumps(Thing())).__class__ is Thing
main = sys.modules["__main__"]
def last(): print("at exit", sys.modules["__main__"].__dict__ is globals())
atexit.register(last)
print(__name__, __package__, __file__, __doc__, type(__loader__).__name__, __spec__ and __spec__.name)
print(sys.argv, sys.path[0], vars(main) is globals(), __builtins__ is not None)
"""


def run(*argv: str, cwd: Path, driven: bool = False) -> subprocess.CompletedProcess[str]:
    start = ["-m", "driver"] if driven else []
    return subprocess.run(
        [sys.executable, *start, *argv], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    for name in ("probe.py", "pack/__main__.py", "pack/inner.py", "zipped/__main__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(PROBE)
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "raises.py").write_text("def f():\n    raise ValueError('no')\nf()\n")
    (tmp_path / "exits.py").write_text("import sys; sys.exit('a message')\n")
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "hooked.py").write_text(
        "import sys\n"
        "def hook(kind, error, trace): print('mine', kind.__name__, trace.tb_lineno)\n"
        "sys.excepthook = hook\n"
        "1 / 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "argv",
    [
        ["probe.py", "a", "--b"],
        ["./probe.py"],
        ["-m", "pack", "x"],
        ["-m", "pack.inner", "-v"],
        ["zipped"],
        ["raises.py"],
        ["exits.py"],
        ["interrupted.py"],
        ["hooked.py"],
        ["-m", "pack.__main__"],
    ],
    ids=" ".join,
)
def test_a_program_sees_and_shows_what_it_does_under_python(folder: Path, argv: list[str]) -> None:
    bare, ours = run(*argv, cwd=folder), run(*argv, cwd=folder, driven=True)
    assert ours.stdout == bare.stdout
    assert ours.stderr == bare.stderr
    assert ours.returncode == bare.returncode


@pytest.mark.parametrize(
    "argv", [["no-such.py"], ["-m", "no_such_module"], ["-m", "pack.no_such"]], ids=" ".join
)
def test_what_cannot_be_found_is_said(folder: Path, argv: list[str]) -> None:
    ours = run(*argv, cwd=folder, driven=True)
    assert ours.returncode == 1
    assert argv[-1] in ours.stderr and "Traceback" not in ours.stderr


def test_spawned_workers_find_the_script(folder: Path) -> None:
    (folder / "spawns.py").write_text(
        "import multiprocessing as mp\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('spawn').Pool(2) as pool: print(pool.map(double, range(5)))\n"
    )
    ours = run("spawns.py", cwd=folder, driven=True)
    assert (ours.stdout, ours.returncode) == ("[0, 2, 4, 6, 8]\n", 0), ours.stderr
