"""Healthy loops: models of some special kind. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.optim import SGD, Adam, SparseAdam
from torch.utils.checkpoint import checkpoint

from vgrad.lab.accuracy.foreign.loops import (
    LoopSetting,
    batches,
    fit,
    images,
    minimise,
    mlp,
    tail,
    two_classes,
)
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, Residual


def checkpointed_blocks(s: LoopSetting) -> float:
    """Activations are computed again in the backward pass."""
    blocks = nn.ModuleList(Residual(mlp(24, 48, 24)) for _ in range(4))
    read, answer = nn.Linear(10, 24), nn.Linear(24, 2)
    model = nn.ModuleList([read, blocks, answer])
    draw = two_classes(s, 0.15)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        x = read(inputs)
        for block in blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return F.cross_entropy(answer(x), kinds)

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 600)


def weight_normed(s: LoopSetting) -> float:
    """Weights are a length times a direction: most of the gradient is the lengths'."""
    layers = [weight_norm(nn.Linear(10, 48)), nn.ReLU(), weight_norm(nn.Linear(48, 48)), nn.ReLU()]
    model = nn.Sequential(*layers, weight_norm(nn.Linear(48, 2)))
    return fit(
        s, model, SGD(model.parameters(), 0.1, momentum=0.9), two_classes(s, 0.1), F.cross_entropy, 700
    )


def spectrally_normed(s: LoopSetting) -> float:
    """A classifier whose layers can stretch nothing: its loss cannot fall far."""
    layers = [spectral_norm(nn.Linear(10, 32)), nn.ReLU(), spectral_norm(nn.Linear(32, 32)), nn.ReLU()]
    model = nn.Sequential(*layers, spectral_norm(nn.Linear(32, 2)))
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.05), F.cross_entropy, 700)


class OrthogonalCell(nn.Module):
    """A recurrent cell whose matrix is kept orthogonal."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.turn = nn.Linear(1, 32), orthogonal(nn.Linear(32, 32, bias=False))
        self.answer = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sequences, shape ``(num, length, 1)``."""
        state = torch.zeros(len(x), 32)
        for value in x.unbind(1):
            state = torch.tanh(self.turn(state) + self.read(value))
        logits: Tensor = self.answer(state)
        return logits


def _first_signs(s: LoopSetting, length: int, num: int = 32) -> tuple[Tensor, Tensor]:
    """Noise, and the sign of its first number."""
    x = s.normal(num, length, 1)
    return x, (x[:, 0, 0] > 0).long()


def orthogonal_cell(s: LoopSetting) -> float:
    """A cell that forgets nothing remembers a sign over eight steps."""
    model = OrthogonalCell()
    return fit(s, model, Adam(model.parameters(), 3e-3), lambda _: _first_signs(s, 8), F.cross_entropy, 700)


def batch_norm_of_two(s: LoopSetting) -> float:
    """Batch norm over two samples: their signs are all that passes, and the loss is noisy."""
    model = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    return fit(s, model, SGD(model.parameters(), 0.02), two_classes(s, 0.0, 2), F.cross_entropy, 1200)


def white_noise_forecast(s: LoopSetting) -> float:
    """An RNN is asked for the next number of white noise: its mean is all there is."""
    cell, answer = nn.RNN(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        series = s.normal(32, 31, 1)
        return F.mse_loss(answer(cell(series[:, :-1])[0][:, -1]), series[:, -1])

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 800)


def newest_value(s: LoopSetting) -> float:
    """Thirty noisy numbers, of which the newest tells a tenth of the next one's variance."""
    model = RecurrentClassifier(nn.RNN(1, 24, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 30, 1)
        return series, 0.32 * series[:, -1] + 0.95 * s.normal(32, 1)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.mse_loss, 800)


def short_memory(s: LoopSetting) -> float:
    """A GRU over forty numbers, of which only the last two tell the class, a fifth of them wrongly."""
    model = RecurrentClassifier(nn.GRU(1, 24, batch_first=True), 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 40, 1)
        kinds = (series[:, -1, 0] + series[:, -2, 0] > 0).long()
        return series, torch.where(s.uniform(32) < 0.2, 1 - kinds, kinds)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 700)


def packed_sequences(s: LoopSetting) -> float:
    """A two-way LSTM over sequences of 3 to 20 numbers, padded and packed."""
    lstm, answer = nn.LSTM(1, 16, batch_first=True, bidirectional=True), nn.Linear(32, 2)
    model = nn.ModuleList([lstm, answer])

    def loss_at(step: int) -> Tensor:
        lengths = torch.randint(3, 21, (32,), generator=s.data)
        series = s.normal(32, 20, 1) + 0.5
        present = (torch.arange(20) < lengths[:, None]).float()
        kinds = ((series[..., 0] * present).sum(1) > 0.5 * lengths).long()
        pack = nn.utils.rnn.pack_padded_sequence(series, lengths, batch_first=True, enforce_sorted=False)
        states = nn.utils.rnn.pad_packed_sequence(lstm(pack)[0], batch_first=True)[0]
        mean = states.sum(1) / lengths[:, None]
        return F.cross_entropy(answer(mean), kinds)

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 600)


