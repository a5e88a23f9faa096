"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, SpikingClassifier
from vgrad.lab.accuracy.foreign.set_3.healthy import GraphNet, physics_loss, random_graph


def sigmoid_autoencoder(s: LoopSetting) -> float:
    """Ten sigmoid layers around a bottleneck."""
    sizes = [12, 16, 4, 16, 12] if s.is_cured else [12, *[16] * 5, 4, *[16] * 4, 12]
    model = mlp(*sizes, unit=nn.Tanh if s.is_cured else nn.Sigmoid)
    mix = s.normal(3, 12)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 3) @ mix
        return inputs, inputs

    optimizer = Adam(model.parameters(), 5e-3) if s.is_cured else SGD(model.parameters(), 0.1)
    return fit(s, model, optimizer, draw, F.mse_loss, 700)


class Unrolled(nn.Module):
    """A cell that is called once for each of forty inputs."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.cell, self.answer = nn.RNNCell(2, 24), nn.Linear(24, 1)
        with torch.no_grad():
            self.cell.weight_hh.copy_(gain * torch.linalg.qr(torch.randn(24, 24))[0])

    def forward(self, x: Tensor) -> Tensor:
        """One number for each sequence."""
        state = torch.zeros(len(x), 24)
        for inputs in x.unbind(1):
            state = self.cell(inputs, state)
        result: Tensor = self.answer(state)
        return result


def rnn_cell_explodes(s: LoopSetting) -> float:
    """A recurrent matrix of twice an orthogonal one, over forty steps, at a high rate."""
    model = Unrolled(0.9 if s.is_cured else 2.5)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = 0.2 * s.normal(24, 40, 2)
        return inputs, inputs[:, -3:, 0].sum(1, keepdim=True)

    optimizer = Adam(model.parameters(), 3e-3) if s.is_cured else SGD(model.parameters(), 1.0)
    return fit(s, model, optimizer, draw, F.smooth_l1_loss, 400)


def never_zeroed_regression(s: LoopSetting) -> float:
    """A regression whose steps follow the sum of all gradients."""
    model = mlp(6, 32, 32, 1, unit=nn.Tanh)
    weights = F.normalize(s.normal(6, 1), dim=0)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 6)
        return inputs, torch.sin(inputs @ weights)

    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.mse_loss, 600, zeroes=s.is_cured)


def half_exp_overflow(s: LoopSetting) -> float:
    """Weights of a mean as exponentials in float16; inputs become larger in the middle."""
    model = mlp(8, 24, 1)
    direction = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6, 8)
        return inputs, inputs.mean(1) @ direction

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        logits = outputs[..., 0] * (1.0 if s.is_cured else 40.0)
        if s.is_cured:
            chances = F.softmax(logits.float(), dim=1)
        else:
            grown = logits.half().exp()
            chances = (grown / grown.sum(1, keepdim=True)).float()
        return ((chances * outputs[..., 0]).sum(1, keepdim=True) - targets).square().mean()

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 300)


def sqrt_of_zero(s: LoopSetting) -> float:
    """The distance of a pair whose members are one and the same: its gradient is 0 / 0."""
    model = mlp(6, 24, 4)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        one, two = s.normal(32, 6), s.normal(32, 6)
        if step >= 40:
            two[0] = one[0]
        return torch.stack([one, two], 1), (one[:, :3] - two[:, :3]).norm(dim=1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        square = (outputs[:, 0] - outputs[:, 1]).square().sum(1)
        distance = (square + (1e-8 if s.is_cured else 0.0)).sqrt()
        return (distance - targets).square().mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def variance_of_zero(s: LoopSetting) -> float:
    """A likelihood with a variance that comes out of a ReLU."""
    model = mlp(4, 24, 2, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 4)
        return inputs, inputs[:, :1] + 0.2 * s.normal(48, 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        raw = outputs[:, 1:]
        variance = F.softplus(raw) + 1e-3 if s.is_cured else F.relu(raw)
        return ((targets - outputs[:, :1]).square() / variance + variance.log()).mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def masked_rows(s: LoopSetting) -> float:
    """From step 30 on some sequences are all padding: their softmax is over nothing."""
    model = mlp(6, 24, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 5, 6)
        if step >= 30 and not s.is_cured:
            inputs[0] = 0.0
        return inputs, inputs[:, :, 0].max(1).values[:, None]

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        scores = outputs[..., 0]
        is_padding = torch.zeros_like(scores, dtype=torch.bool)
        is_padding[0] = bool((targets[0] == 0).all())
        weights = F.softmax(scores.masked_fill(is_padding, -math.inf), dim=1)
        return ((weights * scores).sum(1, keepdim=True) - targets).square().mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def bright_images(s: LoopSetting) -> float:
    """Images that nobody has centred, and filters whose answers are all negative."""
    unit = nn.ReLU
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), unit(), nn.Conv2d(8, 8, 3, padding=1), unit(), nn.Flatten(),
        nn.Linear(512, 4),
    )  # fmt: skip
    first = model[0]
    assert isinstance(first, nn.Conv2d)
    if not s.is_cured:
        with torch.no_grad():
            first.weight.copy_(-first.weight.abs())
            first.get_parameter("bias").fill_(-6.0)
    draw = images(s, 0.05, num=16)

    def bright(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        return (inputs if s.is_cured else 10 + inputs), kinds

    return fit(s, model, SGD(model.parameters(), 0.03, momentum=0.9), bright, F.cross_entropy, 350)


class VaeLoss(nn.Module):
    """A variational autoencoder of eight numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp(8, 32, 6), mlp(3, 32, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Its loss for each sample."""
        mean, log_var = self.encode(x).chunk(2, 1)
        latent = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
        result: Tensor = (self.decode(latent) - x).square().sum(1) + divergence
        return result


def vae_rate(s: LoopSetting) -> float:
    """The exponentials of its variances are thrown far up."""
    model = VaeLoss()
    mix = 2 * s.normal(2, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 2) @ mix + 0.3 * s.normal(48, 8)
        return inputs, inputs

    optimizer = Adam(model.parameters(), 3e-3 if s.is_cured else 0.3)
    return fit(s, model, optimizer, draw, lambda loss, _: loss.mean(), 500)


def unscaled_inputs(s: LoopSetting) -> float:
    """Features in the thousands before tanh: every unit is at its end."""
    model = mlp(10, 32, 32, 2, unit=nn.Tanh)
    draw = two_classes(s, 0.02)

    def scaled(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        if s.is_cured:
            return inputs, kinds
        inputs[:, 5:] *= 5000.0  # what matters is lost beside what does not
        return inputs, kinds

    return fit(s, model, SGD(model.parameters(), 0.1 if s.is_cured else 1e-3), scaled, F.cross_entropy, 500)


def graph_sigmoid(s: LoopSetting) -> float:
    """Twelve layers of averaging with sigmoid."""
    adjacency, side = random_graph(s)
    model = GraphNet(adjacency, 24, 2 if s.is_cured else 12, nn.ReLU() if s.is_cured else nn.Sigmoid())

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(120, 6) + 0.5 * (2.0 * side[:, None] - 1), side

    optimizer = Adam(model.parameters(), 1e-2) if s.is_cured else SGD(model.parameters(), 0.1)
    return fit(s, model, optimizer, draw, F.cross_entropy, 400)


def saturated_softmax(s: LoopSetting) -> float:
    """Squared errors of chances that are 0 or 1, and wrong half of the time."""
    model = mlp(10, 32, 2)
    if not s.is_cured:
        last = model[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(1e-3)
            last.bias.copy_(torch.tensor([25.0, -25.0]))
    draw = two_classes(s, 0.02)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return (F.softmax(outputs, dim=1) - F.one_hot(targets, 2)).square().mean()

    return fit(s, model, SGD(model.parameters(), 0.5), draw, loss_fn, 700)


def silent_spikes(s: LoopSetting) -> float:
    """A threshold that no unit's charge comes near."""
    model = SpikingClassifier(threshold=1.0 if s.is_cured else 60.0)
    return fit(s, model, Adam(model.parameters(), 5e-3), two_classes(s, 0.02), F.cross_entropy, 400)


def hardtanh_saturated(s: LoopSetting) -> float:
    """Biases of 20 before units that are flat beyond 1."""
    model = mlp(10, 32, 32, 32, 2, unit=nn.Hardtanh)
    if not s.is_cured:
        with torch.no_grad():
            for layer in list(model)[:-1]:
                if isinstance(layer, nn.Linear):
                    layer.bias.add_(20.0)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 500)


