"""Errors inside vgrad are seen here as well, and torch is found as it was."""

from tests.engine.watching.conftest import no_guard, nothing_left_on_torch

__all__ = ["no_guard", "nothing_left_on_torch"]