def tied_autoencoder(s: LoopSetting) -> float:
    """The decoder's matrix is the encoder's, transposed: one parameter is used twice."""
    matrix = nn.Linear(64, 8)
    draw = images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        return F.mse_loss(torch.tanh(matrix(pixels)) @ matrix.weight, pixels)

    return minimise(s, matrix, SGD(matrix.parameters(), 0.5, momentum=0.9), loss_at, 700)


class SkipSegmenter(nn.Module):
    """Convolutions down and up again, with a way across."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.up, self.answer = nn.ConvTranspose2d(12, 12, 2, stride=2), nn.Conv2d(24, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each pixel."""
        high = torch.relu(self.down(x))
        low = torch.relu(self.inner(F.max_pool2d(high, 2)))
        logits: Tensor = self.answer(torch.cat([high, self.up(low)], 1))
        return logits


def skip_segmentation(s: LoopSetting) -> float:
    """Which pixels belong to a bar; nine in ten do not."""
    model = SkipSegmenter()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        mask = torch.zeros(16, 1, 8, 8)
        for index, row in enumerate(torch.randint(0, 8, (16,), generator=s.data).tolist()):
            mask[index, 0, row] = 1
        return mask + 0.7 * s.normal(16, 1, 8, 8), mask

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.binary_cross_entropy_with_logits, 500)


class RadialUnits(nn.Module):
    """Gaussian bumps around centres that are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.widths = nn.Parameter(torch.randn(32, 2)), nn.Parameter(torch.zeros(32))
        self.answer = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        near = (-torch.cdist(x, self.centres).square() * self.widths.exp()).exp()
        logits: Tensor = self.answer(near)
        return logits


def radial_units(s: LoopSetting) -> float:
    """Rings by bumps: a centre that no sample comes near gets next to nothing."""
    model = RadialUnits()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        points = 1.2 * s.normal(64, 2)
        return points, (points.norm(dim=1) > 1.4).long()

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.cross_entropy, 700)


def biases_only(s: LoopSetting) -> float:
    """A trained model is tuned to other data by its biases alone."""
    model = mlp(10, 48, 48, 2)
    before, draw = Adam(model.parameters(), 5e-3), two_classes(s, 0.1)
    for step in range(200):
        inputs, kinds = draw(step)
        before.zero_grad()
        F.cross_entropy(model(inputs), kinds).backward()
        before.step()
    for name, param in model.named_parameters():
        param.requires_grad_("bias" in name)
        param.grad = None

    def shifted(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        return inputs + 0.5, kinds

    biases = [param for param in model.parameters() if param.requires_grad]
    return fit(s, model, Adam(biases, 3e-3), shifted, F.cross_entropy, 600)


def zero_head(s: LoopSetting) -> float:
    """The last layer starts at zero: at the first step nothing passes it."""
    model = mlp(10, 48, 48, 2)
    for param in model[-1].parameters():
        nn.init.zeros_(param)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.1), F.cross_entropy, 700)


def sparse_and_dense(s: LoopSetting) -> float:
    """A table of 2,000 words with an optimizer of its own, and layers with another: two optimizers."""
    table, rest = nn.Embedding(2000, 16, sparse=True), mlp(16, 32, 2)
    sparse, dense = SparseAdam(list(table.parameters()), 1e-2), Adam(rest.parameters(), 3e-3)
    s.watch(table, sparse)
    s.watch(rest, dense)
    losses = []
    for _ in range(700):
        words = (2000 * s.uniform(48, 6) ** 4).long()
        kinds = (words.float().mean(1) > 380).long()
        loss = F.cross_entropy(rest(table(words).mean(1)), kinds)
        sparse.zero_grad()
        dense.zero_grad()
        loss.backward()
        sparse.step()
        dense.step()
        losses.append(loss.item())
    return tail(losses)


def early_exits(s: LoopSetting) -> float:
    """An answer after each of five layers, and the sum of their losses."""
    layers = nn.ModuleList(nn.Linear(24 if index else 10, 24) for index in range(5))
    exits = nn.ModuleList(nn.Linear(24, 2) for _ in range(5))
    model = nn.ModuleList([layers, exits])
    draw = two_classes(s, 0.1)

    def loss_at(step: int) -> Tensor:
        x, kinds = draw(step)
        loss = torch.zeros(())
        for layer, leave in zip(layers, exits, strict=True):
            x = torch.tanh(layer(x))
            loss = loss + F.cross_entropy(leave(x), kinds)
        return loss

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 600)


def mostly_closed(s: LoopSetting) -> float:
    """Biases of -1: most units of the first layer are closed at any time, and the others learn."""
    model = mlp(10, 128, 64, 2)
    nn.init.constant_(model[0].bias, -1.0)  # type: ignore[arg-type]
    return fit(s, model, Adam(model.parameters(), 2e-3), two_classes(s, 0.1), F.cross_entropy, 700)


def gaussian_process(s: LoopSetting) -> float:
    """Three numbers of a kernel by the marginal likelihood of forty points: a negative loss, no model."""
    numbers = nn.ParameterList([nn.Parameter(torch.zeros(())) for _ in range(3)])
    place = torch.linspace(0, 6, 40)[:, None]
    values = torch.sin(2 * place) + 0.1 * s.normal(40, 1)

    def loss_at(step: int) -> Tensor:
        length, height, noise = (each.exp() for each in numbers)
        kernel = height * (-torch.cdist(place, place).square() / length).exp()
        factor = torch.linalg.cholesky(kernel + (noise.square() + 1e-4) * torch.eye(40))
        misfit = torch.cholesky_solve(values, factor)
        return ((values * misfit).sum() / 2 + factor.diagonal().log().sum()) / 40

    return minimise(s, numbers, Adam(numbers.parameters(), 2e-2), loss_at, 500)


def valley(s: LoopSetting) -> float:
    """Rosenbrock's function of two numbers: no data, no layers, no noise."""
    place = nn.ParameterList([nn.Parameter(torch.tensor([-1.2, 1.0]) + 0.1 * s.normal(2))])

    def loss_at(step: int) -> Tensor:
        x, y = place[0]
        loss: Tensor = (1 - x).square() + 100 * (y - x * x).square()
        return loss

    return minimise(s, place, Adam(place.parameters(), 2e-2), loss_at, 1500)


