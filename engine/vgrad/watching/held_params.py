"""The parameters that the optimizers of a part hold, and the layers that they make."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from vgrad.gradients.layers import find_layers
from vgrad.watching.unwrap import plain_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor, nn

    from vgrad.gradients.layers import Layers


class HeldParams:
    """Knows the parameters of some optimizers, and when they have become others.

    Args:
        model: The model that names them.
        optimizers: The optimizers.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._model = model
        self._optimizers = optimizers
        self._num = 0
        self._frozen: list[Tensor] = []

    def find_layers(self) -> Layers:
        """The layers of those that are trainable now, under the names that the user gave the modules.

        Raises:
            ConfigError: If none of them is trainable.
        """
        groups = chain.from_iterable(optimizer.param_groups for optimizer in self._optimizers)
        held = [param for group in groups for param in group["params"]]
        layers = find_layers(self._model, held, name_of=plain_names(self._model))
        self._num = len(held)
        self._frozen = [param for param in held if not param.requires_grad]
        return layers

    @property
    def have_changed(self) -> bool:
        """Whether some were added to an optimizer, or unfrozen, since `find_layers`. Asked at every step."""
        num = 0
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                num += len(group["params"])
        return num != self._num or any(param.requires_grad for param in self._frozen)
