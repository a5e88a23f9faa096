"""The first code that runs inside a process that was attached to.

Its source text is sent there and is run in the main thread, between two bytecodes of whatever that thread
does. So it imports nothing of vgrad's at first and takes no time: what takes time has a thread of its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import threading

_LEAST = (("Python", (3, 11)), ("torch", (2, 6)), ("numpy", (2, 0)))
_FORK_WAITS_S = 10.0


def start_inside(function: str, folder: str, answer: str, package: str) -> None:
    """Call ``vgrad.run.injected.begin`` or ``release`` on ``folder``, and say how it went.

    Args:
        function: Which of the two.
        folder: Path of the run's folder.
        answer: Path of a file that is written: ``begun``, then ``done`` or ``error`` and the reason.
        package: Path of the package `vgrad`, which this process may know nothing about.
    """

    def say(text: str) -> None:
        with open(answer + ".new", "w", encoding="utf-8") as file:  # noqa: PTH123  # nothing is imported here
            file.write(text)
        os.replace(answer + ".new", answer)  # noqa: PTH105  # likewise

    def carry_out() -> None:
        try:
            _call(function, folder, package)
            say("done")
        except BaseException as error:  # noqa: BLE001  # the training must not see it
            say(f"error {type(error).__name__}: {error}")
        finally:
            has_ended.set()

    say("begun")
    has_ended = threading.Event()
    problem = _what_is_missing()
    if problem:
        say("error " + problem)
    elif function == "release":
        carry_out()  # quick, and the thread that trains is the one to take its hooks off
    else:
        # A child that is forked while a module is being imported could never import that module.
        os.register_at_fork(before=lambda: has_ended.wait(_FORK_WAITS_S) and None)
        threading.Thread(target=carry_out, name="vgrad-attach", daemon=True).start()


def _what_is_missing() -> str:
    """Why vgrad cannot run in this process, or an empty text."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "optim") or not hasattr(torch, "__version__"):
        return "it has not finished importing torch: try again"
    try:
        import numpy as np
    except ImportError:
        return "it has no numpy, which vgrad needs"
    versions = (sys.version, str(torch.__version__), np.__version__)
    for (name, least), version in zip(_LEAST, versions, strict=True):
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers < least:
            return f"it runs {name} {version.split()[0]}, and vgrad needs {least[0]}.{least[1]} or newer"
    return ""


def _call(function: str, folder: str, package: str) -> None:
    if "vgrad" not in sys.modules:  # found by its path alone: sys.path is the script's
        file = os.path.join(package, "__init__.py")  # noqa: PTH118  # nothing is imported here
        spec = importlib.util.spec_from_file_location("vgrad", file, submodule_search_locations=[package])
        if spec is None or spec.loader is None:
            raise ImportError(f"there is no package at {package}")
        sys.modules["vgrad"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    from vgrad.run import injected

    getattr(injected, function)(folder)
