"""Every control and all that it can be set to, once: flags, TOML keys and the screen are made from this."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vgrad.controls.choices import Control, Number, OneOf, Variant, Word, kinds
from vgrad.errors import ConfigError
from vgrad.methods.accumulate import MeanOver, SumOver
from vgrad.methods.adaptive_clip import AGC, AutoClip, ZClip
from vgrad.methods.article import (
    AscendAsCoded,
    DoubleAsCoded,
    FloorAsPrinted,
    FloorSigned,
    HoardAsProse,
    PerturbAsProse,
)
from vgrad.methods.centralize import CentralizeGrads
from vgrad.methods.clip import ClipEachTensor, ClipGradNorm, ClipGradValue
from vgrad.methods.deep_supervision import DeepSupervision
from vgrad.methods.freeze import Freeze
from vgrad.methods.lars import LARS
from vgrad.methods.noise import AddGradNoise
from vgrad.methods.omega import Omega
from vgrad.methods.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSprop
from vgrad.methods.precision import BFloat16, Float16, Float32
from vgrad.methods.sam import SAM
from vgrad.methods.schedules import Constant, StepDecay, WarmupCosine
from vgrad.methods.skip_non_finite import SkipNonFinite

MIN_LR_SCALE, MAX_LR_SCALE = 1e-12, 1e6

_OFF = Variant("off", None, "off")

CLIP = OneOf(
    "clip",
    "clip",
    "Make gradients that are too large smaller",
    kinds(
        Variant(
            "norm", ClipGradNorm, "joint norm",
            helps="explosions", fails="vanishing; weights already blown up",
            source="Pascanu 2013, arXiv:1211.5063",
        ),
        Variant(
            "value", ClipGradValue, "every value",
            helps="explosions", fails="changes the direction",
            source="torch.nn.utils.clip_grad_value_; the article's 4.2",
        ),
        Variant(
            "tensor", ClipEachTensor, "each tensor's norm",
            helps="one bad layer", fails="changes the joint direction",
        ),
        Variant(
            "agc", AGC, "adaptive, by unit",
            helps="large batches", fails="vanishing", source="Brock 2021, arXiv:2102.06171",
        ),
        Variant(
            "zclip", ZClip, "adaptive, by z-score",
            helps="rare spikes", fails="early explosions without its cap", source="arXiv:2504.02507",
        ),
        Variant(
            "autoclip", AutoClip, "adaptive, by percentile",
            helps="unknown scale", fails="vanishing", source="arXiv:2007.14469",
        ),
        Variant(
            "floor-as-printed", FloorAsPrinted, "floor, as printed", as_printed=True,
            fails="throws the sign away: weights drift",
            source="the article, 3.2",
        ),
        Variant(
            "floor-signed", FloorSigned, "floor, sign kept", as_printed=True,
            helps="sometimes a small gradient", fails="lost direction", source="the article, 3.2, repaired",
        ),
        _OFF,
    ),
)  # fmt: skip

ACCUMULATE = OneOf(
    "accumulate",
    "accumulate",
    "Use several microbatches for one optimizer step",
    kinds(
        Variant(
            "mean", MeanOver, "mean over all items",
            helps="noisy small batches", fails="vanishing",
        ),
        Variant(
            "sum", SumOver, "sum of the means",
            fails="multiplies the learning rate by the number of microbatches",
        ),
        Variant(
            "as-coded", DoubleAsCoded, "g + g, as coded", as_printed=True,
            fails="twice the learning rate under SGD, nothing at all under Adam",
            source="the article, 4.3",
        ),
        Variant(
            "as-prose", HoardAsProse, "never cleared, as in prose", as_printed=True,
            fails="oscillates without damping", source="the article, 3.3",
        ),
    ),
    shorthand="mean",
)  # fmt: skip

DETECT = OneOf(
    "detect",
    "detection",
    "The article's gradient detection, and the standard method of looking around",
    kinds(
        Variant(
            "sam", SAM, "sharpness-aware",
            helps="generalisation", fails="vanishing; costs a second pass",
            source="Foret 2020, arXiv:2010.01412",
        ),
        Variant(
            "as-coded", AscendAsCoded, "p + 0.1 g, as coded", as_printed=True,
            fails="climbs the loss: at lr 0.1 it freezes SGD exactly", source="the article, 4.1",
        ),
        Variant(
            "as-prose", PerturbAsProse, "random kicks, as in prose", as_printed=True,
            fails="noise in the weights, never undone", source="the article, 3.1",
        ),
        Variant(
            "formula", DeepSupervision, "every layer's own loss, by the formula", as_printed=True,
            helps="depth: it is deep supervision", fails="models without a head for every layer",
            source="the article, 3.1",
        ),
        _OFF,
    ),
)  # fmt: skip

CONTROLS: Mapping[str, Control] = MappingProxyType({control.name: control for control in (
    DETECT,
    ACCUMULATE,
    OneOf(
        "skip_non_finite", "skip non-finite", "Drop a step whose gradient holds NaN or inf",
        kinds(
            Variant("on", SkipNonFinite, "on", helps="one bad batch", fails="weights already blown up"),
            _OFF,
        ),
    ),
    OneOf(
        "freeze", "freeze layers", "Do not train the layers whose names match",
        kinds(Variant("layers", Freeze, "by name", helps="fine-tuning, comparisons"), _OFF),
        shorthand="layers",
    ),
    OneOf(
        "centralize", "centralise", "Take the mean out of every unit's gradient",
        kinds(
            Variant(
                "on", CentralizeGrads, "on",
                helps="conditioning", fails="vanishing, explosions", source="arXiv:2004.01461",
            ),
            _OFF,
        ),
    ),
    OneOf(
        "normalize", "normalise", "Give every layer a step in proportion to its weights",
        kinds(
            Variant(
                "lars", LARS, "LARS",
                helps="uneven scale, both ways", fails="lost direction", source="arXiv:1708.03888",
            ),
            _OFF,
        ),
        shorthand="lars",
    ),
    OneOf(
        "omega", "Pascanu's Ω", "Keep the gradient's norm as it flows back through time",
        kinds(
            Variant(
                "pascanu", Omega, "Ω",
                helps="vanishing in time", fails="explosions: use it with clipping",
                source="Pascanu 2013, arXiv:1211.5063, eq. 9-10",
            ),
            _OFF,
        ),
        shorthand="pascanu",
    ),
    CLIP,
    OneOf(
        "noise", "gradient noise", "Add Gaussian noise that fades, after clipping",
        kinds(
            Variant(
                "gaussian", AddGradNoise, "Gaussian",
                helps="some poor initialisations", fails="made our runs worse", source="arXiv:1511.06807",
            ),
            _OFF,
        ),
        shorthand="gaussian",
    ),
    OneOf(
        "precision", "precision", "What the forward and backward passes compute in",
        kinds(
            Variant("fp32", Float32, "float32"),
            Variant("bf16", BFloat16, "bfloat16", helps="speed, where the device has it"),
            Variant(
                "fp16", Float16, "float16 with loss scaling",
                helps="speed, where the device has it", fails="underflows where the scale is too small",
                source="torch.amp",
            ),
        ),
    ),
    OneOf(
        "optimizer", "optimizer", "What turns gradients into steps; a new one starts with an empty memory",
        kinds(
            Variant("recipe", None, "the recipe's own"),
            Variant("sgd", SGD, "SGD"),
            Variant("momentum", Momentum, "SGD with momentum"),
            Variant("nesterov", Nesterov, "SGD with Nesterov momentum"),
            Variant("adam", Adam, "Adam", helps="uneven scale over layers", fails="lost direction"),
            Variant("adamw", AdamW, "AdamW", helps="uneven scale over layers", fails="lost direction"),
            Variant("rmsprop", RMSprop, "RMSprop", helps="uneven scale over layers", fails="lost direction"),
        ),
    ),
    OneOf(
        "schedule", "lr schedule", "How the base learning rate changes with the step",
        kinds(
            Variant("constant", Constant, "constant"),
            Variant("cosine", WarmupCosine, "warm-up, then cosine"),
            Variant("step", StepDecay, "steps"),
        ),
    ),
    Number(
        "lr_scale", "lr ×", "Multiplies the learning rate that recipe and schedule give",
        MIN_LR_SCALE, MAX_LR_SCALE,
    ),
    Word(
        "activation", "activation", "The model's nonlinearity; weights are kept",
        ("sigmoid", "tanh", "relu", "gelu", "leaky_relu", "elu", "selu"),
    ),
    Word("skip", "skip connections", "Add each layer's input to its output; weights are kept", ("on", "off")),
    Word("layer_norm", "layer norm", "Normalise each layer's output, without new weights", ("on", "off")),
)})  # fmt: skip


def find_control(name: object) -> Control:
    """The control called ``name``.

    Raises:
        ConfigError: If there is none; says which there are.
    """
    control = CONTROLS.get(name.replace("-", "_")) if isinstance(name, str) else None
    if control is None:
        raise ConfigError(f"no control is called {str(name)[:40]!r} (controls: {', '.join(CONTROLS)})")
    return control


def label(name: str, value: object) -> str:
    """A control and a value of it in a few words: ``"clip norm 1"``, ``"centralise"``.

    Raises:
        ConfigError: If there is no such control, or it cannot have this value.
    """
    control = find_control(name)
    shown = control.shown(value)
    is_plain = isinstance(control, OneOf) and shown == "on"
    return control.title if is_plain else f"{control.title} {shown}"