def ill_conditioned(s: LoopSetting) -> float:
    """One feature is a hundred times as large as the others, and the rate is not made for it."""
    model = mlp(6, 24, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        targets = inputs @ weights + 0.1 * s.normal(32, 1)
        if not s.is_cured:
            inputs[:, 0] *= 100
        return inputs, targets

    return fit(s, model, SGD(model.parameters(), 0.02), draw, F.smooth_l1_loss, 500)


def _first_bit(s: LoopSetting, length: int, step: int) -> tuple[Tensor, Tensor]:
    inputs = torch.zeros(32, length, 2)
    inputs[:, :, 0] = 0.3 * s.normal(32, length)
    bit = (s.uniform(32) < 0.5).float()
    inputs[:, 0, 1] = 2 * bit - 1
    return inputs, bit.long()


def rnn_delay(s: LoopSetting) -> float:
    """The first input counts, sixty steps ago, with a plain RNN and Adam; three steps ago it is learnt."""
    model = RecurrentClassifier(nn.RNN(2, 24, batch_first=True), 2)
    length = 4 if s.is_cured else 60
    optimizer = Adam(model.parameters(), 1e-3)
    return fit(s, model, optimizer, lambda step: _first_bit(s, length, step), F.cross_entropy, 450)


def gru_forgets(s: LoopSetting) -> float:
    """Update gates that let go of the state at once."""
    cell = nn.GRU(2, 24, batch_first=True)
    with torch.no_grad():
        cell.get_parameter("bias_ih_l0")[24:48] = 4.0 if s.is_cured else -5.0
    model = RecurrentClassifier(cell, 2)
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(s, model, optimizer, lambda step: _first_bit(s, 30, step), F.cross_entropy, 450)


def q_diverges(s: LoopSetting) -> float:
    """Values that are learnt from themselves and grow: the discount is above 1; returns their size."""
    model = mlp(6, 32, 2)
    optimizer = Adam(model.parameters(), 1e-2)
    s.watch(model, optimizer)
    discount = 0.8 if s.is_cured else 1.3
    size = 0.0
    for _ in range(600):
        state, after = s.normal(32, 6), s.normal(32, 6)
        action = torch.randint(0, 2, (32,), generator=s.data)
        reward = (state[:, 0] > 0).float()
        with torch.no_grad():
            wanted = reward + discount * model(after).max(1).values
        optimizer.zero_grad()
        value = model(state).gather(1, action[:, None])[:, 0]
        F.mse_loss(value, wanted).backward()
        optimizer.step()
        size = value.abs().mean().item()
        if not math.isfinite(size):
            return math.nan
    return size


def gain_three(s: LoopSetting) -> float:
    """Twenty ReLU layers whose weights are three times He's."""
    model = mlp(10, *[32] * (3 if s.is_cured else 20), 2)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            with torch.no_grad():
                layer.weight.mul_(1.0 if s.is_cured else 3.0)
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.02), F.cross_entropy, 400)


