"""What happens to gradients between backward and the optimizer: one idea per file.

A transform is a frozen value that checks itself when made and changes gradients in place; what it
learns meanwhile is its memory, which the run keeps. It never reads a number back to the host.
"""

from vgrad.transforms.adaptive import AGC, AutoClip, ZClip
from vgrad.transforms.article import (
    AscendAsCoded,
    DoubleAsCoded,
    FloorAsPrinted,
    FloorSigned,
    HoardAsProse,
    PerturbAsProse,
)
from vgrad.transforms.base import GradTransform
from vgrad.transforms.centralize import CentralizeGrads
from vgrad.transforms.clip import Clip, ClipEachTensor, ClipGradNorm, ClipGradValue
from vgrad.transforms.noise import AddGradNoise
from vgrad.transforms.normalize import LARS

__all__ = [
    "AGC",
    "LARS",
    "AddGradNoise",
    "AscendAsCoded",
    "AutoClip",
    "CentralizeGrads",
    "Clip",
    "ClipEachTensor",
    "ClipGradNorm",
    "ClipGradValue",
    "DoubleAsCoded",
    "FloorAsPrinted",
    "FloorSigned",
    "GradTransform",
    "HoardAsProse",
    "PerturbAsProse",
    "ZClip",
]
