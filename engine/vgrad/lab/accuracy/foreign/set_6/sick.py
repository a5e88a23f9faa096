"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, two_classes


def _waves(s: LoopSetting, num: int = 32, length: int = 24) -> tuple[Tensor, Tensor]:
    """Noisy waves of one of three periods, shape ``(num, 1, length)``, and which it is."""
    kinds = torch.randint(0, 3, (num,), generator=s.data)
    place = torch.arange(length) + 6.2832 * s.uniform(num, 1)
    return (torch.sin(place * (0.4 + 0.5 * kinds[:, None])) + 0.3 * s.normal(num, length))[:, None], kinds


def tanh_convolutions(s: LoopSetting) -> float:
    """Eighteen one-dimensional convolutions of tanh with small weights; two cure it."""
    layers: list[nn.Module] = []
    for index in range(2 if s.is_cured else 18):
        layers += [nn.Conv1d(8 if index else 1, 8, 3, padding=1), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 24, 3))
    optimizer = SGD(model.parameters(), 0.05)
    return fit(s, model, optimizer, lambda step: _waves(s), F.cross_entropy, 500)


class Bumps(nn.Module):
    """Gaussian bumps as units."""

    def forward(self, x: Tensor) -> Tensor:
        """``exp(-x²)``."""
        return (-x.square()).exp()


def far_bumps(s: LoopSetting) -> float:
    """Gaussian bumps of inputs that lie far outside of them; scaled inputs cure it."""
    model = mlp(6, 32, 32, 2, unit=Bumps)
    scale = 1.0 if s.is_cured else 40.0

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 6)
        return scale * inputs, (inputs[:, 0] > 0).long()

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 500)


class Copier(nn.Module):
    """Reads some symbols, waits, and says which the first one was."""

    def __init__(self, cell: type[nn.RNN | nn.GRU]) -> None:
        super().__init__()
        self.read, self.rnn = nn.Embedding(9, 16), cell(16, 24, batch_first=True)
        self.answer = nn.Linear(24, 8)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits of the first symbol."""
        logits: Tensor = self.answer(self.rnn(self.read(symbols))[0][:, -1])
        return logits


def copied_symbol(s: LoopSetting) -> float:
    """A plain RNN has to say which symbol came sixty blanks before; three blanks cure it."""
    model = Copier(nn.GRU if s.is_cured else nn.RNN)
    wait = 3 if s.is_cured else 60

    def draw(step: int) -> tuple[Tensor, Tensor]:
        first = torch.randint(0, 8, (32, 1), generator=s.data)
        return torch.cat([first, torch.full((32, wait), 8)], 1), first[:, 0]

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 500)


class PooledSets(nn.Module):
    """Elements of a set through sigmoids, their mean, and more sigmoids."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.each = mlp(3, *[24] * depth, unit=nn.Sigmoid)
        self.all = mlp(24, *[24] * depth, 2, unit=nn.Sigmoid)

    def forward(self, sets: Tensor) -> Tensor:
        """Logits of the sets, shape ``(num, size, 3)``."""
        logits: Tensor = self.all(self.each(sets).mean(1))
        return logits


def sigmoid_sets(s: LoopSetting) -> float:
    """Sets of points through six sigmoid layers before their mean and six after it; one each cures it."""
    model = PooledSets(1 if s.is_cured else 6)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 2, (48,), generator=s.data)
        return s.normal(48, 8, 3) + (kinds[:, None, None] - 0.5) * 1.5, kinds

    return fit(s, model, SGD(model.parameters(), 0.5), draw, F.cross_entropy, 800)


def shrunk_to_nothing(s: LoopSetting) -> float:
    """Units that answer nothing below 20; a usual threshold cures it."""

    def unit() -> nn.Module:
        return nn.Hardshrink(0.05 if s.is_cured else 20.0)

    model = mlp(10, 32, 32, 2, unit=unit)
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.02), F.cross_entropy, 400)


