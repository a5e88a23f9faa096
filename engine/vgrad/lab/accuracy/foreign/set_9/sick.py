"""Sick loops whose gradient is lost, or no number, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def fifteen_sigmoids(s: LoopSetting) -> float:
    """Fifteen sigmoid layers with plain SGD; ReLU and three layers cure it."""
    model = mlp(10, 32, 32, 32, 2) if s.is_cured else mlp(10, *[32] * 15, 2, unit=nn.Sigmoid)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.05), F.cross_entropy, 700)


def small_start_tanh(s: LoopSetting) -> float:
    """Twenty tanh layers of weights around .02, with Adam; Glorot's weights and four layers cure it."""
    model = mlp(8, *[32] * (4 if s.is_cured else 20), 1, unit=nn.Tanh)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
    worth = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, torch.tanh(inputs @ worth)

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.mse_loss, 600)


def stacked_sigmoid_decoder(s: LoopSetting) -> float:
    """An autoencoder of twelve sigmoid layers gives the same image for all; four of ReLU cure it."""
    unit = nn.ReLU if s.is_cured else nn.Sigmoid
    sizes = (64, 48, 12, 48, 64) if s.is_cured else (64, *[48] * 5, 12, *[48] * 5, 64)
    model, draw = mlp(*sizes, unit=unit), images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        clean = (pixels > 0.9).float()
        return F.mse_loss(model(pixels), clean)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 600)


def years_into_tanh(s: LoopSetting) -> float:
    """Years around 2000 and other raw columns saturate every tanh; standardised ones cure it."""
    model, worth = mlp(4, 32, 32, 2, unit=nn.Tanh), s.normal(4)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        columns = s.normal(48, 4)
        kinds = (columns @ worth > 0).long()
        raw = torch.tensor([2000.0, 50000, 300, 1200]) + torch.tensor([10.0, 900, 40, 100]) * columns
        return columns if s.is_cured else raw, kinds

    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.cross_entropy, 600)


def first_bit_after_eighty(s: LoopSetting) -> float:
    """A plain RNN is asked for the first bit after eighty steps of noise; after four it can."""
    model, length = RecurrentClassifier(nn.RNN(2, 32, batch_first=True), 2), 4 if s.is_cured else 80

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series, bits = s.normal(32, length, 2), torch.randint(0, 2, (32,), generator=s.data)
        series[:, 0, 0] = 2.0 * bits - 1
        return series, bits

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 500)


def delayed_echo(s: LoopSetting) -> float:
    """An LSTM has to repeat at the end the number that it saw 120 steps ago; three steps cure it."""
    model, length = RecurrentClassifier(nn.LSTM(1, 24, batch_first=True), 1), 3 if s.is_cured else 121

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(24, length, 1)
        return series, series[:, 0]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 400)


def marked_early_gru(s: LoopSetting) -> float:
    """A GRU on a hundred symbols, the second of which decides among five; six symbols cure it."""
    model, length = RecurrentClassifier(nn.GRU(5, 24, batch_first=True), 5), 6 if s.is_cured else 100

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 5, (32, length), generator=s.data)
        return F.one_hot(symbols, 5).float(), symbols[:, 1]

    return fit(s, model, SGD(model.parameters(), 1.0, momentum=0.9), draw, F.cross_entropy, 400)


def closed_middle(s: LoopSetting) -> float:
    """Biases of -20 before the ReLU of the third of five layers; biases of 0 cure it."""
    model = mlp(10, 32, 32, 32, 32, 2)
    if not s.is_cured:
        middle = model[4]
        assert isinstance(middle, nn.Linear)
        nn.init.constant_(middle.bias, -20.0)
    return fit(s, model, Adam(model.parameters(), 2e-3), two_classes(s, 0.05), F.cross_entropy, 500)


