"""How parameters are grouped into layers, and what the layers are called."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np

from vgrad.errors import ConfigError
from vgrad.gradients.module_tree import modules_of, named_modules, own_params, params_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The trainable parameters of a model, grouped into named layers.

    Attributes:
        names: One name per layer, in the model's parameter order.
        params: All trainable parameters, each once; a layer's are neighbours.
        starts: Index into ``params`` of each layer's first, int64 of shape ``(num_layers,)``.
        sizes: Number of entries of each layer.
        param_names: Name of each of ``params``, as `named_parameters` has it.
        last_linear: Weight and bias of the layer that makes the output; see `find_layers`.
    """

    names: tuple[str, ...]
    params: tuple[nn.Parameter, ...]
    starts: NDArray[np.int64]
    sizes: tuple[int, ...]
    param_names: tuple[str, ...]
    last_linear: frozenset[nn.Parameter]

    def params_of(self, index: int) -> tuple[nn.Parameter, ...]:
        """The parameters of layer number ``index``."""
        start, stop = self.span(index)
        return self.params[start:stop]

    def span(self, index: int) -> tuple[int, int]:
        """Start and end in ``params`` of layer number ``index``."""
        stop = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.params)
        return int(self.starts[index]), int(stop)

    def reduce(self, norms: NDArray[np.floating]) -> NDArray[np.float32]:
        """Join L2 norms per parameter, ``(..., num_params)``, into norms per layer, ``(..., num_layers)``."""
        with np.errstate(all="ignore"):  # norms of float64 may be infinite, or 0, as float32
            if len(self.starts) == len(self.params):
                return norms.astype(np.float32)
            squares = np.square(norms, dtype=np.float64)  # float32 squares would overflow from 2e19 on
            return np.sqrt(np.add.reduceat(squares, self.starts, axis=-1)).astype(np.float32)


def find_layers(
    model: nn.Module, params: Iterable[Tensor] | None = None, *, name_of: Callable[[str], str] = str
) -> Layers:
    """Group a model's trainable parameters into layers. Parameters without an entry are left out.

    A module that owns at most one weight matrix is one layer under its own name: a Linear
    with its bias, an Embedding, a LayerNorm. A module that owns several (RNN, LSTM, attention)
    gives a layer per parameter, such as ``rnn.weight_hh_l0``, because the recurrent matrix is the
    interesting one. A shared parameter counts once, where it first appears.

    The last linear layer is the last registered module that owns exactly one matrix and is no
    embedding. So a recurrent network does not count, and an embedding tied to the head counts as the
    head, because it is the head's weight. A head that is not a module, as in ``F.linear(x, embed.weight)``,
    cannot be seen: the layer before it is taken for the last one.

    Args:
        model: The model.
        params: Look at these only. One that is not in the model makes a layer of its own at the end, called
            ``params.INDEX``.
        name_of: What to call the module that the model knows by a name; the empty name is the model itself.

    Raises:
        ConfigError: If none of them is trainable, one is a tensor of a kind that cannot be read, or the model
            has lazy layers without weights.
    """
    require_initialised(params_of(model))
    wanted = None if params is None else {id(param): param for param in params}
    names: list[str] = []
    found: list[nn.Parameter] = []
    param_names: list[str] = []
    starts: list[int] = []
    seen: set[int] = set()
    for registered_name, module in named_modules(model):
        module_name = name_of(registered_name)
        own = []
        for name, param in own_params(module):
            is_wanted = wanted is None or id(param) in wanted
            if is_wanted and id(param) not in seen and _is_trainable(param):
                seen.add(id(param))
                own.append((name, param))
        together = sum(param.dim() >= 2 for _, param in own) <= 1 and module_name != ""
        for position, (name, param) in enumerate(own):
            if position == 0 or not together:
                starts.append(len(found))
                names.append(module_name if together else f"{module_name}.{name}".lstrip("."))
            found.append(param)
            param_names.append(f"{module_name}.{name}".lstrip("."))
    for index, loose in enumerate((wanted or {}).values()):
        if id(loose) not in seen and _is_trainable(loose):
            starts.append(len(found))
            names.append(f"params.{index}")
            found.append(cast("nn.Parameter", loose))
            param_names.append(f"params.{index}")
    if not found:
        raise ConfigError("the model has no trainable parameters: none requires a gradient and has entries")
    _require_readable(found, param_names)
    edges = [*starts, len(found)]
    sizes = tuple(sum(param.numel() for param in found[start:stop]) for start, stop in pairwise(edges))
    return Layers(
        tuple(names),
        tuple(found),
        np.array(starts, dtype=np.int64),
        sizes,
        tuple(param_names),
        _last_linear(model),
    )


def require_initialised(params: Iterable[Tensor]) -> None:
    """Check that all parameters have their weights.

    Raises:
        ConfigError: If one of them belongs to a lazy layer that has not been called yet.
    """
    from torch.nn.parameter import is_lazy

    if any(is_lazy(param) for param in params):
        raise ConfigError("the model has lazy layers without weights: call it on one batch first")


def _require_readable(params: Iterable[Tensor], names: Iterable[str]) -> None:
    """Check that parameters and gradients are tensors whose memory can be read, or pieces of such (DTensor).

    Raises:
        ConfigError: If one of them computes by rules of its own, as a quantised tensor does.
    """
    from torch import Tensor

    from vgrad.gradients.sharded import is_sharded

    for param, name in zip(params, names, strict=True):
        own_rules = type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__
        if own_rules and not is_sharded(param):
            kind = type(param).__name__
            raise ConfigError(f"{name} is a {kind}, which has no plain memory: its gradient cannot be read")


def _is_trainable(param: Tensor) -> bool:
    return param.requires_grad and param.numel() > 0


def _last_linear(model: nn.Module) -> frozenset[nn.Parameter]:
    from torch import nn

    last: frozenset[nn.Parameter] = frozenset()
    for module in modules_of(model):
        own = [param for _, param in own_params(module)]
        if sum(param.dim() == 2 for param in own) == 1 and not isinstance(module, nn.Embedding):
            last = frozenset(own)
    return last
