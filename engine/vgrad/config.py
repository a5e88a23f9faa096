"""The whole description of a run: a TOML file, flags and `vgrad.build` give the same one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.printable import printable
from vgrad.validation import brief, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT_RECIPE = "charlm-rnn"
DEFAULT_FUNCTION = "build"
"""The function of a task file, unless another is named."""

_NUMBERS = ("seed", "steps", "lr", "batch_size", "eval_every", "watch_budget", "threads")


if TYPE_CHECKING:
    _ControlTexts = BaseModel
else:  # one field for each control
    _ControlTexts = create_model("_ControlTexts", **dict.fromkeys(CONTROLS, (str | None, None)))


class RunConfig(_ControlTexts):
    """A whole run. Every field has the default of `vgrad-tui run`; None leaves it to the recipe.

    Besides these there is a field for each control of `vgrad.controls.catalog.CONTROLS`: what the
    control is at the first step, as text such as ``clip="norm:1"``.

    Attributes:
        recipe: Name of a recipe, see `vgrad.recipes.registry`, or a task file with the function in it,
            ``my_task.py`` or ``my_task.py:function``, see `vgrad.run.task_file`.
        seed: Seed of the weights and of the data's order.
        device: ``auto`` (an accelerator where there is one), or a torch device.
        steps: Optimizer steps to run, or None for no end.
        text: Text file for the recipes that read text.
        lr: Base learning rate of the recipe's own optimizer.
        batch_size: Samples per microbatch.
        eval_every: Optimizer steps between two validations; 0 for only one at the end.
        watch_budget: Share of the step time for the expensive statistics, 0 for none of them.
        threads: CPU threads for torch; 0 leaves torch's own choice.
        options: Settings of the recipe or the task file itself, such as ``{"hidden": 256}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = DEFAULT_RECIPE
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = "auto"
    steps: int | None = Field(default=None, ge=1)
    text: Path | None = None
    lr: float | None = Field(default=None, ge=1e-12, le=1e6, allow_inf_nan=False)
    batch_size: int | None = Field(default=None, ge=1, le=1_000_000)
    eval_every: int = Field(default=100, ge=0)
    watch_budget: float = Field(default=0.02, ge=0, le=1, allow_inf_nan=False)
    threads: int = Field(default=1, ge=0, le=1024)
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)

    @field_validator(*CONTROLS, mode="before")
    @classmethod
    def _canonical(cls, value: object, info: ValidationInfo) -> str | None:
        """The one text for what was typed: ``4`` and ``mean:4`` are the same run."""
        if value is None:
            return None
        control = find_control(info.field_name)
        return control.format(control.read("on" if value is True else "off" if value is False else value))

    @field_validator(*_NUMBERS, mode="before")
    @classmethod
    def _no_truth(cls, value: object) -> object:
        """Pydantic reads true as 1, but the person who wrote it meant something else."""
        if isinstance(value, bool):
            raise ValueError(f"must be a number, got {str(value).lower()}")  # noqa: TRY004  # pydantic wants it
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _flat(cls, value: object) -> object:
        """``model.hidden = 8`` in a TOML file is a table in a table: one dotted name for it."""
        if not isinstance(value, dict):
            return value
        flat: dict[object, object] = {}
        for name, inner in value.items():
            if isinstance(inner, dict):
                flat.update({f"{name}.{part}": setting for part, setting in inner.items()})
            else:
                flat[name] = inner
        return flat

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

    @property
    def task_file(self) -> tuple[Path, str] | None:
        """The task file and the name of its function; None for a recipe."""
        path, _, function = self.recipe.rpartition(".py:")
        if path and function:
            return Path(f"{path}.py"), function
        return (Path(self.recipe), DEFAULT_FUNCTION) if self.recipe.endswith(".py") else None

    @property
    def name(self) -> str:
        """What to call the run: the recipe's name, or the task file's without folder and ending."""
        return printable(self.recipe if self.task_file is None else self.task_file[0].stem)

    def to_data(self) -> dict[str, object]:
        """Every setting as plain data, which JSON can hold and `make` reads; paths are absolute there."""
        data: dict[str, object] = self.model_dump(mode="json")
        if self.text is not None:
            data["text"] = str(self.text.absolute())
        if self.task_file is not None:  # with its function, where that is named
            data["recipe"] = str(Path(self.recipe).absolute())
        return data

    def controls(self, defaults: Mapping[str, str] = MappingProxyType({})) -> Controls:
        """The controls at the first step: this config's, else the recipe's ``defaults``."""
        texts = {**defaults, **{name: text for name in CONTROLS if (text := getattr(self, name)) is not None}}
        values: dict[str, Any] = {name: find_control(name).read(text) for name, text in texts.items()}
        return Controls(**values)


def _readable(error: ValidationError) -> str:
    """Pydantic's findings, one line each, without its type codes and links."""
    lines = []
    for finding in error.errors(include_url=False):
        name = ".".join(str(part) for part in finding["loc"]) or "config"
        lines.append(f"{name}: {_in_words(name, finding)}")
    return "\n".join(lines)


_IN_WORDS = {
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "must be a finite number"),
    "string_type": "must be text",
    "dict_type": "must be a table of settings",
}


def _in_words(name: str, finding: ErrorDetails) -> str:
    kind = finding["type"]
    if kind == "extra_forbidden":
        fields = RunConfig.model_fields
        listed = sorted(fields, key=lambda field: field in CONTROLS)  # the controls last
        return f"there is no such setting{did_you_mean(name, fields)} (settings: {', '.join(listed)})"
    if kind in _IN_WORDS:
        return f"{_IN_WORDS[kind].format(**finding.get('ctx', {}))}, got {brief(finding['input'])}"
    return finding["msg"].removeprefix("Value error, ")
