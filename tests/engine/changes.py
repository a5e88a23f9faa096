"""What can be set mid-run on any model: all kinds of all controls but those that want one of their own."""

from __future__ import annotations

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf

CHANGES = [
    (name, kind.word)
    for name, control in CONTROLS.items()
    if isinstance(control, OneOf)
    for kind in control.kinds.values()
    if name not in ("omega", "freeze")
]
