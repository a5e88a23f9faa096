"""The network of the article on vanishing gradients that this project starts from, repaired.

As printed it feeds 64×1×28×28 images into ``Linear(784)`` and calls functions that it never
imports. Its data is noise: random images with random labels, one batch of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.methods.structure import ACTIVATIONS
from vgrad.recipes.data.streams import ConstantStream
from vgrad.recipes.models.activations import FUNCTIONS
from vgrad.task import ERROR_RATE, Microbatch, Task, constant_loss
from vgrad.train.init_weights import seeded
from vgrad.train.model_parts import Structured

if TYPE_CHECKING:
    from vgrad.recipes.recipe import Setup

_NUM_INPUTS = 784
_NUM_CLASSES = 10


class ArticleNet(Structured, nn.Module):
    """784 inputs, ``hidden`` units, 10 classes."""

    def __init__(self, hidden: int, activation: str = "relu") -> None:
        super().__init__()
        self.fc1 = nn.Linear(_NUM_INPUTS, hidden)
        self.fc2 = nn.Linear(hidden, _NUM_CLASSES)
        self._declare({"activation": ACTIVATIONS}, {"activation": activation})

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(batch, 10)`` for images ``(batch, 784)``."""
        logits: Tensor = self.fc2(FUNCTIONS[self.part("activation")](self.fc1(images)))
        return logits

    def layer_outputs(self, images: Tensor) -> list[Tensor]:
        """Return the prediction of each hidden layer: there is one, so it is the output."""
        return [self(images)]


def build_article_net(setup: Setup) -> Task:
    """Build the net. Noise has no held-out part: it validates on the batch it learns by heart."""
    with seeded(setup.seed):
        model = ArticleNet(**setup.group("model"))
        images = torch.randn(setup.batch_size, _NUM_INPUTS)
        labels = torch.randint(_NUM_CLASSES, (setup.batch_size,))
    model.to(setup.device)
    batch = Microbatch(
        images.to(setup.device), labels.to(setup.device), num_tokens=0, num_samples=setup.batch_size
    )
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        data=ConstantStream(batch),
        validation=batch,
        unit="samples",
        metric=ERROR_RATE,
        baseline=constant_loss(labels),
    )
