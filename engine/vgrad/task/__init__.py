"""What is trained: a model, its optimizer, a loss, and where the data comes from.

`Task` is public, and the recipes build the same class. `Microbatch` and `Stream` are what the training
loop sees of any data.
"""

from __future__ import annotations

from vgrad.task.losses import (
    ERROR_RATE,
    Loss,
    Metric,
    constant_loss,
    error_rate,
    mean_cross_entropy,
    mean_squared_error,
)
from vgrad.task.microbatch import Microbatch, Stream
from vgrad.task.task import Task

__all__ = [
    "ERROR_RATE",
    "Loss",
    "Metric",
    "Microbatch",
    "Stream",
    "Task",
    "constant_loss",
    "error_rate",
    "mean_cross_entropy",
    "mean_squared_error",
]