def shut_waves(s: LoopSetting) -> float:
    """One-dimensional convolutions whose biases of -9 shut all of their ReLU; biases of 0 cure it."""
    model = nn.Sequential(
        nn.Conv1d(1, 12, 5, padding=2), nn.ReLU(), nn.Conv1d(12, 12, 5, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(12 * 24, 3),
    )  # fmt: skip
    second = model[2]
    assert isinstance(second, nn.Conv1d)
    assert second.bias is not None
    nn.init.constant_(second.bias, 0.0 if s.is_cured else -9.0)
    return fit(s, model, Adam(model.parameters(), 3e-3), lambda step: _waves(s), F.cross_entropy, 400)


def capped_units(s: LoopSetting) -> float:
    """Pixel values up to 255 hold every ReLU6 at its end; scaled ones cure it."""
    model = mlp(64, 48, 4, unit=nn.ReLU6)
    first = model[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight.abs_()
    draw_images = images(s, 0.05)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures, kinds = draw_images(step)
        pixels = (pictures.flatten(1) + 2).clamp(min=0) / 4
        return pixels if s.is_cured else 255 * pixels, kinds

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 500)


def counts_overflow(s: LoopSetting) -> float:
    """A Poisson likelihood of counts in the hundreds at a rate for small counts."""
    model = mlp(4, 24, 1)
    worth = s.normal(4, 1) / 2

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 4)
        counts = torch.poisson((inputs @ worth + (0.5 if s.is_cured else 6.0)).exp(), generator=s.data)
        return inputs, counts

    return fit(s, model, SGD(model.parameters(), 0.05), draw, nn.PoissonNLLLoss(), 400)


def mean_of_nothing(s: LoopSetting) -> float:
    """The mean over a mask that is empty in one batch of fifty; a count of at least one cures it."""
    model = mlp(6, 32, 1)
    worth = s.normal(6, 1)
    least = 1.0 if s.is_cured else 0.0

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        targets = torch.cat([inputs @ worth, (s.uniform(32, 1) < 0.5).float()], 1)
        if step % 50 == 49:
            targets[:, 1] = 0
        return inputs, targets

    def loss_fn(answers: Tensor, targets: Tensor) -> Tensor:
        errors = (answers[:, 0] - targets[:, 0]).square() * targets[:, 1]
        return errors.sum() / targets[:, 1].sum().clamp(min=least)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def arctanh_of_one(s: LoopSetting) -> float:
    """Correlations through an inverse tanh, some of which become exactly 1; a margin cures it."""
    model = mlp(4, 32, 1, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 4)
        return inputs, torch.where(inputs[:, :1] > 0, 12.0, -12.0)

    def loss_fn(answers: Tensor, targets: Tensor) -> Tensor:
        share = torch.tanh(3 * answers)
        if s.is_cured:
            return F.mse_loss(share, targets.sign())
        return F.mse_loss(torch.atanh(share), targets)

    return fit(s, model, Adam(model.parameters(), 2e-2), draw, loss_fn, 400)


