"""From a recipe's name, a task file, or a whole config, to a trainer."""

from __future__ import annotations

import textwrap
from typing import Any

import torch

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.recipes.registry import build_task, get_recipe
from vgrad.run.task_file import build_from_file, require_source
from vgrad.train.trainer import Trainer


def build(
    recipe_or_config: str | RunConfig = "charlm-rnn", *, seed: int = 0, device: str = "auto", **settings: Any
) -> Trainer:
    """Build a trainer.

    Args:
        recipe_or_config: Name of a recipe, a task file such as ``my_task.py``, or a whole `RunConfig`.
        seed: Seed of the weights and of the data's order.
        device: ``auto`` (an accelerator where there is one), or a torch device.
        **settings: Further fields of `RunConfig`, such as ``clip="norm:1"``.

    Returns:
        A trainer at step 0.

    Raises:
        ConfigError: If a setting makes no sense, or comes beside a whole config.
        DataError: If the data cannot be used.
        MissingExtra: If the recipe needs a package that is not installed.
    """
    if isinstance(recipe_or_config, RunConfig):
        if settings or seed or device != "auto":
            raise ConfigError(
                "a RunConfig is the whole run: set its fields instead of passing others beside it"
            )
        config = recipe_or_config
    else:
        config = RunConfig.make(recipe=recipe_or_config, seed=seed, device=device, **settings)
    require_source(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    where = find_device(config.device)
    if config.task_file is not None:
        task, description = build_from_file(config, where)
        return Trainer(task, config, description)
    recipe = get_recipe(config.recipe)
    # All defaults filled in, so that two configs of the same run are equal.
    config = config.model_copy(
        update={"options": recipe.read_options(config), "batch_size": config.batch_size or recipe.batch_size}
    )
    return Trainer(build_task(config, where), config, recipe.summary, config.controls(recipe.controls))


def find_device(name: str) -> torch.device:
    """Return the device that ``name`` means here.

    Raises:
        ConfigError: If torch knows no such device, it is not there, or nothing can be read back
            from it, as from ``meta``.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if found is None else found
    refusal = f"device {name[:40]!r} cannot be used here"
    try:
        device = torch.device(name)
    except RuntimeError:  # torch's own message lists some twenty devices
        raise ConfigError(f"{refusal}: torch knows no such device; try --device cpu") from None
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # torch raises each of these for some device
        reason = textwrap.shorten(str(error), 60, placeholder=" …")
        raise ConfigError(f"{refusal}: {reason}; try --device cpu") from None
    return device
