"""Healthy loops: sequences, pictures, sets and likelihoods. What each is stands in `kinds`."""

from __future__ import annotations

import math
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, RAdam, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, minimise, mlp


def gru_recalls_a_string(s: LoopSetting) -> float:
    """Three of four symbols, a wait of four steps, and the three are asked for in their order."""
    cell, answer = nn.GRU(6, 32, batch_first=True), nn.Linear(32, 4)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        symbols = torch.randint(0, 4, (32, 3), generator=s.data)
        rest = torch.tensor([4] * 4 + [5] * 3).expand(32, 7)
        states, _ = cell(F.one_hot(torch.cat([symbols, rest], 1), 6).float())
        return F.cross_entropy(answer(states[:, -3:]).flatten(0, 1), symbols.flatten())

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def parity_of_three(s: LoopSetting) -> float:
    """The product of three signs of twelve: nothing is learnt for long, and then all of it."""
    model = mlp(12, 96, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        signs = (s.uniform(96, 12) < 0.5).float() * 2 - 1
        return signs, (signs[:, :3].prod(1) > 0).long()

    return fit(s, model, SGD(model.parameters(), 0.3), draw, F.cross_entropy, 1400)


def linear_in_steps(s: LoopSetting) -> float:
    """Four linear layers that begin small learn one direction after another, with plateaus between."""
    layers = [nn.Linear(8, 8, bias=False) for _ in range(4)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain=0.35)
    model = nn.Sequential(*layers)
    left, _ = torch.linalg.qr(s.normal(8, 8))
    goal = left @ torch.diag(torch.tensor([4.0, 2.5, 1.5, 0.8, 0.0, 0.0, 0.0, 0.0]))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rows = s.normal(64, 8)
        return rows, rows @ goal.T + 0.3 * s.normal(64, 8)

    return fit(s, model, SGD(model.parameters(), 0.03), draw, F.mse_loss, 1000)


class _Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """A sine of a frequency of ten."""
        return torch.sin(10 * x)


def sine_net(inner: int) -> nn.Sequential:
    """A net of sines over two coordinates, drawn as its inventors do."""
    first, second, last = nn.Linear(2, inner), nn.Linear(inner, inner), nn.Linear(inner, 1)
    nn.init.uniform_(first.weight, -0.5, 0.5)
    for layer in (second, last):
        nn.init.uniform_(layer.weight, -math.sqrt(6 / inner) / 10, math.sqrt(6 / inner) / 10)
    return nn.Sequential(first, _Sine(), second, _Sine(), last)


def slopes_of_a_picture(s: LoopSetting) -> float:
    """A net of sines is shown only the slopes of a picture, in two directions."""
    model = sine_net(48)

    def loss_at(step: int) -> Tensor:
        place = (2 * s.uniform(128, 2) - 1).requires_grad_()
        slope = torch.autograd.grad(model(place).sum(), place, create_graph=True)[0]
        x, y = place.detach().unbind(1)
        goal = torch.stack([4 * (4 * x).cos() * (3 * y).cos(), -3 * (4 * x).sin() * (3 * y).sin()], 1)
        return (slope - goal).square().mean()

    return minimise(s, model, Adam(model.parameters(), 5e-4), loss_at, 500)


def flow_to_a_density(s: LoopSetting) -> float:
    """Coupling layers are fitted to an unnormalised density by the reverse divergence, below zero."""
    nets = nn.ModuleList([mlp(1, 32, 2, unit=nn.Tanh) for _ in range(4)])

    def loss_at(step: int) -> Tensor:
        point = s.normal(128, 2)
        log_chance = -point.square().sum(1) / 2 - math.log(2 * math.pi)
        for index, net in enumerate(nets):
            kept, moved = (point[:, :1], point[:, 1:]) if index % 2 else (point[:, 1:], point[:, :1])
            scale, shift = net(kept).chunk(2, 1)
            moved = moved * scale.tanh().exp() + shift
            log_chance = log_chance - scale.tanh()[:, 0]
            point = torch.cat([kept, moved] if index % 2 else [moved, kept], 1)
        x, y = point.unbind(1)
        return (log_chance + (y - x.square()).square() + (x - 0.5).square() / 2 - 3).mean()

    return minimise(s, nets, RAdam(nets.parameters(), 3e-3), loss_at, 500)


class _MaskedConv(nn.Conv2d):
    """A convolution that sees only what is above, or to the left."""

    def __init__(self, num_in: int, num_out: int, sees_itself: bool) -> None:
        super().__init__(num_in, num_out, 3, padding=1)
        mask = torch.ones(3, 3)
        mask[1, 1 + sees_itself :] = 0
        mask[2] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """What is seen, filtered."""
        assert isinstance(self.mask, Tensor)
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)


