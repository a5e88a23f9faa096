"""What can be used on a part of a watched run: as in any loop, but for what its parameters do not allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.optim import LBFGS

from vgrad.controls.capabilities import Refusal, in_any_loop, without_dense
from vgrad.controls.catalog import CONTROLS
from vgrad.gradients.gradient_reader import has_sparse_module
from vgrad.gradients.sharded import is_sharded
from vgrad.watching.by_hand import UpdatesByHand, refusals_by_hand
from vgrad.watching.chain import why_not_dense
from vgrad.watching.gradient_tap import EVALUATED_AGAIN
from vgrad.watching.sharded_part import refusals_if_sharded
from vgrad.watching.step_rates import refusals_without_rate
from vgrad.watching.stepped_in_backward import NEVER_TOGETHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import nn

    from vgrad.controls.capabilities import Capabilities


class PartCapabilities:
    """What can be used on some parameters.

    It becomes less where their gradients turn out not to be dense, or a step to evaluate its loss again.

    Args:
        model: The model.
        optimizers: Its optimizer; several only if each has a single parameter.
        params: The parameters.

    Attributes:
        known: What can be used, as far as it is known now.
    """

    def __init__(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], params: Sequence[nn.Parameter]
    ) -> None:
        self.known: Capabilities = in_any_loop()
        self._is_dense_refused = False
        if any(map(is_sharded, params)):
            self.known = self.known.without(*refusals_if_sharded())
        if has_sparse_module(model) or any(param.is_complex() for param in params):
            self.refuse_dense(params)
        if len(optimizers) > 1:
            self.known = self.known.without(*_refusals_of_single_params())
        if isinstance(optimizers[0], UpdatesByHand):
            self.known = self.known.without(*refusals_by_hand())
        if isinstance(optimizers[0], LBFGS):
            self.refuse_accumulation()
        self.known = self.known.without(*refusals_without_rate(optimizers))

    def refuse_for(self, reason: str, params: Sequence[nn.Parameter]) -> None:
        """Refuse from now on what ``reason`` forbids, for which a control could not be carried out."""
        if why_not_dense(params) in reason:
            self.refuse_dense(params)
        if reason == EVALUATED_AGAIN:
            self.refuse_accumulation()

    def refuse_dense(self, params: Sequence[nn.Parameter]) -> None:
        """Refuse from now on what needs all entries of the gradients of ``params``; twice is as once."""
        if not self._is_dense_refused:
            self._is_dense_refused = True
            self.known = self.known.without(*without_dense(why_not_dense(params)))

    def refuse_accumulation(self) -> None:
        """Refuse accumulation from now on: steps evaluate their loss several times. Twice is as once."""
        if not self.known.why_not("accumulate"):
            self.known = self.known.without(Refusal("accumulate", "", EVALUATED_AGAIN))


def _refusals_of_single_params() -> Iterator[Refusal]:
    """Everything but the learning rate, where optimizers step one parameter at a time."""
    return (Refusal(name, "", NEVER_TOGETHER) for name in CONTROLS if name not in {"lr_scale", "schedule"})
