"""The list of all controls and of everything that each can be set to.

Made from this list: the flags of `vgrad-tui run`, the keys of a TOML file, the text form of every
value, and the list on the screen. Gradients pass through the controls of a step in this order. A new
control is a class in `vgrad.methods`, a row here and a field of `vgrad.controls.controls.Controls`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vgrad.controls.choices import Control, Number, OneOf, Variant, Word, variants
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
from vgrad.methods.structure import ACTIVATIONS, ON_OFF
from vgrad.validation import did_you_mean

MIN_LR_SCALE, MAX_LR_SCALE = 1e-12, 1e6

_OFF = Variant("off", None, "off")

CLIP = OneOf(
    "clip",
    "clip",
    "Shorten gradients that are too large",
    "chain",
    variants(
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
    "passes",
    variants(
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
    "The article's gradient detection, and SAM, the standard method of that kind",
    "passes",
    variants(
        Variant(
            "sam", SAM, "sharpness-aware",
            helps="generalisation", fails="vanishing; costs a second pass",
            source="Foret 2020, arXiv:2010.01412", own_loop=True,
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
            source="the article, 3.1", own_loop=True,
        ),
        _OFF,
    ),
)  # fmt: skip

CONTROLS: Mapping[str, Control] = MappingProxyType({control.name: control for control in (
    OneOf(
        "precision", "precision", "What the forward and backward passes compute in", "passes",
        variants(
            Variant("fp32", Float32, "float32"),
            Variant("bf16", BFloat16, "bfloat16", helps="speed, where the device has it"),
            Variant(
                "fp16", Float16, "float16 with loss scaling",
                helps="speed, where the device has it", fails="underflows where the scale is too small",
                source="torch.amp",
            ),
        ),
        own_loop=True,
    ),
    OneOf(
        "skip_non_finite", "skip non-finite", "Drop a step whose gradient holds NaN or inf", "chain",
        variants(
            Variant("on", SkipNonFinite, "on", helps="one bad batch", fails="weights already blown up"),
            _OFF,
        ),
    ),
    OneOf(
        "freeze", "freeze layers", "Do not train the layers whose names match", "chain",
        variants(Variant("layers", Freeze, "by name", helps="fine-tuning, comparisons"), _OFF),
        shorthand="layers",
    ),
    DETECT,
    ACCUMULATE,
    OneOf(
        "centralize", "centralise", "Subtract the mean from every unit's gradient", "chain",
        variants(
            Variant(
                "on", CentralizeGrads, "on",
                helps="conditioning", fails="vanishing, explosions", source="arXiv:2004.01461",
            ),
            _OFF,
        ),
    ),
    OneOf(
        "normalize", "normalise", "Give every layer a step in proportion to its weights", "chain",
        variants(
            Variant(
                "lars", LARS, "LARS",
                helps="uneven scale, both ways", fails="lost direction", source="arXiv:1708.03888",
            ),
            _OFF,
        ),
        shorthand="lars",
    ),
    OneOf(
        "omega", "Pascanu's Ω", "Keep the gradient's norm as it flows back through time", "chain",
        variants(
            Variant(
                "pascanu", Omega, "Ω",
                helps="vanishing in time", fails="explosions: use it with clipping",
                source="Pascanu 2013, arXiv:1211.5063, eq. 9-10",
            ),
            _OFF,
        ),
        shorthand="pascanu",
        own_loop=True,
    ),
    CLIP,
    OneOf(
        "noise", "gradient noise", "Add Gaussian noise that fades, after clipping", "chain",
        variants(
            Variant(
                "gaussian", AddGradNoise, "Gaussian",
                helps="some poor initialisations", fails="made our runs worse", source="arXiv:1511.06807",
            ),
            _OFF,
        ),
        shorthand="gaussian",
    ),
    OneOf(
        "schedule", "lr schedule", "How the base learning rate changes with the step", "optimizer",
        variants(
            Variant("constant", Constant, "constant"),
            Variant("cosine", WarmupCosine, "warm-up, then cosine"),
            Variant("step", StepDecay, "steps"),
        ),
        own_loop=True,
    ),
    Number(
        "lr_scale", "lr ×", "Multiplies the learning rate that recipe and schedule give", "optimizer",
        MIN_LR_SCALE, MAX_LR_SCALE,
    ),
    OneOf(
        "optimizer", "optimizer", "What turns gradients into steps; a new one starts with empty state",
        "optimizer",
        variants(
            Variant("recipe", None, "the recipe's own"),
            Variant("sgd", SGD, "SGD"),
            Variant("momentum", Momentum, "SGD with momentum"),
            Variant("nesterov", Nesterov, "SGD with Nesterov momentum"),
            Variant("adam", Adam, "Adam", helps="uneven scale over layers", fails="lost direction"),
            Variant("adamw", AdamW, "AdamW", helps="uneven scale over layers", fails="lost direction"),
            Variant("rmsprop", RMSprop, "RMSprop", helps="uneven scale over layers", fails="lost direction"),
        ),
        own_loop=True,
    ),
    Word(
        "activation", "activation", "The model's nonlinearity; weights are kept", "model",
        ACTIVATIONS, own_loop=True,
    ),
    Word(
        "skip", "skip connections", "Add each layer's input to its output; weights are kept", "model",
        ON_OFF, own_loop=True,
    ),
    Word(
        "layer_norm", "layer norm", "Normalise each layer's output, without new weights", "model",
        ON_OFF, own_loop=True,
    ),
)})  # fmt: skip


def find_control(name: object) -> Control:
    """The control called ``name``.

    Raises:
        ConfigError: If there is none; says which there are.
    """
    control = CONTROLS.get(name.replace("-", "_")) if isinstance(name, str) else None
    if control is None:
        meant = did_you_mean(str(name), CONTROLS)
        raise ConfigError(f"no control is called {str(name)[:40]!r}{meant} (controls: {', '.join(CONTROLS)})")
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
