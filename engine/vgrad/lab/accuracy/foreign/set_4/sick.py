"""Sick loops that vanish, die, or stop being finite, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, batches, fit, images, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, Residual


def plain_relu_50(s: LoopSetting) -> float:
    """Fifty layers with PyTorch's default initialisation, which is too small for ReLU; residuals cure it."""
    layers: list[nn.Module] = [nn.Sequential(nn.Linear(32, 32), nn.ReLU()) for _ in range(50)]
    if s.is_cured:
        layers = [Residual(layer) for layer in layers[:12]]
    model = nn.Sequential(nn.Linear(10, 32), *layers, nn.Linear(32, 2))
    optimizer = Adam(model.parameters(), 1e-3) if s.is_cured else SGD(model.parameters(), 0.05)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 400)


def tiny_weights(s: LoopSetting) -> float:
    """Six tanh layers whose weights have a spread of 1e-3."""
    model = mlp(10, *[32] * 6, 2, unit=nn.Tanh)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1e-3)
                nn.init.zeros_(layer.bias)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 700)


def softsign_stack(s: LoopSetting) -> float:
    """Twenty-five softsign layers on ten clouds; three of them learn."""
    model = mlp(20, *[32] * (3 if s.is_cured else 25), 10, unit=nn.Softsign)
    centres = 2 * s.normal(10, 20)
    kinds = torch.randint(0, 10, (400,), generator=s.data)
    draw = batches(s, centres[kinds] + s.normal(400, 20), kinds, 32)
    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 600)


class SigmoidBlock(nn.Module):
    """Attention and a layer with sigmoid, one after the other, without residuals."""

    def __init__(self, *, has_residuals: bool) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.feed = nn.Linear(16, 16)
        self.has_residuals = has_residuals

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as ``x``."""
        h = self.attend(x, x, x, need_weights=False)[0]
        if self.has_residuals:
            h = x + h
            return h + torch.relu(self.feed(h))
        return torch.sigmoid(self.feed(h))


def attention_without_residuals(s: LoopSetting) -> float:
    """Six such blocks; two with residuals cure it."""
    blocks = [SigmoidBlock(has_residuals=s.is_cured) for _ in range(2 if s.is_cured else 6)]
    model = nn.Sequential(nn.Linear(3, 16), *blocks, nn.Flatten(), nn.Linear(128, 2))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8, 3)
        means = inputs.mean(1)
        return inputs, (means[:, 0] > means[:, 1]).long()

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 400)


def adding_problem(s: LoopSetting) -> float:
    """The sum of two marked numbers among seventy, with a plain RNN; twelve and a GRU are learnt."""
    length = 12 if s.is_cured else 70
    cell: nn.RNNBase = nn.GRU(2, 32, batch_first=True) if s.is_cured else nn.RNN(2, 32, batch_first=True)
    model = RecurrentClassifier(cell, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        values, marks = s.uniform(32, length), torch.zeros(32, length)
        rows = torch.arange(32)
        marks[rows, torch.randint(0, length // 2, (32,), generator=s.data)] = 1
        marks[rows, torch.randint(length // 2, length, (32,), generator=s.data)] = 1
        return torch.stack([values, marks], 2), (values * marks).sum(1, keepdim=True)

    return fit(s, model, Adam(model.parameters(), 1e-2 if s.is_cured else 1e-3), draw, F.mse_loss, 600)


class HandUnrolled(nn.Module):
    """An RNN cell that is called in a loop, and an answer from its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.answer = nn.RNNCell(2, 24), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        state = torch.zeros(len(x), 24)
        for inputs in x.unbind(1):
            state = self.cell(inputs, state)
        result: Tensor = self.answer(state)
        return result


def cell_forgets(s: LoopSetting) -> float:
    """The first of fifty inputs counts; of four it is learnt."""
    length = 4 if s.is_cured else 50

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = torch.zeros(32, length, 2)
        inputs[:, :, 0] = 0.3 * s.normal(32, length)
        bit = (s.uniform(32) < 0.5).float()
        inputs[:, 0, 1] = 2 * bit - 1
        return inputs, bit.long()

    model = HandUnrolled()
    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 450)


def decayed_away(s: LoopSetting) -> float:
    """A weight decay that takes the weights of six layers to zero."""
    model = mlp(10, *[32] * 6, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4 if s.is_cured else 0.3)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 600)


def saturated_logits(s: LoopSetting) -> float:
    """Squared errors behind a sigmoid that starts at its end, and is wrong half of the time."""
    model = mlp(10, 32, 1)
    last = model[-1]
    assert isinstance(last, nn.Linear)
    if not s.is_cured:
        with torch.no_grad():
            last.bias.fill_(14.0)
    draw = two_classes(s, 0.02)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return (torch.sigmoid(outputs[:, 0]) - targets.float()).square().mean()

    return fit(s, model, SGD(model.parameters(), 0.5), draw, loss_fn, 600)


