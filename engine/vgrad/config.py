"""`RunConfig` describes a run wholly: a TOML file, flags and `vgrad.build` give the same run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vgrad.controls import MAX_ACCUMULATION_STEPS, MAX_LR_SCALE, MIN_LR_SCALE, Controls
from vgrad.errors import ConfigError
from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue

DEFAULT_RECIPE = "charlm-rnn"


def parse_clip(text: str) -> Clip | None:
    """Read ``"off"``, ``"norm:1.0"`` or ``"value:0.5"``.

    Raises:
        ConfigError: If the text is none of these.
    """
    kind, _, threshold = text.strip().partition(":")
    try:
        match kind:
            case "off" | "none" if not threshold:
                return None
            case "norm":
                return ClipGradNorm(float(threshold or 1.0))
            case "value":
                return ClipGradValue(float(threshold or 0.5))
    except ConfigError:
        raise
    except ValueError:
        pass  # not a number: the message below says what is
    raise ConfigError(f"clip must be off, norm:NUMBER or value:NUMBER, got {text[:40]!r}")


def format_clip(clip: Clip | None) -> str:
    """The text that `parse_clip` reads back as ``clip``."""
    match clip:
        case ClipGradNorm(max_norm=threshold):
            return f"norm:{threshold!r}"
        case ClipGradValue(clip_value=threshold):
            return f"value:{threshold!r}"
        case None:
            return "off"


def _checked_clip(text: object) -> object:
    return format_clip(parse_clip(text)) if isinstance(text, str) else text


class RunConfig(BaseModel):
    """A whole run. Every field has the default of `vgrad-tui run`; None leaves it to the recipe.

    Attributes:
        recipe: Name of a recipe, see `vgrad.recipes`.
        seed: Seed of the weights and of the data's order.
        device: ``auto`` (an accelerator where there is one), or a torch device.
        steps: Optimizer steps to run, or None for no end.
        text: Text file for the recipes that read text.
        clip: ``off``, ``norm:MAX_NORM`` or ``value:CLIP_VALUE``.
        accumulation_steps: Microbatches per optimizer step.
        lr: Base learning rate.
        lr_scale: Multiplies ``lr``.
        batch_size: Samples per microbatch.
        eval_every: Optimizer steps between two validations; 0 for only one at the end.
        watch_budget: Share of the step time for the dear statistics, 0 for none of them.
        threads: CPU threads for torch; 0 leaves torch's own choice.
        options: Settings of the recipe itself, such as ``{"hidden": 256}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = DEFAULT_RECIPE
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = "auto"
    steps: int | None = Field(default=None, ge=1)
    text: Path | None = None
    clip: Annotated[str, BeforeValidator(_checked_clip)] = "off"
    accumulation_steps: int = Field(default=1, ge=1, le=MAX_ACCUMULATION_STEPS)
    lr: float | None = Field(default=None, ge=1e-12, le=1e6, allow_inf_nan=False)
    lr_scale: float = Field(default=1.0, ge=MIN_LR_SCALE, le=MAX_LR_SCALE, allow_inf_nan=False)
    batch_size: int | None = Field(default=None, ge=1, le=1_000_000)
    eval_every: int = Field(default=100, ge=0)
    watch_budget: float = Field(default=0.02, ge=0, le=1, allow_inf_nan=False)
    threads: int = Field(default=1, ge=0, le=1024)
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)

    @classmethod
    def make(cls, /, **values: Any) -> Self:
        """Validate ``values`` and return the config.

        Raises:
            ConfigError: With one line for each value that makes no sense.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(_readable(error)) from None

    @classmethod
    def read(cls, path: str | Path, /, **overrides: Any) -> Self:
        """Read a TOML file; ``overrides`` (flags) win over the file.

        Raises:
            ConfigError: If the file cannot be read, is no TOML, or holds nonsense.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError as error:  # no UTF-8, no TOML, or a number with thousands of digits
            raise ConfigError(f"{path} is not a TOML file: {error}") from None
        options, more = values.get("options", {}), overrides.pop("options", {})
        if isinstance(options, dict):  # anything else is for `make` to refuse
            options = {**options, **more}
        return cls.make(**{**values, **overrides, "options": options})

    def controls(self) -> Controls:
        """The controls at the first step."""
        return Controls(
            clip=parse_clip(self.clip),
            accumulation_steps=self.accumulation_steps,
            lr_scale=self.lr_scale,
        )


def _readable(error: ValidationError) -> str:
    """Pydantic's findings, one line each, without its type codes and links."""
    lines = []
    for finding in error.errors(include_url=False):
        name = ".".join(str(part) for part in finding["loc"]) or "config"
        lines.append(f"{name}: {finding['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
