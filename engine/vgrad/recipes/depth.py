"""Deep multilayer perceptrons on handwritten digits: the place where gradients vanish in depth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.checks import count
from vgrad.errors import MissingExtra
from vgrad.recipes.activations import FUNCTIONS, normalize
from vgrad.recipes.streams import EpochStream
from vgrad.recipes.structure import ACTIVATIONS, ON_OFF, Structured
from vgrad.recipes.task import ERROR_RATE, Microbatch, Task
from vgrad.recipes.weights import init_weights_, seeded

if TYPE_CHECKING:
    from vgrad.recipes.recipe import Setup

NUM_TRAIN = 1437
_SPLIT_SEED = 0  # one split for all runs: seeds stay comparable


class DeepMLP(Structured, nn.Module):
    """A perceptron of ``depth`` weight layers, the last of them the linear head.

    Args:
        num_inputs: Features per sample.
        num_classes: Size of the answer.
        depth: Weight layers in all.
        width: Units per hidden layer.
        activation: One of `ACTIVATIONS`.
        skip: Add each hidden layer's input to its output where the shapes agree.
        layer_norm: Normalise what goes into each activation, as in arXiv:1607.06450.
    """

    def __init__(
        self,
        num_inputs: int,
        num_classes: int,
        *,
        depth: int,
        width: int,
        activation: str,
        skip: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = [num_inputs, *[width] * (depth - 1)]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], num_classes)
        self._declare(
            {"activation": ACTIVATIONS, "skip": ON_OFF, "layer_norm": ON_OFF},
            {"activation": activation, "skip": skip, "layer_norm": layer_norm},
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(batch, num_classes)`` for ``x`` of shape ``(batch, num_inputs)``."""
        *_, last = (x, *self._hidden(x))  # of a single layer the head reads the input
        logits: Tensor = self.head(last)
        return logits

    def layer_outputs(self, x: Tensor) -> list[Tensor]:
        """Return each hidden layer's own prediction through the head, ``(batch, num_classes)`` each.

        The last is the model's output. Hidden layers are as wide as the head's input.
        """
        return [self.head(hidden) for hidden in self._hidden(x)] or [self.head(x)]

    def _hidden(self, x: Tensor) -> Iterator[Tensor]:
        activation = FUNCTIONS[self.part("activation")]
        skip, layer_norm = self.has("skip"), self.has("layer_norm")
        for layer in self.layers:
            y = layer(x)
            y = activation(normalize(y) if layer_norm else y)
            x = x + y if skip and x.shape == y.shape else y
            yield x


def load_digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 8×8 digits, shuffled as `load_pixels` does.

    Returns:
        Features, float32 of shape ``(1797, 64)``, zero mean and unit variance over all pixels of
        the first 1437 rows; labels, int64 of shape ``(1797,)``.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    pixels, labels = load_pixels()
    train = pixels[:NUM_TRAIN]
    return (pixels - train.mean()) / train.std(), labels


def load_pixels() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 8×8 digits in a fixed random order: their own order is by writer.

    Returns:
        Pixels, float32 of shape ``(1797, 64)``, whole numbers from 0 to 16; labels, int64 of shape
        ``(1797,)``.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtra(
            "the digits come with scikit-learn, which is missing: pip install 'vgrad-tui[demos]'"
        ) from error
    pixels, labels = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_SPLIT_SEED))
    return torch.from_numpy(pixels).float()[order], torch.from_numpy(labels).long()[order]


def build(setup: Setup) -> Task:
    """Build the perceptron.

    Raises:
        ConfigError: If a batch would be larger than the training data.
        MissingExtra: If scikit-learn is not installed.
    """
    batch_size = count("batch_size", setup.batch_size, at_most=NUM_TRAIN)
    options = setup.group("model")
    init = options.pop("init")
    inputs, targets = (tensor.to(setup.device) for tensor in load_digits())
    with seeded(setup.seed):
        model = DeepMLP(inputs.shape[1], 10, **options)
        init_weights_(model, init)
    model.to(setup.device)
    held_out = targets[NUM_TRAIN:]
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        stream=EpochStream(inputs[:NUM_TRAIN], targets[:NUM_TRAIN], batch_size=batch_size, seed=setup.seed),
        validation=Microbatch(inputs[NUM_TRAIN:], held_out, num_tokens=0, num_samples=len(held_out)),
        unit="samples",
        metric=ERROR_RATE,
    )