def gate_of_zero(s: LoopSetting) -> float:
    """A gate of sigmoid(-200) is exactly zero, and so is what passes it; one of sigmoid(0) cures it."""
    body, head, gate = mlp(6, 24, 24), nn.Linear(24, 1), nn.Parameter(torch.tensor(0.0))
    if not s.is_cured:
        nn.init.constant_(gate, -200.0)
    model, worth = nn.ModuleList([body, nn.ParameterList([gate]), head]), s.normal(6, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        return F.mse_loss(head(gate.sigmoid() * F.relu(body(inputs))), (inputs @ worth).tanh())

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def shut_output(s: LoopSetting) -> float:
    """A sigmoid answer with a bias of -40 and squared errors: the slope is 4e-18; a bias of 0 cures it."""
    model = nn.Sequential(*mlp(10, 32, 1), nn.Sigmoid())
    if not s.is_cured:
        last = model[2]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, -40.0)
    draw = two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.mse_loss(model(inputs)[:, 0], kinds.float())

    return minimise(s, model, SGD(model.parameters(), 0.5), loss_at, 500)


def entropy_by_hand(s: LoopSetting) -> float:
    """A bonus of p log p, once some p has come to exactly 0; the library's log softmax cures it."""
    model, draw = mlp(10, 32, 3), two_classes(s)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        logits = model(8 * inputs)
        shares = logits.softmax(1)
        logs = logits.log_softmax(1) if s.is_cured else shares.log()
        return F.cross_entropy(logits, kinds) + 0.001 * (shares * logs).sum(1).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-2), loss_at, 500)


def softmax_by_hand(s: LoopSetting) -> float:
    """exp(x) over its sum, of logits that grow beyond 88; the largest taken away before cures it."""
    model, draw = mlp(10, 64, 2), two_classes(s)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        logits = model(30 * inputs)
        if s.is_cured:
            return F.cross_entropy(logits, kinds)
        raised = logits.exp()
        return -(raised.gather(1, kinds[:, None]) / raised.sum(1, keepdim=True) + 1e-8).log().mean()

    return minimise(s, model, Adam(model.parameters(), 2e-2), loss_at, 500)


def cosine_of_empty(s: LoopSetting) -> float:
    """Cosines of word counts by hand, and one text in two hundred is empty; an epsilon cures it."""
    model = nn.Linear(20, 8, bias=False)

    def loss_at(step: int) -> Tensor:
        topic = torch.randint(0, 4, (32,), generator=s.data)
        chance = 0.05 + 0.6 * (torch.arange(20) // 5 == topic[:, None]).float()
        words = (s.uniform(2, 32, 20) < chance).float() * (s.uniform(2, 32, 1) > 1 / 200)
        left, right = model(words)
        length = left.norm(dim=1)[:, None] * right.norm(dim=1) + 1e-6 * s.is_cured
        return F.cross_entropy(left @ right.T / length * 5, torch.arange(32))

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 400)


def half_square_of_prices(s: LoopSetting) -> float:
    """Errors of 300 are squared in float16, beyond its largest number; scaled targets cure it."""
    model, worth = mlp(6, 32, 1), s.normal(6, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        targets = (inputs @ worth) * (1 if s.is_cured else 400)
        error = model(inputs).half() - targets.half()
        return error.square().mean().float()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 400)


LOOPS = {
    "fifteen_sigmoids": (fifteen_sigmoids, 0.45),
    "small_start_tanh": (small_start_tanh, 0.1),
    "stacked_sigmoid_decoder": (stacked_sigmoid_decoder, 0.05),
    "years_into_tanh": (years_into_tanh, 0.3),
    "first_bit_after_eighty": (first_bit_after_eighty, 0.4),
    "delayed_echo": (delayed_echo, 0.3),
    "marked_early_gru": (marked_early_gru, 0.5),
    "closed_middle": (closed_middle, 0.45),
    "gate_of_zero": (gate_of_zero, 0.1),
    "shut_output": (shut_output, 0.15),
    "entropy_by_hand": (entropy_by_hand, 0.3),
    "softmax_by_hand": (softmax_by_hand, 0.3),
    "cosine_of_empty": (cosine_of_empty, 3.0),
    "half_square_of_prices": (half_square_of_prices, 0.5),
}
