"""A person's own task from a Python file: `vgrad-tui run my_task.py`.

The file has a function, ``build`` unless another is named, that returns a `vgrad.Task`:

    def build(seed: int, device: torch.device, width: int = 32) -> vgrad.Task: ...

Its other parameters are the options of ``--set``; ``--lr``, ``--batch-size`` and ``--text`` are those of
these names. Checking that the file is there needs no torch, and does not run it.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError, RecipeError
from vgrad.recipes.registry import RECIPES, get_recipe
from vgrad.run.task_options import read_options
from vgrad.validation import did_you_mean

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from vgrad.config import RunConfig
    from vgrad.task import Task

_PREFIX = "vgrad_task_"  # of the modules that task files become


def require_source(config: RunConfig) -> None:
    """Check, before anything is built, that the recipe or the task file of ``config`` is there.

    The options of a recipe are checked too; those of a task file are known when it has been imported.

    Raises:
        RecipeError: If there is neither; says what was probably meant.
        ConfigError: If an option of a recipe is unknown or makes no sense, or the task file cannot have the
            function.
    """
    if config.task_file is not None:
        path, name = config.task_file
        _require_file(path)
        _require_name(path, name)
        return
    try:
        recipe = get_recipe(config.recipe)
    except RecipeError:
        if Path(f"{config.recipe}.py").is_file():
            raise RecipeError(
                f"no recipe is called {config.recipe!r}; did you mean the file {config.recipe}.py?"
            ) from None
        raise
    recipe.read_options(config)


def build_from_file(config: RunConfig, device: torch.device) -> tuple[Task, str]:
    """Import the task file of ``config``, call its function and return the task and its description.

    Every global random state is seeded with the run's seed first, so that weights, dropout and the order
    of a `DataLoader` are the same again.

    Raises:
        ConfigError: If the file or the function is not there, an option is unknown or makes no sense, or
            something else than a task comes back.
        Exception: Whatever the file itself raises.
    """
    from vgrad.task.random_state import seed_everything

    assert config.task_file is not None
    path, name = config.task_file
    _require_file(path)
    seed_everything(config.seed)
    with _on_path(path.resolve().parent):
        module = _import(path)
        function = _function(module, name, path)
        where = f"{path.name}:{name}"
        task = function(**read_options(function, config, device, where=where))
    return _require_task(task, where), _first_line(function.__doc__) or _first_line(module.__doc__)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of ``error``: of one in a task file, from its first frame there on."""
    frames = error.__traceback__
    while frames is not None and not _is_of_a_task_file(frames):
        frames = frames.tb_next
    if frames is not None:
        return "".join(traceback.format_exception(type(error), error, frames))
    if isinstance(error, SyntaxError):  # it names the place itself, and nothing of the file has run
        return "".join(traceback.format_exception_only(error))
    return "".join(traceback.format_exception(error))


def _is_of_a_task_file(frames: TracebackType) -> bool:
    return str(frames.tb_frame.f_globals.get("__name__")).startswith(_PREFIX)


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        meant = did_you_mean(path.stem, RECIPES)
        raise RecipeError(
            f"the task file {str(path)!r} {what}{meant or ': check its path'} (recipes: {', '.join(RECIPES)})"
        )


def _require_name(path: Path, name: str) -> None:
    """Refuse a file whose text nowhere has the function's name: a training script, which is not run here."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # running it shows what is wrong
    known = {name, "*"}  # after `from x import *` any name may be there
    for node in ast.walk(tree):
        if any(isinstance(value, str) and value in known for _, value in ast.iter_fields(node)):
            return
    raise _no_function(path, name, [node.name for node in tree.body if isinstance(node, ast.FunctionDef)])


def _no_function(path: Path, name: str, own: Sequence[str]) -> ConfigError:
    there = f"functions: {', '.join(own)}" if own else "it has no functions"
    example = f"{path}:{own[-1] if own else 'FUNCTION'}"
    return ConfigError(
        f"{path} has no function {name!r}{did_you_mean(name, own)} ({there}): write "
        f"build(seed, device) -> vgrad.Task, or name another, such as {example}; "
        f"to watch a training script as it is: vgrad-tui watch {path}"
    )


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Let the file import what lies beside it, as ``python my_task.py`` would."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _import(path: Path) -> ModuleType:
    """Run the file as a module of its own, which no other import finds by the file's name."""
    name = _PREFIX + path.stem
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look there
    spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]  # it was asked
    functions = {key: value for key, value in vars(module).items() if isinstance(value, FunctionType)}
    own = [key for key, value in functions.items() if value.__module__ == module.__name__]
    raise _no_function(path, name, own)


def _require_task(task: object, where: str) -> Task:
    from vgrad.task import Task
    from vgrad.task.microbatch import in_words

    if isinstance(task, Task):
        return task
    raise ConfigError(f"{where} must return a vgrad.Task, and it returned {in_words(task)}")


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text).partition("\n")[0] if text else ""
