"""Sick loops that vanish, die, or stop being finite, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


class Sine(nn.Module):
    """The sine as a unit."""

    def forward(self, x: Tensor) -> Tensor:
        """``sin(x)``."""
        return x.sin()


def sine_stack(s: LoopSetting) -> float:
    """Twenty-two sine layers with PyTorch's own start, which shrinks at each of them."""
    model = mlp(10, *[32] * (2 if s.is_cured else 22), 2, unit=Sine)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 600)


class Highway(nn.Module):
    """Layers that each let their inputs by, as far as a gate says."""

    def __init__(self, depth: int, bias: float) -> None:
        super().__init__()
        self.read, self.answer = nn.Linear(10, 24), nn.Linear(24, 2)
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        with torch.no_grad():
            for gate in self.gates:
                assert isinstance(gate, nn.Linear)
                gate.bias.fill_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.read(x)
        for layer, gate in zip(self.layers, self.gates, strict=True):
            share = gate(x).sigmoid()
            x = share * torch.tanh(layer(x)) + (1 - share) * x
        result: Tensor = self.answer(x)
        return result


def closed_gates(s: LoopSetting) -> float:
    """A highway network of which no gate lets the inputs by; biases of the other sign cure it."""
    model = Highway(16, -3.0 if s.is_cured else 8.0)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 400)


def hard_sigmoids(s: LoopSetting) -> float:
    """Ten layers of hard sigmoids, whose slope is a sixth."""
    model = mlp(10, *[32] * (1 if s.is_cured else 10), 2, unit=nn.Hardsigmoid)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9 if s.is_cured else 0.0)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 600)


def _first_of(s: LoopSetting, length: int) -> tuple[Tensor, Tensor]:
    symbols = torch.randint(2, 6, (24, length), generator=s.data)
    first = torch.randint(0, 2, (24,), generator=s.data)
    symbols[:, 0] = first
    return F.one_hot(symbols, 6).float(), first


def stacked_rnn_lag(s: LoopSetting) -> float:
    """Two plain recurrent layers that are to remember the first of forty-five symbols."""
    model = RecurrentClassifier(nn.RNN(6, 24, num_layers=2, batch_first=True), 2)
    length = 5 if s.is_cured else 45
    optimizer = SGD(model.parameters(), 0.2)
    return fit(s, model, optimizer, lambda _: _first_of(s, length), F.cross_entropy, 500)


def lstm_lag(s: LoopSetting) -> float:
    """An LSTM with its usual start that is to remember the first of eighty symbols."""
    model = RecurrentClassifier(nn.LSTM(6, 24, batch_first=True), 2)
    length = 6 if s.is_cured else 80
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(s, model, optimizer, lambda _: _first_of(s, length), F.cross_entropy, 450)


def product_of_gates(s: LoopSetting) -> float:
    """Logits are multiplied by twelve learnt sigmoids, all of which start near 0.02."""
    model = nn.ModuleDict({"body": mlp(10, 32, 2), "gates": nn.Linear(10, 12)})
    body, gates = model["body"], model["gates"]
    assert isinstance(gates, nn.Linear)
    with torch.no_grad():
        gates.bias.fill_(4.0 if s.is_cured else -4.0)
    optimizer = SGD(model.parameters(), 0.2)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.02), []
    for step in range(600):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(body(inputs) * gates(inputs).sigmoid().prod(1, keepdim=True), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def relu_head(s: LoopSetting) -> float:
    """A ReLU after the last layer, whose answers are all below zero; without it the same is learnt."""
    model = mlp(6, 32, 1)
    weights = F.normalize(s.normal(6, 1), dim=0)
    if not s.is_cured:
        last = model[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.fill_(-6.0)
        model.append(nn.ReLU())

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        return inputs, 3 + inputs @ weights + 0.1 * s.normal(32, 1)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 500)


def dropout_of_all(s: LoopSetting) -> float:
    """The chance to keep was given where the chance to drop is meant."""
    drop = nn.Dropout(0.1 if s.is_cured else 1.0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), drop, nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.02), F.cross_entropy, 500)


class Adapted(nn.Module):
    """A frozen layer plus the product of two small ones, as adapters of low rank have it."""

    def __init__(self, is_first_zero: bool) -> None:
        super().__init__()
        self.frozen = nn.Linear(10, 2).requires_grad_(False)
        self.down, self.up = nn.Linear(10, 4, bias=False), nn.Linear(4, 2, bias=False)
        nn.init.zeros_(self.up.weight)
        if is_first_zero:
            nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.frozen(x) + self.up(self.down(x))
        return result


def zeroed_pair(s: LoopSetting) -> float:
    """Both factors of an adapter start at zero, so neither gets a gradient; one alone is learnt."""
    model = Adapted(not s.is_cured)
    optimizer = Adam([*model.down.parameters(), *model.up.parameters()], 1e-2)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 500)


