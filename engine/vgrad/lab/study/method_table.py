"""The methods of a study: the article's as printed, the field's methods of the same names, and the cures."""

from __future__ import annotations

from vgrad.lab.study.plan import Method, settings

ASCEND = Method("detection as coded", settings(detect="as-coded"))
KICK = Method("detection as in prose", settings(detect="as-prose"))
SUPERVISE = Method("detection by the formula", settings(detect="formula"))
FLOOR = Method("clipping as printed", settings(clip="floor-as-printed"))
FLOOR_SIGNED = Method("clipping as printed (sign kept)", settings(clip="floor-signed"))
CLAMP = Method("clipping as coded (±0.5)", settings(clip="value:0.5"))
DOUBLE = Method("accumulation as coded", settings(accumulate="as-coded"))
HOARD = Method("accumulation as in prose", settings(accumulate="as-prose"))

AS_PRINTED = (ASCEND, KICK, SUPERVISE, FLOOR, FLOOR_SIGNED, CLAMP, DOUBLE, HOARD)
"""All that the article names, as it prints it."""

ANY_MODEL = tuple(method for method in AS_PRINTED if method is not SUPERVISE)
"""The same without deep supervision, which under one recurrent layer is plain training with noise."""

SAM = Method("sharpness-aware (SAM)", settings(detect="sam"))
CLIP = Method("clip norm 1", settings(clip="norm:1"))
MEAN = Method("accumulate 4 (mean)", settings(accumulate="mean:4"))

STANDARD = (SAM, CLIP, MEAN)
"""The field's methods of the same three names."""

TENSOR = Method("clip each tensor to 1", settings(clip="tensor:1"))
AGC = Method("adaptive clip by unit (AGC)", settings(clip="agc"))
ZCLIP = Method("ZClip", settings(clip="zclip"))
AUTOCLIP = Method("AutoClip", settings(clip="autoclip"))
CLIPS = (TENSOR, AGC, ZCLIP, AUTOCLIP)

NOISE = Method("gradient noise", settings(noise="0.01"))
CENTRALIZE = Method("centralise", settings(centralize="on"))
LARS = Method("LARS", settings(normalize="lars"))
SKIP_NON_FINITE = Method("skip non-finite", settings(skip_non_finite="on"))
OMEGA = Method("Ω", settings(omega="4"))
CLIP_OMEGA = Method("clip norm 1 + Ω", settings(clip="norm:1", omega="4"))

ADAM = Method("Adam", settings(optimizer="adam"))
OPTIMIZERS = (
    Method("momentum", settings(optimizer="momentum")),
    Method("Nesterov", settings(optimizer="nesterov")),
    ADAM,
    Method("AdamW", settings(optimizer="adamw")),
    Method("RMSprop", settings(optimizer="rmsprop")),
)
SGD = Method("SGD", settings(optimizer="sgd"))
LR_UP = Method("lr × 10", settings(lr_scale="10"))
LR_DOWN = Method("lr ÷ 10", settings(lr_scale="0.1"))

TANH = Method("activation tanh", settings(activation="tanh"))
RELU_HE = Method("ReLU + He weights", settings(activation="relu", reinit="he"))
RELU_HE_CLIPPED = Method(
    "ReLU + He weights + clip norm 1", settings(activation="relu", reinit="he", clip="norm:1")
)
GELU = Method("activation GELU", settings(activation="gelu"))
SKIP = Method("skip connections", settings(skip="on"))
LAYER_NORM = Method("layer norm", settings(layer_norm="on"))

LSTM = Method("LSTM instead", settings(model__cell="lstm", model__init="torch"))
GRU = Method("GRU instead", settings(model__cell="gru", model__init="torch"))

BF16 = Method("bfloat16", settings(precision="bf16"))
