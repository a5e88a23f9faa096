"""Healthy loops: ways to train that earlier sets have not. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adam, AdamW, SparseAdam
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, PolynomialLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes


def noam_transformer(s: LoopSetting) -> float:
    """A transformer with the schedule of its inventors, on rows of symbols with a tenth of wrong answers."""
    table, place = nn.Embedding(10, 24), nn.Parameter(0.1 * torch.randn(12, 24))
    block, head = nn.TransformerEncoderLayer(24, 3, 48, 0.1, batch_first=True), nn.Linear(24, 2)
    model = nn.ModuleList([table, block, head])
    model.register_parameter("place", place)
    optimizer = Adam(model.parameters(), 1.0, (0.9, 0.98), 1e-9)
    schedule = LambdaLR(optimizer, lambda n: 24**-0.5 * min((n + 1) ** -0.5, (n + 1) * 150**-1.5) / 5)

    def loss_at(step: int) -> Tensor:
        symbols = torch.randint(0, 10, (48, 12), generator=s.data)
        answer = (symbols.sum(1) > 54).long()
        wrong = torch.where(s.uniform(48) < 0.1, 1 - answer, answer)
        return F.cross_entropy(head(block(table(symbols) + place).mean(1)), wrong)

    return minimise(s, model, optimizer, loss_at, 500, schedule)


def less_at_each_step(s: LoopSetting) -> float:
    """The rate is multiplied by .98 after each step: from step 400 on it is next to nothing."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.2, momentum=0.9, nesterov=True)
    schedule = ExponentialLR(optimizer, 0.98)
    return fit(s, model, optimizer, two_classes(s, 0.15), F.cross_entropy, 700, schedule)


def polynomial_to_the_end(s: LoopSetting) -> float:
    """A polynomial of the rate that ends at 0 after 400 of 600 steps, on noisy numbers."""
    model, worth = mlp(8, 48, 1), s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rows = s.normal(64, 8)
        return rows, rows @ worth + s.normal(64, 1)

    optimizer = AdamW(model.parameters(), 5e-3)
    return fit(s, model, optimizer, draw, F.mse_loss, 600, PolynomialLR(optimizer, 400, power=2.0))


def two_pick_for_each_other(s: LoopSetting) -> float:
    """Two nets each learn from the rows that the other finds easy; a third of the labels is wrong."""
    models, draw = [mlp(10, 32, 2), mlp(10, 32, 2)], two_classes(s, 0.33)
    optimizers = [Adam(model.parameters(), 3e-3) for model in models]
    for model, optimizer in zip(models, optimizers, strict=True):
        s.watch(model, optimizer)
    losses = []
    for step in range(600):
        rows, kinds = draw(step)
        each = [F.cross_entropy(model(rows), kinds, reduction="none") for model in models]
        easy = [loss.argsort()[:45] for loss in each]
        for index, optimizer in enumerate(optimizers):
            optimizer.zero_grad()
            loss = each[index][easy[1 - index]].mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def forgiving_loss(s: LoopSetting) -> float:
    """A bounded loss for wrong labels: (1 - p^.7) / .7."""
    model, draw = mlp(10, 48, 2), two_classes(s, 0.3)

    def loss_at(step: int) -> Tensor:
        rows, kinds = draw(step)
        chance = model(rows).softmax(1)[torch.arange(64), kinds]
        return ((1 - chance**0.7) / 0.7).mean()

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 700)


def thawed_from_the_top(s: LoopSetting) -> float:
    """Only the head is trained at first; a layer more every 150 steps, on wrong labels."""
    model, draw = mlp(64, 48, 32, 24, 4), images(s, 0.15)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        layer.requires_grad_(False)

    def loss_at(step: int) -> Tensor:
        if step % 150 == 0:
            layers[-1 - step // 150].requires_grad_(True)
        pixels, kinds = draw(step)
        return F.cross_entropy(model(pixels.flatten(1)), kinds)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 600)


def blocks_left_out(s: LoopSetting) -> float:
    """Of eight residual blocks each is left out in half of the steps."""
    first, last, draw = nn.Linear(10, 32), nn.Linear(32, 2), two_classes(s, 0.1)
    blocks = nn.ModuleList([mlp(32, 32, 32) for _ in range(8)])
    model = nn.ModuleList([first, blocks, last])

    def loss_at(step: int) -> Tensor:
        rows, kinds = draw(step)
        hidden = first(rows)
        for block, chance in zip(blocks, s.uniform(8).tolist(), strict=True):
            if chance < 0.5:
                hidden = hidden + block(hidden)
        return F.cross_entropy(last(hidden), kinds)

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 700)