def rounded_codes(s: LoopSetting) -> float:
    """Codes are rounded, which has no gradient; passing it straight through cures it."""
    encode, decode = mlp(10, 32, 16, 1), mlp(1, 8, 2)
    model = nn.ModuleList([encode, decode])
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.02), []
    for step in range(500):
        inputs, kinds = draw(step)
        code = encode(inputs)
        rounded = (4 * code).round() / 4
        if s.is_cured:
            rounded = code + (rounded - code).detach()
        loss = F.cross_entropy(decode(rounded), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def ratio_of_exponentials(s: LoopSetting) -> float:
    """A softmax by hand, without its largest logit taken off; inputs become larger in the middle."""
    model = mlp(10, 32, 2)
    draw = two_classes(s, 0.02)

    def larger(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        return inputs * (1.0 if step < 120 else 200.0), kinds

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        if s.is_cured:
            return F.cross_entropy(outputs.clamp(-20, 20), targets)
        grown = outputs.exp()
        return -(grown / grown.sum(1, keepdim=True)).gather(1, targets[:, None]).log().mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), larger, loss_fn, 300)


def constant_feature(s: LoopSetting) -> float:
    """Batches are standardised, and from some step on one feature of a batch is constant."""
    model = mlp(6, 24, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        targets = inputs[:, :1].clone()
        if step >= 90:
            inputs[:, 5] = 3.0
        spread = inputs.std(0) + (1e-6 if s.is_cured else 0.0)
        return (inputs - inputs.mean(0)) / spread, targets

    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.mse_loss, 300)


def root_of_negative(s: LoopSetting) -> float:
    """A power of a half of numbers that may fall below zero."""
    model = mlp(4, 24, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 4)
        return inputs, 0.2 * inputs[:, :1].abs()

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        shifted = outputs + 1.0
        roots = (F.softplus(outputs) if s.is_cured else shifted) ** 0.5
        return F.mse_loss(roots, targets)

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 300)


def infinite_padding(s: LoopSetting) -> float:
    """Padding is minus infinity and is taken away by a factor of zero: their product is no number."""
    model = mlp(5, 24, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 6, 5)
        return inputs, inputs[:, :3, 0].mean(1, keepdim=True)

    steps = 0

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        keep = torch.ones(6)
        if steps > 60 and not s.is_cured:
            keep[4:] = 0.0
        scores = outputs[..., 0].masked_fill(keep == 0, -torch.inf)
        return ((scores * keep).mean(1, keepdim=True) - targets).square().mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def half_adam(s: LoopSetting) -> float:
    """Weights in float16 under Adam, whose epsilon of 1e-8 is zero there: 0 / 0 where a unit is closed."""
    kind = torch.float32 if s.is_cured else torch.float16
    model = mlp(10, 32, 2).to(kind)
    draw = two_classes(s, 0.02)

    def half(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        inputs[:, 7] = 0.0  # a feature that is never used
        return inputs.to(kind), kinds

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.float(), targets)

    return fit(s, model, Adam(model.parameters(), 3e-3), half, loss_fn, 300)


def angle_of_origin(s: LoopSetting) -> float:
    """The length of a prediction that is exactly zero where the input is: no derivative."""
    model = nn.Sequential(nn.Linear(4, 24, bias=False), nn.Tanh(), nn.Linear(24, 2, bias=False))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 4)
        if step >= 50:
            inputs[0] = 0.0
        return inputs, inputs[:, 2:].norm(dim=1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        square = outputs.square().sum(1) + (1e-8 if s.is_cured else 0.0)
        return F.mse_loss(square.sqrt(), targets)

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 400)


LOOPS = {
    "sine_stack": (sine_stack, 0.35),
    "closed_gates": (closed_gates, 0.35),
    "hard_sigmoids": (hard_sigmoids, 0.35),
    "stacked_rnn_lag": (stacked_rnn_lag, 0.2),
    "lstm_lag": (lstm_lag, 0.2),
    "product_of_gates": (product_of_gates, 0.4),
    "relu_head": (relu_head, 1.0),
    "dropout_of_all": (dropout_of_all, 0.4),
    "zeroed_pair": (zeroed_pair, 0.4),
    "rounded_codes": (rounded_codes, 0.4),
    "ratio_of_exponentials": (ratio_of_exponentials, 1.0),
    "constant_feature": (constant_feature, 0.3),
    "root_of_negative": (root_of_negative, 0.3),
    "infinite_padding": (infinite_padding, 0.3),
    "half_adam": (half_adam, 0.35),
    "angle_of_origin": (angle_of_origin, 0.6),
}
"""Each loop, and the number that a run which learnt comes below."""
