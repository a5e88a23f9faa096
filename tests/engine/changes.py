"""What can be set mid-run on any model: all variants of all controls but those that need a special model."""

from __future__ import annotations

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf

CHANGES = [
    (name, variant.word)
    for name, control in CONTROLS.items()
    if isinstance(control, OneOf)
    for variant in control.variants.values()
    if name not in ("omega", "freeze")
]