def pixel_by_pixel(s: LoopSetting) -> float:
    """Masked convolutions tell each pixel from those before it; most of what they ask is chance."""
    model = nn.Sequential(
        _MaskedConv(1, 12, False), nn.ReLU(), _MaskedConv(12, 12, True), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pixels = torch.zeros(16, 1, 9, 9)
        before = (s.uniform(16, 1, 9) < 0.5).float()
        for row in range(9):
            before = torch.where(s.uniform(16, 1, 9) < 0.12, 1 - before, before)
            pixels[:, :, row] = before
        return pixels, pixels

    return fit(s, model, RMSprop(model.parameters(), 2e-3), draw, F.binary_cross_entropy_with_logits, 400)


class Words(nn.Module):
    """A small causal transformer.

    Args:
        is_post: Whether norms follow the sums, as at first, or precede the layers.
    """

    def __init__(self, num: int, length: int, depth: int, is_post: bool) -> None:
        super().__init__()
        self.table, self.place = nn.Embedding(num, 32), nn.Parameter(0.1 * torch.randn(length, 32))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True, norm_first=not is_post)
            for _ in range(depth)
        )
        self.norm, self.head = nn.Identity() if is_post else nn.LayerNorm(32), nn.Linear(32, num)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next word at each place."""
        hidden = self.table(x) + self.place[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, src_mask=self.mask)
        result: Tensor = self.head(self.norm(hidden))
        return result


def said_again(s: LoopSetting) -> float:
    """Eight random words are said twice: the second time can be known, once attention has found the first."""
    model = Words(8, 15, 2, is_post=False)

    def loss_at(step: int) -> Tensor:
        once = torch.randint(0, 8, (16, 8), generator=s.data)
        text = torch.cat([once, once], 1)
        return F.cross_entropy(model(text[:, :-1])[:, 7:].flatten(0, 1), once.flatten())

    optimizer = AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    return minimise(s, model, optimizer, loss_at, 400, LambdaLR(optimizer, lambda n: min(1.0, n / 50)))


def post_norm_with_warm_up(s: LoopSetting) -> float:
    """Three blocks with norms after the sums, a warm-up and a line to 0, on text that is mostly chance."""
    model = Words(10, 16, 3, is_post=True)
    odds = (2 * s.normal(10, 10)).softmax(1)
    optimizer = Adam(model.parameters(), 2e-3, (0.9, 0.98))
    schedule = LambdaLR(optimizer, lambda n: min(n / 100, max(0.0, (350 - n) / 250)))

    def loss_at(step: int) -> Tensor:
        text = [torch.randint(0, 10, (16, 1), generator=s.data)]
        for _ in range(16):
            text.append(torch.multinomial(odds[text[-1][:, 0]], 1, generator=s.data))
        words = torch.cat(text, 1)
        return F.cross_entropy(model(words[:, :-1]).flatten(0, 1), words[:, 1:].flatten())

    return minimise(s, model, optimizer, loss_at, 350, schedule)


def pointed_at_in_order(s: LoopSetting) -> float:
    """A pointer net: a decoder points at five numbers, the smallest first."""
    reader, writer = nn.GRU(1, 32, batch_first=True), nn.GRU(1, 32, batch_first=True)
    key, ask, say = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 1)
    model = nn.ModuleList([reader, writer, key, ask, say])

    def loss_at(step: int) -> Tensor:
        numbers = s.uniform(24, 5, 1)
        order = numbers[:, :, 0].argsort(1)
        seen, state = reader(numbers)
        sorted_numbers = numbers[:, :, 0].gather(1, order)[..., None]
        shown = torch.cat([torch.zeros(24, 1, 1), sorted_numbers[:, :-1]], 1)
        asked, _ = writer(shown, state)
        scores = say((key(seen)[:, None] + ask(asked)[:, :, None]).tanh())[..., 0]
        return F.cross_entropy(scores.flatten(0, 1), order.flatten())

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 350)


def hardest_in_the_batch(s: LoopSetting) -> float:
    """The farthest alike and the nearest other of each row: the loss stands at its margin at first."""
    model = mlp(12, 48, 8)
    centres = s.normal(6, 12)

    def loss_at(step: int) -> Tensor:
        kinds = torch.arange(6).repeat_interleave(4)
        points = model(1.2 * centres[kinds] + 0.6 * s.normal(24, 12))
        away = (torch.cdist(points, points).square() + 1e-9).sqrt()
        alike = kinds[:, None] == kinds
        farthest = away.masked_fill(~alike, 0).amax(1)
        nearest = away.masked_fill(alike, 1e6).amin(1)
        return F.relu(0.5 + farthest - nearest).mean()

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 700)


def heavy_tailed_errors(s: LoopSetting) -> float:
    """A likelihood of Student's t whose scale and tails are learnt, too; small errors make it negative."""
    model, scale, tails = mlp(6, 32, 1), nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(()))
    model.register_parameter("scale", scale)
    model.register_parameter("tails", tails)
    worth = s.normal(6)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 6)
        errors = 0.1 * s.normal(64) / (s.normal(3, 64).square().mean(0)).sqrt()
        chances = torch.distributions.StudentT(F.softplus(tails) + 1, model(rows)[:, 0], scale.exp())
        return -chances.log_prob((rows @ worth).tanh() + errors).mean()

    return minimise(s, model, NAdam(model.parameters(), 3e-3), loss_at, 600)