def gru_rate(s: LoopSetting) -> float:
    """A GRU with plain SGD at 40; a rate of .5 cures it."""
    rnn, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 3)
    model = nn.ModuleList([rnn, answer])
    optimizer = SGD(model.parameters(), 0.5 if s.is_cured else 40.0)
    s.watch(model, optimizer)
    losses = []
    for _ in range(500):
        waves, kinds = _waves(s)
        loss = F.cross_entropy(answer(rnn(waves.transpose(1, 2))[0][:, -1]), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return math.nan
    return tail(losses)


class Encoder(nn.Module):
    """Two layers of attention with norms, over pieces of a wave."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.places = nn.Linear(4, 16), nn.Parameter(0.1 * torch.randn(6, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.layers, self.answer = nn.TransformerEncoder(layer, 2), nn.Linear(16, 3)

    def forward(self, waves: Tensor) -> Tensor:
        """Logits of waves, shape ``(num, 1, 24)``."""
        pieces = self.read(waves.view(len(waves), 6, 4)) + self.places
        logits: Tensor = self.answer(self.layers(pieces).mean(1))
        return logits


def encoder_rate(s: LoopSetting) -> float:
    """Attention with norms and AdamW at .5; 2e-3 cures it."""
    model = Encoder()
    optimizer = AdamW(model.parameters(), 2e-3 if s.is_cured else 0.5)
    return fit(s, model, optimizer, lambda step: _waves(s), F.cross_entropy, 500)


def transposed_rate(s: LoopSetting) -> float:
    """An autoencoder of transposed convolutions with RMSprop at .3; 2e-3 cures it."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.ELU(), nn.Conv2d(8, 8, 4, stride=2, padding=1), nn.ELU(),
        nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1), nn.ELU(), nn.ConvTranspose2d(8, 1, 4, 2, padding=1),
    )  # fmt: skip
    draw_images = images(s)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures = draw_images(step)[0]
        return pictures, pictures

    optimizer = RMSprop(model.parameters(), 2e-3 if s.is_cured else 0.3)
    return fit(s, model, optimizer, draw, F.mse_loss, 500)


class Sums(nn.Module):
    """Messages that are summed over all neighbours, round after round."""

    def __init__(self, links: Tensor, rounds: int) -> None:
        super().__init__()
        self.read, self.answer, self._links = nn.Linear(6, 16), nn.Linear(16, 2), links
        self.rounds = nn.ModuleList(nn.Linear(16, 16) for _ in range(rounds))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the nodes."""
        x = self.read(features)
        for layer in self.rounds:
            x = x + torch.relu(layer(self._links @ x))
        logits: Tensor = self.answer(x)
        return logits


def summed_messages(s: LoopSetting) -> float:
    """Five rounds of sums over twenty neighbours; means over them cure it."""
    links = (s.uniform(64, 64) < 0.3).float()
    model = Sums(links / links.sum(1, keepdim=True) if s.is_cured else links, 5)
    kinds = torch.arange(64) % 2

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(64, 6) + 1.5 * (kinds[:, None] - 0.5), kinds

    return fit(s, model, SGD(model.parameters(), 0.02), draw, F.cross_entropy, 500)


def killed_filters(s: LoopSetting) -> float:
    """Momentum at a rate of 1 closes all filters of a convolutional net; .02 cures it."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), 0.02 if s.is_cured else 1.0, momentum=0.9)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 600)


def never_zeroed_attention(s: LoopSetting) -> float:
    """``zero_grad`` is missing beside attention and SGD; it cures it."""
    model = Encoder()
    optimizer = SGD(model.parameters(), 0.02)
    return fit(s, model, optimizer, lambda step: _waves(s), F.cross_entropy, 600, zeroes=s.is_cured)


LOOPS = {
    "tanh_convolutions": (tanh_convolutions, 0.8),
    "far_bumps": (far_bumps, 0.45),
    "copied_symbol": (copied_symbol, 0.8),
    "sigmoid_sets": (sigmoid_sets, 0.4),
    "shrunk_to_nothing": (shrunk_to_nothing, 0.4),
    "shut_waves": (shut_waves, 0.6),
    "capped_units": (capped_units, 0.9),
    "counts_overflow": (counts_overflow, 1.0),
    "mean_of_nothing": (mean_of_nothing, 1.0),
    "arctanh_of_one": (arctanh_of_one, 0.5),
    "gru_rate": (gru_rate, 0.6),
    "encoder_rate": (encoder_rate, 0.6),
    "transposed_rate": (transposed_rate, 0.3),
    "summed_messages": (summed_messages, 0.5),
    "killed_filters": (killed_filters, 0.9),
    "never_zeroed_attention": (never_zeroed_attention, 0.7),
}
"""Each loop, and the number that a run which learnt comes below."""