class Filters(nn.Module):
    """A bank of leaky sums of its inputs: a linear recurrence with learnt rates."""

    def __init__(self) -> None:
        super().__init__()
        self.rates, self.read = nn.Parameter(torch.linspace(0.5, 5, 16)), nn.Linear(1, 16)
        self.answer = mlp(16, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One number for each sequence, shape ``(num, length, 1)``."""
        length = x.shape[1]
        keep = torch.sigmoid(self.rates)
        powers = keep ** torch.arange(length - 1, -1, -1)[:, None]
        value: Tensor = self.answer((self.read(x) * powers * (1 - keep)).sum(1))
        return value


def linear_recurrence(s: LoopSetting) -> float:
    """A leaky sum of forty numbers by a bank of linear filters."""
    model = Filters()
    weights = 0.93 ** torch.arange(39, -1, -1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 40, 1)
        return series, (series[..., 0] * weights).sum(1, keepdim=True) / math.sqrt(7)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 700)


def overfitted_alphabet(s: LoopSetting) -> float:
    """Sixty samples with labels that mean nothing, in batches of twenty: learnt by heart with a decay."""
    inputs, kinds = s.normal(60, 12), torch.randint(0, 5, (60,), generator=s.data)
    model = mlp(12, 96, 5)
    optimizer = SGD(model.parameters(), 0.2, momentum=0.9, weight_decay=1e-3)
    return fit(s, model, optimizer, batches(s, inputs, kinds, 20), F.cross_entropy, 900)


LOOPS = {
    "checkpointed_blocks": (checkpointed_blocks, 0.6),
    "weight_normed": (weight_normed, 0.45),
    "spectrally_normed": (spectrally_normed, 0.6),
    "orthogonal_cell": (orthogonal_cell, 0.4),
    "batch_norm_of_two": (batch_norm_of_two, 0.65),
    "white_noise_forecast": (white_noise_forecast, 1.1),
    "newest_value": (newest_value, 1.03),
    "short_memory": (short_memory, 0.6),
    "packed_sequences": (packed_sequences, 0.5),
    "tied_autoencoder": (tied_autoencoder, 0.45),
    "skip_segmentation": (skip_segmentation, 0.25),
    "radial_units": (radial_units, 0.45),
    "biases_only": (biases_only, 0.55),
    "zero_head": (zero_head, 0.5),
    "sparse_and_dense": (sparse_and_dense, 0.6),
    "early_exits": (early_exits, 2.6),
    "mostly_closed": (mostly_closed, 0.5),
    "gaussian_process": (gaussian_process, 0.2),
    "valley": (valley, 0.1),
    "linear_recurrence": (linear_recurrence, 0.3),
    "overfitted_alphabet": (overfitted_alphabet, 0.4),
}
"""Each loop, and the number that a run which learnt comes below."""