def any_bad_in_the_bag(s: LoopSetting) -> float:
    """A bag of nine is bad where one in it is: only the worst of each bag gets a gradient."""
    model = mlp(8, 32, 1)

    def loss_at(step: int) -> Tensor:
        bags = s.normal(48, 9, 8)
        bad = (s.uniform(48) < 0.5).float()
        bags[:, 0, :3] += 2.5 * bad[:, None]
        worst = model(bags)[..., 0].amax(1)
        return F.binary_cross_entropy_with_logits(worst, torch.where(s.uniform(48) < 0.08, 1 - bad, bad))

    return minimise(s, model, SGD(model.parameters(), 0.05, momentum=0.9), loss_at, 600)


def matched_to_what_is_there(s: LoopSetting) -> float:
    """Three guesses of places are matched with three places, whichever order costs least."""
    model, orders = mlp(36, 64, 6), list(permutations(range(3)))
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 6), torch.linspace(0, 1, 6), indexing="ij")
    grid = torch.stack([rows.flatten(), columns.flatten()], 1)

    def loss_at(step: int) -> Tensor:
        places = s.uniform(32, 3, 2)
        seen = (-30 * torch.cdist(places, grid.expand(32, 36, 2)).square()).exp().sum(1)
        guesses = model(seen + 0.1 * s.normal(32, 36)).view(32, 3, 2)
        costs = torch.stack([(guesses[:, order] - places).abs().sum((1, 2)) for order in orders], 1)
        return costs.amin(1).mean()

    return minimise(s, model, AdamW(model.parameters(), 2e-3), loss_at, 700)


def baskets_of_a_shop(s: LoopSetting) -> float:
    """Sparse sums of what is in a basket tell the next article among those of the batch; much is taste."""
    bags, articles = nn.EmbeddingBag(80, 12, mode="mean", sparse=True), nn.Embedding(80, 12, sparse=True)
    model = nn.ModuleList([bags, articles])
    nn.init.normal_(bags.weight, std=0.3)
    nn.init.normal_(articles.weight, std=0.3)

    def loss_at(step: int) -> Tensor:
        shelf = torch.randint(0, 8, (40, 1), generator=s.data)
        basket = 10 * shelf + torch.randint(0, 10, (40, 5), generator=s.data)
        bought = (10 * shelf + torch.randint(0, 10, (40, 1), generator=s.data))[:, 0]
        return F.cross_entropy(bags(basket) @ articles(bought).T, torch.arange(40))

    return minimise(s, model, Adagrad(model.parameters(), 0.2), loss_at, 600)


def podium(s: LoopSetting) -> float:
    """The whole order of seven runners, by a summed likelihood; form on the day is most of it."""
    model, worth = mlp(5, 24, 1), s.normal(5)

    def loss_at(step: int) -> Tensor:
        runners = s.normal(24, 7, 5)
        order = (runners @ worth - (-s.uniform(24, 7).log()).log() * 1.5).argsort(1, descending=True)
        scores = model(runners)[..., 0].gather(1, order)
        return (scores.flip(1).logcumsumexp(1).flip(1) - scores).sum()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 600)


def points_of_a_curve(s: LoopSetting) -> float:
    """A few points of a curve are averaged to a code, and means and deviations elsewhere are told from it."""
    reader, teller = mlp(2, 48, 32), mlp(33, 48, 2)
    model = nn.ModuleList([reader, teller])

    def loss_at(step: int) -> Tensor:
        height, shift = 0.5 + s.uniform(32, 1, 1), 3 * s.uniform(32, 1, 1)
        place = 4 * s.uniform(32, 16, 1) - 2
        value = height * (place + shift).sin()
        code = reader(torch.cat([place, value], 2)[:, :8]).mean(1, keepdim=True).expand(32, 16, 32)
        mean, spread = teller(torch.cat([code, place], 2)).chunk(2, 2)
        return -torch.distributions.Normal(mean, 0.05 + F.softplus(spread)).log_prob(value).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


LOOPS = {
    "gru_recalls_a_string": (gru_recalls_a_string, 0.5),
    "parity_of_three": (parity_of_three, 0.3),
    "linear_in_steps": (linear_in_steps, 0.6),
    "slopes_of_a_picture": (slopes_of_a_picture, 1.5),
    "flow_to_a_density": (flow_to_a_density, -3.8),
    "pixel_by_pixel": (pixel_by_pixel, 0.5),
    "said_again": (said_again, 1.0),
    "post_norm_with_warm_up": (post_norm_with_warm_up, 1.6),
    "pointed_at_in_order": (pointed_at_in_order, 0.8),
    "hardest_in_the_batch": (hardest_in_the_batch, 0.4),
    "heavy_tailed_errors": (heavy_tailed_errors, 0.3),
    "any_bad_in_the_bag": (any_bad_in_the_bag, 0.5),
    "matched_to_what_is_there": (matched_to_what_is_there, 0.6),
    "baskets_of_a_shop": (baskets_of_a_shop, 2.5),
    "podium": (podium, 195.0),
    "points_of_a_curve": (points_of_a_curve, 0.3),
}
"""Each loop, and the number that a run which learnt comes below."""
