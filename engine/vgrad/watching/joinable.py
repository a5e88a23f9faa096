"""What a watch joins whose optimizers are watched already: together they are one run.

That is the watch of the whole process, or another watch of the script on one of the same optimizers.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

from vgrad.watching import at_exit
from vgrad.watching.backward_hooks import listen, stop_listening
from vgrad.watching.every_optimizer import every_optimizer_of_this_process
from vgrad.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer


class Joinable(Protocol):
    """A watch that leaves optimizers to another one."""

    @property
    def watch(self) -> Watch:
        """The watch."""

    def leave(self, optimizers: Sequence[Optimizer]) -> None:
        """Watch ``optimizers`` no more: the parts end that have one of them."""

    def part_added(self) -> None:
        """The watch has one more part."""

    def take_back(self, optimizers: Sequence[Optimizer]) -> None:
        """Nobody else watches ``optimizers`` any more."""


def joinable_watch(optimizers: Sequence[Optimizer]) -> Joinable | None:
    """What a watch of ``optimizers`` joins; None where they are watched by nobody."""
    every = every_optimizer_of_this_process()
    if every is not None:
        return every
    found = [each for each in map(_own_watch_of, at_exit.still_open()) if each is not None]
    theirs = [each for each in found if each.has_any(optimizers)]
    for other in theirs[1:]:  # of another run, where they are watched no more
        other.leave(optimizers)
    return theirs[0] if theirs else None


class OwnWatch:
    """A watch of the script's own, whose parts are given to others that join it.

    Args:
        watch: The watch; not one that has joined another.

    Attributes:
        guard: Takes errors of ours that must not reach the loop.
        watch: The same.
    """

    def __init__(self, watch: Watch) -> None:
        self.guard = watch.guard
        self._watch = weakref.ref(watch)
        self._given: list[tuple[nn.Module, Sequence[Optimizer]]] = []
        watch.on_close(self._forget)

    @property
    def watch(self) -> Watch:
        """The watch, which is open."""
        watch = self._watch()
        assert watch is not None  # the caller has found it among those that are open
        return watch

    def has_any(self, optimizers: Sequence[Optimizer]) -> bool:
        """Whether the watch has one of ``optimizers``, or has given it to another."""
        watched = [part.optimizers for part in self.watch.parts]
        return any(_overlap(optimizers, own) for own in (*watched, *(given for _, given in self._given)))

    def leave(self, optimizers: Sequence[Optimizer]) -> None:
        """Watch ``optimizers`` no more: the parts end that have one of them."""
        for part in self.watch.parts:
            if _overlap(optimizers, part.optimizers):
                self.watch.remove(part)
                if not any(_overlap(part.optimizers, given) for _, given in self._given):
                    self._given.append((part.model, part.optimizers))

    def part_added(self) -> None:
        """The watch has one more part."""

    def take_back(self, optimizers: Sequence[Optimizer]) -> None:
        """From the next backward pass on, watch those of ``optimizers`` again that were given away."""
        watch = self._watch()
        if watch is not None and not watch.is_closed and self._returned():
            listen(self)

    def before_backward(self) -> None:
        """A backward pass begins."""
        stop_listening(self)
        watch = self._watch()
        if watch is None or watch.is_closed:
            return
        for model, optimizers in self._returned():
            self._given.remove((model, optimizers))
            watch.add(model, optimizers)

    def after_backward(self) -> None:
        """A backward pass has ended."""

    def _returned(self) -> list[tuple[nn.Module, Sequence[Optimizer]]]:
        watched = [part.optimizers for part in self.watch.parts]
        return [given for given in self._given if not any(_overlap(given[1], own) for own in watched)]

    def _forget(self) -> None:
        stop_listening(self)
        self._given.clear()


# A watch holds its `OwnWatch`; this must not, for that holds the guard, and the guard the watch.
_own_watches: weakref.WeakKeyDictionary[Watch, weakref.ref[OwnWatch]] = weakref.WeakKeyDictionary()


def _own_watch_of(watch: object) -> OwnWatch | None:
    if type(watch) is not Watch:  # one that has joined another
        return None
    known = _own_watches.get(watch)
    own = None if known is None else known()
    if own is None:
        own = OwnWatch(watch)
        _own_watches[watch] = weakref.ref(own)
    return own


def _overlap(these: Sequence[Optimizer], those: Sequence[Optimizer]) -> bool:
    return not {id(each) for each in these}.isdisjoint(map(id, those))
