"""Runs somebody's script or module as ``__main__``, the way the ``python`` command does.

The module stays in ``sys.modules`` after the script has ended, for pickling, for ``atexit``, and for the
worker processes that `multiprocessing` spawns: they look at its ``__spec__`` and ``__file__``.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_THE_PROGRAM = (__file__, "<frozen importlib")  # what stands above it, where it is compiled or run


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Code that is ready to run, and what its ``__main__`` module says of itself.

    Attributes:
        code: The compiled script or module.
        argv0: What ``sys.argv[0]`` is for it.
        attributes: Attributes of its ``__main__`` module.
    """

    code: CodeType
    argv0: str
    attributes: dict[str, Any]


def find_program(name: str, *, is_module: bool) -> Program:
    """Find and compile a script or a module. What is wrong with its code is shown as python shows it.

    Raises:
        ConfigError: If there is no such script.
        SystemExit: If there is no such module, in python's words and with its exit code, which is 1.
        BaseException: What compiling it, or importing the packages around it, raises; it has been printed.
    """
    try:
        return (_find_module if is_module else _find_script)(name)
    except (ConfigError, SystemExit):
        raise
    except BaseException as error:
        _print_without_our_frames(error, is_module=is_module)
        raise


def _find_script(path: str) -> Program:
    """Read and compile the script at ``path``: a file, or a folder or zip file with a ``__main__.py``.

    Sets ``sys.path[0]`` to the script's folder, as python does, unless python runs in safe-path mode.

    Raises:
        ConfigError: If there is no such script.
        SyntaxError: If it is not Python.
    """
    absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118  # "./" stays, as with python
    importer = get_importer(absolute)
    spec = None if importer is None else importer.find_spec("__main__", None)
    if spec is not None:
        sys.path.insert(0, absolute)
        code = _code_of(spec, path)
        return Program(code, path, _attributes(file=spec.origin or absolute, spec=spec, package=""))
    loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)("__main__", absolute)
    try:
        if isinstance(loader, SourceFileLoader):
            code = loader.source_to_code(loader.get_data(absolute), absolute)
        else:
            code = _code_of(ModuleSpec("__main__", loader, origin=absolute), path)
    except OSError as error:
        raise ConfigError(f"can't open file {path!r}: {error.strerror or error}") from None
    _replace_first_of_path(os.path.dirname(os.path.realpath(absolute)))  # noqa: PTH120  # text in, text out
    return Program(code, path, _attributes(file=absolute, loader=loader))


def _find_module(name: str) -> Program:
    """Find and compile the module ``name`` as ``python -m`` does: of a package its ``__main__``.

    Raises:
        ConfigError: If it has no Python code.
        SystemExit: If there is no such module.
        SyntaxError: If it is not Python.
    """
    if name.startswith("."):
        _end_as_python("Relative module names not supported")
    spec = _spec_of(name)
    if spec is not None and spec.submodule_search_locations is not None:
        package, name = name, f"{name}.__main__"
        spec = _spec_of(name)
        if spec is None:
            words = f"{package!r} is a package and cannot be directly executed"
            _end_as_python(f"No module named {name}; {words}")
    if spec is None:
        _end_as_python(f"No module named {name}")
    file = spec.origin or name
    return Program(_code_of(spec, name), file, _attributes(file=file, spec=spec, package=spec.parent))


def run(program: Program, arguments: Sequence[str]) -> None:
    """Run ``program`` with ``arguments`` after ``sys.argv[0]``.

    Whatever the program raises passes through: `SystemExit`, `KeyboardInterrupt`, and any error.
    A traceback printed by `sys.excepthook` shows none of the frames that run the program.
    """
    module = ModuleType("__main__")
    vars(module).update(program.attributes, __builtins__=builtins)  # elsewhere python puts a dict there
    if "__annotations__" in vars(sys.modules["__main__"]):  # as python makes it, up to 3.13
        vars(module)["__annotations__"] = {}
    sys.modules["__main__"] = module
    sys.argv[:] = [program.argv0, *arguments]
    try:
        exec(program.code, vars(module))  # noqa: S102  # this is what running a script is
    except SystemExit:
        raise
    except BaseException as error:
        _print_without_our_frames(error, is_module=bool(program.attributes["__spec__"]))
        raise


def _spec_of(name: str) -> ModuleSpec | None:
    package = name.rpartition(".")[0]
    if package:
        try:
            __import__(package)
        except ImportError as error:
            if error.name is None or not f"{package}.".startswith(f"{error.name}."):
                raise  # it is there, and something that it needs is not
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError, TypeError) as error:
        message = f"Error while finding module specification for {name!r} ({type(error).__name__}: {error})"
        if name.endswith(".py"):
            message += f". Try using '{name[:-3]}' instead of '{name}' as the module name."
        _end_as_python(message)


def _end_as_python(message: str) -> NoReturn:
    raise SystemExit(f"{sys.executable}: {message}")


def _print_without_our_frames(error: BaseException, *, is_module: bool) -> None:
    """Show the traceback from the program's first frame on; python then shows it no second time."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THE_PROGRAM):
        trace = trace.tb_next
    if is_module:  # python shows the frames of runpy above it, which has run us, too, by the same lines
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename == "<frozen runpy>":
                trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
            frame = frame.f_back
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    # The error still passes through python's own last line, which sets the exit code and ends an
    # interrupted process by SIGINT.
    sys.excepthook = _print_nothing


def _print_nothing(*_: object) -> None:
    """Stand in for a traceback that has been printed."""


def _code_of(spec: ModuleSpec, name: str) -> CodeType:
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if not isinstance(code, CodeType):
        raise ConfigError(f"{name!r} has no Python code that could be run")
    return code


def _attributes(
    *, file: str, loader: object = None, spec: ModuleSpec | None = None, package: str | None = None
) -> dict[str, Any]:
    return {
        "__file__": file,
        "__cached__": None if spec is None else spec.cached,
        "__loader__": loader if spec is None else spec.loader,
        "__spec__": spec,
        "__package__": package,
    }


def _replace_first_of_path(folder: str) -> None:
    """Put the script's folder where ``python -m`` has put the working directory."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
