"""What is different about parameters that are sharded over ranks, and which ones cannot be watched at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls.capabilities import Refusal
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf
from vgrad.errors import ConfigError
from vgrad.gradients.module_tree import modules_of
from vgrad.ranks.group import find_group
from vgrad.ranks.meeting import require_all_ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from vgrad.gradients.rank_sums import RankSums
    from vgrad.watching.hooks import StepHooks

_REASON = "cannot be used on gradients that are sharded over ranks (FSDP2)"
_FSDP1 = (
    "FSDP1 keeps gradients as pieces of flat parameters, which belong to no layer: use FSDP2 "
    "(torch.distributed.fsdp.fully_shard) to watch this model"
)
DEEPSPEED = (
    "DeepSpeed steps flat partitions of its own, and the gradients of the model's parameters are not there "
    "(p.grad is None): use DDP or FSDP2 (torch.distributed.fsdp.fully_shard) to watch this model"
)
# What acts on single entries, or through norms alone, is exact on pieces.
_EXACT = {"clip", "skip_non_finite", "freeze", "lr_scale", "schedule"}
_EXACT_CLIPS = {"norm", "value", "tensor", "zclip", "autoclip"}


def refusals_if_sharded() -> Iterator[Refusal]:
    """Every control that would take a piece of a gradient for the whole."""
    for name, control in CONTROLS.items():
        if name not in _EXACT:
            yield Refusal(name, "", _REASON)
        elif isinstance(control, OneOf) and name == "clip":
            for variant in control.variants.values():
                if variant.word not in _EXACT_CLIPS:
                    yield Refusal(name, variant.word, _REASON)


def require_watched_ranks(part: str, *, joins_midway: bool) -> None:
    """Check that all ranks are about to watch their pieces: their norms are joined in a sum of all.

    Args:
        part: Name of the part of the run that holds them, the same on every rank.
        joins_midway: Whether this process has trained before.

    Raises:
        ConfigError: If a rank is not watched, or this process has trained before.
    """
    if joins_midway:
        raise ConfigError(
            "sharded gradients can be watched from the start alone, on every rank: torchrun -m vgrad train.py"
        )
    group = find_group(part)
    if group is not None:
        try:
            require_all_ranks(group)
        except RuntimeError as error:
            raise ConfigError(f"the store of the process group cannot be reached: {error}") from None


def remove_hooks(hooks: StepHooks, sums: RankSums | None) -> None:
    """Take ``hooks`` off; where the other ranks wait for this one at the next step, tell them there first.

    Args:
        hooks: The hooks in which the gradients of one optimizer were read.
        sums: Adds up over the ranks; None where the gradients are whole.
    """
    if sums is None or sums.is_over:
        hooks.remove()
    else:
        hooks.remove_at_next_step(sums.leave)


def require_own_gradients(model: nn.Module) -> None:
    """Check that the gradients of ``model`` are where they can be read.

    Raises:
        ConfigError: If a library keeps them elsewhere.
    """
    for module in modules_of(model):
        for kind in type(module).__mro__:
            if kind.__name__ == "DeepSpeedEngine":
                raise ConfigError(DEEPSPEED)
            if kind.__name__ == "FullyShardedDataParallel":
                raise ConfigError(_FSDP1)
