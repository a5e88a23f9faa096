"""A kind of loop, and what a run of it is labelled with. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from vgrad.lab.accuracy.labels import Label


@dataclass(frozen=True, slots=True)
class ForeignKind:
    """One kind of run.

    Attributes:
        name: Also the name of its loop.
        label: What a run of this kind has, unless its outcome says otherwise.
        why: The reason for the label.
    """

    name: str
    label: Label
    why: str


def kinds_of(label: Label, **whys: str) -> tuple[ForeignKind, ...]:
    """Kinds that share a label, by name: the reason of each."""
    return tuple(ForeignKind(name, label, why) for name, why in whys.items())
