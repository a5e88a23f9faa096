"""Deep stacks on handwritten digits, perceptrons and convolutions: where gradients vanish in depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vgrad.errors import MissingExtra
from vgrad.methods.structure import ACTIVATIONS, ON_OFF
from vgrad.recipes.data.streams import EpochStream
from vgrad.recipes.models.activations import FUNCTIONS, normalize_sample
from vgrad.task import ERROR_RATE, Microbatch, Task, constant_loss
from vgrad.train.init_weights import init_weights_, seeded
from vgrad.train.model_parts import Structured
from vgrad.validation import count

if TYPE_CHECKING:
    from vgrad.recipes.recipe import Setup

NUM_TRAIN = 1437
NUM_PIXELS = 64
IMAGE = (1, 8, 8)  # channels, height, width
NUM_CLASSES = 10
_SPLIT_SEED = 0  # one split for all runs: seeds stay comparable


class DeepStack(Structured, nn.Module):
    """Hidden layers of one kind, one after the other, and a linear head on the flattened last of them.

    Args:
        layers: The hidden layers, without their activations.
        head: From the flattened features of one sample to the answer.
        activation: One of `ACTIVATIONS`.
        skip: Add each hidden layer's input to its output where the shapes agree.
        layer_norm: Normalise what goes into each activation, as in arXiv:1607.06450.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        head: nn.Linear,
        *,
        activation: str,
        skip: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.head = head
        self._declare(
            {"activation": ACTIVATIONS, "skip": ON_OFF, "layer_norm": ON_OFF},
            {"activation": activation, "skip": skip, "layer_norm": layer_norm},
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(batch, num_classes)`` for ``x`` of shape ``(batch, ...)``."""
        *_, last = (x, *self._hidden(x))  # of a single layer the head reads the input
        return self._read(last)

    def layer_outputs(self, x: Tensor) -> list[Tensor]:
        """Return each hidden layer's own prediction through the head, ``(batch, num_classes)`` each.

        The last is the model's output. Hidden layers are as wide as the head's input.
        """
        return [self._read(hidden) for hidden in self._hidden(x)] or [self._read(x)]

    def _hidden(self, x: Tensor) -> Iterator[Tensor]:
        activation = FUNCTIONS[self.part("activation")]
        skip, layer_norm = self.has("skip"), self.has("layer_norm")
        for layer in self.layers:
            y = layer(x)
            y = activation(normalize_sample(y) if layer_norm else y)
            x = x + y if skip and x.shape == y.shape else y
            yield x

    def _read(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.head(hidden.flatten(1))
        return logits


class DeepMLP(DeepStack):
    """A perceptron of ``depth`` weight layers, the last of them the linear head.

    Args:
        num_inputs: Features per sample.
        num_classes: Size of the answer.
        depth: Weight layers in all.
        width: Units per hidden layer.
        structure: ``activation``, ``skip`` and ``layer_norm`` of `DeepStack`.
    """

    def __init__(
        self, num_inputs: int, num_classes: int, *, depth: int, width: int, **structure: Any
    ) -> None:
        sizes = [num_inputs, *[width] * (depth - 1)]
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        super().__init__(layers, nn.Linear(sizes[-1], num_classes), **structure)


class DeepConv(DeepStack):
    """``depth`` weight layers: 3×3 convolutions that keep the image's size, then the linear head.

    Args:
        image: Channels, height and width of the images.
        num_classes: Size of the answer.
        depth: Weight layers in all.
        channels: Of each hidden layer.
        structure: ``activation``, ``skip`` and ``layer_norm`` of `DeepStack`.
    """

    def __init__(
        self, image: tuple[int, int, int], num_classes: int, *, depth: int, channels: int, **structure: Any
    ) -> None:
        first, height, width = image
        sizes = [first, *[channels] * (depth - 1)]
        layers = [nn.Conv2d(*pair, kernel_size=3, padding=1) for pair in pairwise(sizes)]
        super().__init__(layers, nn.Linear(sizes[-1] * height * width, num_classes), **structure)


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


def build_mlp(setup: Setup) -> Task:
    """Build the perceptron; see `_task_of`."""
    return _task_of(setup, lambda options: DeepMLP(NUM_PIXELS, NUM_CLASSES, **options), (NUM_PIXELS,))


def build_conv(setup: Setup) -> Task:
    """Build the convolutional net; see `_task_of`."""
    return _task_of(setup, lambda options: DeepConv(IMAGE, NUM_CLASSES, **options), IMAGE)


def _task_of(setup: Setup, make: Callable[[dict[str, Any]], DeepStack], shape: tuple[int, ...]) -> Task:
    """The digits for a model that reads each of them in ``shape``.

    Raises:
        ConfigError: If a batch would be larger than the training data.
        MissingExtra: If scikit-learn is not installed.
    """
    batch_size = count("batch_size", setup.batch_size, at_most=NUM_TRAIN)
    options = setup.group("model")
    init = options.pop("init")
    inputs, targets = (tensor.to(setup.device) for tensor in load_digits())
    inputs = inputs.view(-1, *shape)
    with seeded(setup.seed):
        model = make(options)
        init_weights_(model, init)
    model.to(setup.device)
    held_out = targets[NUM_TRAIN:]
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        data=EpochStream(inputs[:NUM_TRAIN], targets[:NUM_TRAIN], batch_size=batch_size, seed=setup.seed),
        validation=Microbatch(inputs[NUM_TRAIN:], held_out, num_tokens=0, num_samples=len(held_out)),
        unit="samples",
        metric=ERROR_RATE,
        baseline=constant_loss(targets[:NUM_TRAIN]),
    )
