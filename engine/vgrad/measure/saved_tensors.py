"""What a node of the graph has saved for its backward pass, read so that the pass does not notice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TELLS_HOOKS = hasattr(torch._C._autograd.SavedTensor, "unpack_hook")
"""Whether this version of torch says what stands before a saved tensor."""


def saved(node: Any, name: str) -> Tensor | None:
    """What ``node`` has saved under ``name``, as in ``node._saved_self``.

    None where there is nothing, where it was written to since or is gone, or is no plain tensor; also where a
    hook is known to stand before it: to call that may compute a whole module again, as activation
    checkpointing does.
    """
    try:
        raw = getattr(node, f"_raw_saved_{name}", None)
        if raw is None or getattr(raw, "unpack_hook", None) is not None:
            return None
        value = getattr(node, f"_saved_{name}")
    except RuntimeError:
        return None
    return value if type(value) is Tensor else None
