"""An autoencoder whose gradients are too small for half precision."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.methods.structure import ACTIVATIONS, ON_OFF
from vgrad.recipes.data.streams import GeneratedStream
from vgrad.recipes.models.activations import FUNCTIONS, normalize
from vgrad.recipes.models.deep_stacks import NUM_TRAIN, load_pixels
from vgrad.task import Metric, Microbatch, Task, constant_loss, mean_squared_error
from vgrad.train.init_weights import init_weights_, seeded
from vgrad.train.model_parts import Structured

if TYPE_CHECKING:
    from vgrad.recipes.recipe import Setup

LOSS_SCALE = 1e-3  # as when a loss is one small term among many: what makes its gradients underflow


class Autoencoder(Structured, nn.Module):
    """64 pixels, ``depth`` layers of ``width``, a neck of 16 units, ``depth`` such layers, 64 pixels."""

    def __init__(
        self, num_pixels: int, *, depth: int, width: int, activation: str, layer_norm: bool = False
    ) -> None:
        super().__init__()
        sizes = [num_pixels, *[width] * depth, 16, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.head = nn.Linear(width, num_pixels)
        self._declare(
            {"activation": ACTIVATIONS, "layer_norm": ON_OFF},
            {"activation": activation, "layer_norm": layer_norm},
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pixels as the neck remembers them, of the shape of ``pixels``, ``(batch, num_pixels)``."""
        activation, layer_norm = FUNCTIONS[self.part("activation")], self.has("layer_norm")
        x = pixels
        for layer in self.layers:
            x = layer(x)
            x = activation(normalize(x) if layer_norm else x)
        remembered: Tensor = self.head(x)
        return remembered


def small_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return a thousandth of the mean squared error, 0-d."""
    return LOSS_SCALE * mean_squared_error(outputs, targets)


def build_autoencoder(setup: Setup) -> Task:
    """Build the autoencoder, in float32: half precision is a control.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    options = setup.group("model")
    init = options.pop("init")
    pixels = load_pixels()[0] / 16
    with seeded(setup.seed):
        model = Autoencoder(pixels.shape[1], **options)
        init_weights_(model, init)
    model.to(setup.device)
    train, held_out = pixels[:NUM_TRAIN], pixels[NUM_TRAIN:].to(setup.device)

    # Rows at random: the short batch that ends an epoch would have gradients that do not underflow.
    def draw(num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = train[torch.randint(NUM_TRAIN, (num_samples,), generator=generator)]
        return rows, rows

    return Task(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=setup.lr),
        data=GeneratedStream(draw, batch_size=setup.batch_size, seed=setup.seed, device=setup.device),
        validation=Microbatch(held_out, held_out, num_tokens=0, num_samples=len(held_out)),
        unit="samples",
        loss=small_loss,
        metric=Metric("squared error", mean_squared_error),
        baseline=constant_loss(train, small_loss),
    )