class NormStack(nn.Module):
    """Layers with layer norm and ReLU."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(10, 32), nn.Linear(32, 32), nn.Linear(32, 32)])
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(3)])
        self.answer = nn.Linear(32, 2)
        with torch.no_grad():
            for norm in self.norms:
                norm.get_parameter("bias").fill_(shift)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x)))
        result: Tensor = self.answer(x)
        return result


def shifted_norms(s: LoopSetting) -> float:
    """Layer norms whose shifts of -10 close every unit after them."""
    model = NormStack(0.0 if s.is_cured else -10.0)
    return fit(s, model, Adam(model.parameters(), 1e-3), two_classes(s, 0.02), F.cross_entropy, 500)


def clamped_outputs(s: LoopSetting) -> float:
    """Outputs are clamped to [0, 1] before the loss, and all of them start far above."""
    model = mlp(10, 32, 1)
    last = model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.fill_(0.5 if s.is_cured else 30.0)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.clamp(0, 1)[:, 0] - targets.float()).square().mean()

    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.02), loss_fn, 500)


def detached_outputs(s: LoopSetting) -> float:
    """The outputs are taken off the graph, and require a gradient of their own: no weight ever gets any."""
    model = mlp(10, 32, 2)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        if not s.is_cured:
            outputs = outputs.detach().requires_grad_(True)
        return F.cross_entropy(outputs, targets)

    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.02), loss_fn, 400)


def closed_convolutions(s: LoopSetting) -> float:
    """Images of 0 to 255 and weights that answer below zero in the second layer."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 4),
    )  # fmt: skip
    second = model[2]
    assert isinstance(second, nn.Conv2d)
    if not s.is_cured:
        with torch.no_grad():
            second.weight.copy_(-second.weight.abs())
            second.get_parameter("bias").fill_(-1.0)
    draw = images(s, 0.05, num=16)

    def loud(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw(step)
        return (inputs if s.is_cured else 60 * (inputs + 2)), kinds

    return fit(s, model, Adam(model.parameters(), 1e-3), loud, F.cross_entropy, 350)


def entropy_of_zero(s: LoopSetting) -> float:
    """The entropy of chances that a hard threshold makes zero."""
    model = mlp(8, 24, 4)
    centres = 2 * s.normal(4, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 4, (48,), generator=s.data)
        return centres[kinds] + 0.5 * s.normal(48, 8), kinds

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        chances = F.softmax(outputs, dim=1)
        shown = chances if s.is_cured else torch.where(chances < 0.02, torch.zeros(()), chances)
        entropy = -(shown * (shown + (1e-6 if s.is_cured else 0.0)).log()).sum(1).mean()
        return F.cross_entropy(outputs, targets) - 0.05 * entropy

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 300)


def empty_vectors(s: LoopSetting) -> float:
    """Vectors divided by their length, one of which is nothing but zeros from step 60 on."""
    model = nn.Sequential(nn.Linear(6, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))
    weights = s.normal(6, 4)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        targets = F.normalize(inputs @ weights, dim=1)
        if step >= 60:
            inputs[0] = 0
        return inputs, targets

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        length = outputs.norm(dim=1, keepdim=True)
        return (outputs / (length + 1e-6 if s.is_cured else length) - targets).square().mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 300)


def angle_of_one(s: LoopSetting) -> float:
    """The arccosine of a cosine that comes to 1: its derivative there is infinite."""
    model = mlp(4, 24, 2, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 4)
        return inputs, F.normalize(inputs[:, :2], dim=1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        cosine = (F.normalize(outputs, dim=1) * targets).sum(1)
        edge = 1 - 1e-4 if s.is_cured else 1.0
        return torch.acos(cosine.clamp(-edge, edge) if s.is_cured else cosine.clamp(max=1.0)).mean()

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 400)


def scaled_half_loss(s: LoopSetting) -> float:
    """A float16 loss multiplied by 65536 from step 50 on, and no scaler that looks for overflow."""
    model = mlp(8, 32, 1)
    weights = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8)
        scale = 1.0 if step < 50 or s.is_cured else 65536.0
        return inputs, torch.cat([inputs @ weights, torch.full((32, 1), scale)], 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        error = (outputs - targets[:, :1]).half()
        return (error.square().mean() * targets[0, 1].half()).float() / targets[0, 1]

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 500 if s.is_cured else 200)


LOOPS = {
    "plain_relu_50": (plain_relu_50, 0.35),
    "tiny_weights": (tiny_weights, 0.35),
    "softsign_stack": (softsign_stack, 0.8),
    "attention_without_residuals": (attention_without_residuals, 0.5),
    "adding_problem": (adding_problem, 0.08),
    "cell_forgets": (cell_forgets, 0.3),
    "decayed_away": (decayed_away, 0.35),
    "saturated_logits": (saturated_logits, 0.1),
    "shifted_norms": (shifted_norms, 0.35),
    "clamped_outputs": (clamped_outputs, 0.15),
    "detached_outputs": (detached_outputs, 0.35),
    "closed_convolutions": (closed_convolutions, 0.7),
    "entropy_of_zero": (entropy_of_zero, 0.3),
    "empty_vectors": (empty_vectors, 0.3),
    "angle_of_one": (angle_of_one, 0.3),
    "scaled_half_loss": (scaled_half_loss, 1.0),
}
"""Each loop, and the number that a run which learnt comes below."""
