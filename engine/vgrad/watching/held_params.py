"""The parameters that the optimizers of a part hold, and the layers that they make."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from vgrad.gradients.layers import find_layers
from vgrad.watching.earlier_part import TrainedParams, versions
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
        self._held: list[list[Tensor]] = []  # of each parameter group
        self._frozen: list[Tensor] = []
        self._all: list[Tensor] = []
        self._versions: tuple[int, ...] = ()  # of the parameters, as the newest step left them

    def find_layers(self) -> Layers:
        """The layers of those that are trainable now, under the names that the user gave the modules.

        Raises:
            ConfigError: If none of them is trainable.
        """
        self._held = [list(group["params"]) for group in self._groups()]
        self._all = held = [param for group in self._held for param in group]
        layers = find_layers(self._model, held, name_of=plain_names(self._model))
        self._versions = versions(held)
        self._frozen = [param for param in held if not param.requires_grad]
        return layers

    def have_been_stepped(self) -> None:
        """A step has ended. Called at every step where a later optimizer may go on from here."""
        self._versions = versions(self._all)

    def trained(self) -> TrainedParams:
        """They, as the newest step left them."""
        return TrainedParams(self._all, self._versions)

    @property
    def have_changed(self) -> bool:
        """Whether some were added, removed, replaced or unfrozen since `find_layers`. Asked at every step."""
        groups, held = self._groups(), self._held
        if len(groups) != len(held):
            return True
        for index, group in enumerate(groups):
            params, before = group["params"], held[index]
            if len(params) != len(before) or not all(map(operator.is_, params, before)):
                return True
        return bool(self._frozen) and any(param.requires_grad for param in self._frozen)

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]