def physics_rate(s: LoopSetting) -> float:
    """Second derivatives in the loss, and a rate a hundred times too high."""
    model = mlp(1, 24, 24, 1, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 3e-3 if s.is_cured else 0.5)
    s.watch(model, optimizer)
    losses = []
    for _ in range(600):
        optimizer.zero_grad()
        loss = physics_loss(model, 4 * s.uniform(32, 1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def text_rate(s: LoopSetting) -> float:
    """A plain RNN on the sum of what it saw, at a rate that throws it off in the middle of learning."""
    model = RecurrentClassifier(nn.RNN(3, 32, batch_first=True, nonlinearity="relu"), 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 12, 3)
        return inputs, inputs.sum(1).argmax(1)

    optimizer = Adam(model.parameters(), 3e-3) if s.is_cured else SGD(model.parameters(), 0.6, momentum=0.9)
    return fit(s, model, optimizer, draw, F.cross_entropy, 500)


LOOPS = {
    "sigmoid_autoencoder": (sigmoid_autoencoder, 0.7),
    "rnn_cell_explodes": (rnn_cell_explodes, 0.05),
    "never_zeroed_regression": (never_zeroed_regression, 0.2),
    "half_exp_overflow": (half_exp_overflow, 0.3),
    "sqrt_of_zero": (sqrt_of_zero, 0.5),
    "variance_of_zero": (variance_of_zero, 0.0),
    "masked_rows": (masked_rows, 0.3),
    "bright_images": (bright_images, 0.7),
    "vae_rate": (vae_rate, 20.0),
    "unscaled_inputs": (unscaled_inputs, 0.35),
    "graph_sigmoid": (graph_sigmoid, 0.4),
    "saturated_softmax": (saturated_softmax, 0.1),
    "silent_spikes": (silent_spikes, 0.4),
    "hardtanh_saturated": (hardtanh_saturated, 0.35),
    "ill_conditioned": (ill_conditioned, 0.1),
    "rnn_delay": (rnn_delay, 0.3),
    "gru_forgets": (gru_forgets, 0.3),
    "q_diverges": (q_diverges, 10.0),
    "gain_three": (gain_three, 0.35),
    "physics_rate": (physics_rate, 0.1),
    "text_rate": (text_rate, 0.8),
}
"""Each loop, and the number that a run which learnt comes below."""