def answers_on_the_way(s: LoopSetting) -> float:
    """Three heads at three depths, and the losses are added up with weights."""
    bodies = nn.ModuleList([nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 32)])
    heads, draw = nn.ModuleList([nn.Linear(32, 4) for _ in range(3)]), images(s, 0.2)
    model = nn.ModuleList([bodies, heads])

    def loss_at(step: int) -> Tensor:
        pixels, kinds = draw(step)
        hidden, loss = pixels.flatten(1), torch.zeros(())
        for body, head, weight in zip(bodies, heads, (0.3, 0.3, 1.0), strict=True):
            hidden = F.relu(body(hidden))
            loss = loss + weight * F.cross_entropy(head(hidden), kinds)
        return loss

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 600)


def four_bit_weights(s: LoopSetting) -> float:
    """Weights are rounded to sixteen steps in the forward pass, and the gradient goes straight through."""
    first, second, draw = nn.Linear(64, 48), nn.Linear(48, 4), images(s, 0.15)
    model = nn.ModuleList([first, second])

    def rounded(weight: Tensor) -> Tensor:
        scale = weight.detach().abs().max() / 7
        return weight + ((weight / scale).round() * scale - weight).detach()

    def loss_at(step: int) -> Tensor:
        pixels, kinds = draw(step)
        hidden = F.relu(F.linear(pixels.flatten(1), rounded(first.weight), first.bias))
        return F.cross_entropy(F.linear(hidden, rounded(second.weight), second.bias), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.03, momentum=0.9), loss_at, 600)


def adadelta_at_one(s: LoopSetting) -> float:
    """Adadelta as it comes, on numbers of which half is noise."""
    model, worth = mlp(8, 48, 1), s.normal(8, 1)
    worth = worth / worth.norm()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rows = s.normal(48, 8)
        return rows, rows @ worth + s.normal(48, 1)

    return fit(s, model, Adadelta(model.parameters(), 1.0), draw, F.mse_loss, 700)


def table_and_net(s: LoopSetting) -> float:
    """A sparse table with an optimizer of its own beside a net with another one."""
    table, net = nn.Embedding(200, 8, sparse=True), mlp(13, 32, 1)
    first, second = SparseAdam(list(table.parameters()), 5e-3), AdamW(net.parameters(), 2e-3)
    s.watch(table, first)
    s.watch(net, second)
    worth, liking, losses = s.normal(5), s.normal(200), []
    for _ in range(700):
        names, numbers = (200 * s.uniform(64).square()).long(), s.normal(64, 5)
        clicks = (numbers @ worth + liking[names] + 2 * s.normal(64) > 0).float()
        loss = F.binary_cross_entropy_with_logits(net(torch.cat([table(names), numbers], 1))[:, 0], clicks)
        for optimizer in (first, second):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (first, second):
            optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def scaled_halves(s: LoopSetting) -> float:
    """Autocast to float16 with a scaler, on images of which a fifth is mislabelled."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    optimizer, scaler, losses = Adam(model.parameters(), 1e-3), torch.amp.GradScaler("cpu"), []
    s.watch(model, optimizer)
    for step in range(450):
        pixels, kinds = images(s, 0.2)(step)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(model(pixels).float(), kinds)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return tail(losses)


LOOPS = {
    "noam_transformer": (noam_transformer, 0.6),
    "less_at_each_step": (less_at_each_step, 0.55),
    "polynomial_to_the_end": (polynomial_to_the_end, 1.4),
    "two_pick_for_each_other": (two_pick_for_each_other, 0.5),
    "forgiving_loss": (forgiving_loss, 0.5),
    "thawed_from_the_top": (thawed_from_the_top, 0.8),
    "blocks_left_out": (blocks_left_out, 0.5),
    "answers_on_the_way": (answers_on_the_way, 1.4),
    "four_bit_weights": (four_bit_weights, 0.8),
    "adadelta_at_one": (adadelta_at_one, 1.3),
    "table_and_net": (table_and_net, 0.6),
    "scaled_halves": (scaled_halves, 0.9),
}
"""Each loop, and the number that a run which learnt comes below."""
