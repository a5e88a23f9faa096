"""Names of the initialisations that `vgrad.train.init_weights` draws. Free of torch."""

from __future__ import annotations

INITS = ("torch", "xavier", "he", "orthogonal", "normal")
REINITS = (*INITS, "hh-orthogonal", "hh-identity")
