"""Where a forward pass stops being finite: the first module whose output is not, though its inputs are."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGE = 88.0  # the exponential of more is infinite in float32
_HALF_MAX = 65504.0


def first_non_finite_in_words(model: nn.Module, forward: Callable[[], object], targets: object = None) -> str:
    """Run a forward pass again and say where it first stops being finite.

    Buffers and the random state are as before afterwards, and no gradient is computed. Where the pass draws
    random numbers it is another draw, and may be finite.

    Args:
        model: The model, with the weights of the pass in question.
        forward: Runs the model and its loss on the batch in question, and returns the loss.
        targets: What the loss function compares the outputs with: a tensor, or tuples, lists and dicts of
            them.

    Returns:
        The module by name, and what its inputs looked like; or that the targets or the loss function are
        where it began; or that the second pass was finite.
    """
    for name, param in model.named_parameters():
        if not bool(param.isfinite().all()):
            return f"the weights of {name} were not finite already"
    found, outputs, loss = _forward_again(model, forward)
    if found:
        return f"it began in {found}"
    if isinstance(loss, Tensor) and bool(loss.isfinite().all()):
        return "the same batch gave a finite loss when it was run again: it is not known where it began"
    if not _are_finite(_tensors(targets)):
        return "it began in the targets, which are not finite themselves"
    return f"it began in the loss function, whose inputs {_sizes(outputs)}"


def _forward_again(model: nn.Module, forward: Callable[[], object]) -> tuple[str, list[Tensor], object]:
    """Where the pass stops being finite in the model, in words, if it does; the model's outputs; the loss."""
    found: list[str] = []
    outputs: list[Tensor] = []

    def look(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        outputs[:] = _tensors(output)
        inputs = _tensors((args, kwargs))
        if not found and _are_finite(inputs) and not _are_finite(outputs):
            found.append(f"{name or 'the model'} ({type(module).__name__}): {_looks(inputs, outputs)}")
        elif not found and not name and not _are_finite(inputs):
            found.append("the inputs of the model, which are not finite themselves")

    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.no_grad())
        for name, module in model.named_modules():
            hook = module.register_forward_hook(
                lambda module, args, kwargs, output, name=name: look(name, module, args, kwargs, output),
                with_kwargs=True,
            )
            stack.callback(hook.remove)
        try:
            loss = forward()
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
    return (found[0] if found else ""), outputs, loss


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor) and each.is_floating_point()]


def _are_finite(tensors: list[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _looks(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """What was put in, and what that may mean."""
    largest = max((float(each.abs().max()) for each in inputs if each.numel()), default=0.0)
    what = f"its inputs {_sizes(inputs)}"
    if any(each.dtype == torch.float16 for each in outputs):
        return f"{what}: float16 ends at {_HALF_MAX:,.0f}"
    if any(bool(each.isinf().any()) for each in outputs):
        overflows = "an exponential or a product of such numbers overflows"
        return f"{what}: {overflows if largest > _LARGE else 'it may be a log of 0, or a division by 0'}"
    return what


def _sizes(tensors: list[Tensor]) -> str:
    known = [each.detach().abs() for each in tensors if each.numel()]
    if not known:
        return "are no tensors"
    largest = max(float(each.max()) for each in known)
    zeros = ", some of them exactly 0" if any(bool((each == 0).any()) for each in known) else ""
    return f"were up to {largest:.3g}{zeros}"
