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
from vgrad.run.main_module import find_program, run
target, *arguments = sys.argv[1:]
try:
    is_module = target == "-m"
    program = find_program(arguments.pop(0) if is_module else target, is_module=is_module)
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
print(sys.argv, sys.path[0], vars(main) is globals(), type(__builtins__), hasattr(__builtins__, "open"))
print(sorted(name for name in globals() if name.startswith("__")), sys.modules["__main__"].__annotations__)
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
    for name in ("raises.py", "pack/raises.py"):
        (tmp_path / name).write_text("def f():\n    raise ValueError('no')\nf()\n")
    (tmp_path / "unfinished.py").write_text("def f(:\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("import no_such_thing\n")
    (tmp_path / "broken" / "train.py").touch()
    (tmp_path / "empty.py").touch()
    for name, text in (("bare", ""), ("leaves", "raise SystemExit(3)\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
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
        ["-m", "pack.raises"],
        ["unfinished.py"],
        ["exits.py"],
        ["interrupted.py"],
        ["hooked.py"],
        ["-m", "pack.__main__"],
        ["-m", "leaves.train"],
        ["-m", "no_such_module"],
        ["-m", "no_such_module.train"],
        ["-m", "pack.no_such"],
        ["-m", "empty.no_such"],
        ["-m", "bare"],
        ["-m", "empty.py"],
        ["-m", ".probe"],
    ],
    ids=" ".join,
)
def test_a_program_sees_and_shows_what_it_does_under_python(folder: Path, argv: list[str]) -> None:
    bare, ours = run(*argv, cwd=folder), run(*argv, cwd=folder, driven=True)
    assert ours.stdout == bare.stdout
    assert ours.stderr == bare.stderr
    assert ours.returncode == bare.returncode


def test_a_script_that_cannot_be_found_is_named(folder: Path) -> None:
    ours = run("no-such.py", cwd=folder, driven=True)
    assert "no-such.py" in ours.stderr and "Traceback" not in ours.stderr


def test_an_error_in_a_package_around_the_module_is_shown_as_its_own(folder: Path) -> None:
    ours = run("-m", "broken.train", cwd=folder, driven=True)
    assert ours.returncode == 1
    assert "No module named 'no_such_thing'" in ours.stderr and "main_module.py" not in ours.stderr
    assert f'File "{folder / "broken" / "__init__.py"}", line 1' in ours.stderr


def test_spawned_workers_find_the_script(folder: Path) -> None:
    (folder / "spawns.py").write_text(
        "import multiprocessing as mp\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('spawn').Pool(2) as pool: print(pool.map(double, range(5)))\n"
    )
    ours = run("spawns.py", cwd=folder, driven=True)
    assert (ours.stdout, ours.returncode) == ("[0, 2, 4, 6, 8]\n", 0), ours.stderr
