"""Healthy loops: models and tasks that earlier sets have not. What each is stands in `kinds`."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam, SparseAdam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, train_before


def body_slower_than_head(s: LoopSetting) -> float:
    """A trained body at 1e-5 and a new head at 1e-3, on other kinds of which some are wrong."""
    body, old, head = mlp(64, 48, 32), nn.Linear(32, 4), nn.Linear(32, 2)

    def before(step: int) -> tuple[Tensor, Tensor]:
        pixels, kinds = images(s)(step)
        return pixels.flatten(1), kinds

    train_before(nn.Sequential(body, nn.ReLU(), old), [*body.parameters()], before, F.cross_entropy, 0.1, 300)
    model = nn.ModuleList([body, head])
    groups = [{"params": body.parameters(), "lr": 1e-5}, {"params": head.parameters(), "lr": 1e-3}]

    def loss_at(step: int) -> Tensor:
        pixels, kinds = images(s, 0.15)(step)
        return F.cross_entropy(head(F.relu(body(pixels.flatten(1)))), (kinds < 2).long())

    return minimise(s, model, AdamW(groups), loss_at, 900)


def features_of_a_teacher(s: LoopSetting) -> float:
    """A narrow student imitates hidden features of a wide teacher, which it has not room for."""
    teacher, student = mlp(10, 64, 32), mlp(10, 12, 32)
    for param in teacher.parameters():
        param.requires_grad_(False)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 10)
        return 10 * F.mse_loss(student(rows), teacher(rows))

    return minimise(s, student, Adam(student.parameters(), 2e-3), loss_at, 700)


def texts_and_pictures(s: LoopSetting) -> float:
    """Two towers and a learnt temperature; what pairs have in common is drowned in noise."""
    left, right, heat = mlp(16, 32, 8), mlp(12, 32, 8), nn.Parameter(torch.tensor(1.0))
    model, to_left, to_right = nn.ModuleList([left, right]), s.normal(4, 16), s.normal(4, 12)
    model.register_parameter("heat", heat)

    def loss_at(step: int) -> Tensor:
        what = s.normal(32, 4)
        one = F.normalize(left(what @ to_left + 2 * s.normal(32, 16)), dim=1)
        two = F.normalize(right(what @ to_right + 2 * s.normal(32, 12)), dim=1)
        logits, rows = heat.exp() * one @ two.T, torch.arange(32)
        return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows)) / 2

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 700)


def same_person(s: LoopSetting) -> float:
    """Two pictures go through one net: near where they are of one kind, beyond a margin where not."""
    model, draw = mlp(64, 32, 4), images(s)

    def loss_at(step: int) -> Tensor:
        (one, first), (two, second) = draw(step), draw(step)
        away = (model(one.flatten(1)) - model(two.flatten(1))).square().sum(1).add(1e-6).sqrt()
        alike = (first == second).float()
        return (alike * away.square() + (1 - alike) * F.relu(1 - away).square()).mean()

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 600)


def heavy_prior(s: LoopSetting) -> float:
    """A variational autoencoder whose divergence counts four times: most of its code falls silent."""
    into, out = mlp(64, 48, 16), mlp(8, 48, 64)
    model, draw = nn.ModuleList([into, out]), images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        mean, log_var = into(pixels).chunk(2, 1)
        code = mean + (log_var / 2).exp() * s.normal(32, 8)
        divergence = (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean() / 2
        return (out(code) - pixels).square().sum(1).mean() + 4 * divergence

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 600)


def actor_of_entropy(s: LoopSetting) -> float:
    """Three optimizers: an actor, two critics, and the weight of the entropy; rewards are noisy."""
    actor, critics = mlp(2, 32, 2), nn.ModuleList([mlp(3, 32, 1), mlp(3, 32, 1)])
    log_weight = nn.Parameter(torch.zeros(()))
    for_actor, for_critics = Adam(actor.parameters(), 1e-3), Adam(critics.parameters(), 3e-3)
    for_weight = Adam([log_weight], 3e-3)
    s.watch(actor, for_actor)
    s.watch(critics, for_critics)
    away = []
    for _ in range(700):
        state = s.normal(32, 2)
        mean, log_std = actor(state).chunk(2, 1)
        chances = torch.distributions.Normal(mean, log_std.clamp(-3, 1).exp())
        action = chances.rsample()
        reward = -(action.detach() - state[:, :1]).square() + 0.5 * s.normal(32, 1)
        seen = torch.cat([state, action.detach()], 1)
        loss = torch.stack([F.mse_loss(critic(seen), reward) for critic in critics]).sum()
        for_critics.zero_grad()
        loss.backward()
        for_critics.step()
        worth = torch.min(*(critic(torch.cat([state, action], 1)) for critic in critics))
        log_chance = chances.log_prob(action)
        for_actor.zero_grad()
        (log_weight.exp().detach() * log_chance - worth).mean().backward()
        for_actor.step()
        for_weight.zero_grad()
        (-log_weight * (log_chance.detach() - 1).mean()).backward()
        for_weight.step()
        away.append((mean - state[:, :1]).square().mean().item())
    return tail(away)


def cloned_driver(s: LoopSetting) -> float:
    """A driver is imitated, weighted by how well each of its acts went; one act in four is at random."""
    model = mlp(6, 48, 3)

    def loss_at(step: int) -> Tensor:
        views = s.normal(64, 6)
        best = views[:, :3].argmax(1)
        acts = torch.where(s.uniform(64) < 0.25, torch.randint(0, 3, (64,), generator=s.data), best)
        gains = (acts == best).float() + 0.5 * s.normal(64)
        return (F.cross_entropy(model(views), acts, reduction="none") * gains.exp().clamp(max=5)).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def digits_on_demand(s: LoopSetting) -> float:
    """A conditional generator and its critic, whose slope at real rows is held small."""
    names_made, names_judged = nn.Embedding(3, 4), nn.Embedding(3, 4)
    maker, critic = mlp(6, 32, 2), mlp(6, 32, 1)
    makers, critics = nn.ModuleList([names_made, maker]), nn.ModuleList([names_judged, critic])
    first, second = (
        Adam(makers.parameters(), 1e-3, (0.5, 0.99)),
        Adam(critics.parameters(), 1e-3, (0.5, 0.99)),
    )
    s.watch(makers, first)
    s.watch(critics, second)
    places, away = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]]), []
    for _ in range(900):
        kinds = torch.randint(0, 3, (48,), generator=s.data)
        real = (places[kinds] + 0.3 * s.normal(48, 2)).requires_grad_()
        made = maker(torch.cat([s.normal(48, 2), names_made(kinds)], 1))

        def judge(rows: Tensor, kinds: Tensor = kinds) -> Tensor:
            return critic(torch.cat([rows, names_judged(kinds)], 1))

        on_real = judge(real)
        slope = torch.autograd.grad(on_real.sum(), real, create_graph=True)[0].square().sum(1).mean()
        loss = F.softplus(-on_real).mean() + F.softplus(judge(made.detach())).mean() + 0.5 * slope
        second.zero_grad()
        loss.backward()
        second.step()
        first.zero_grad()
        F.softplus(-judge(made)).mean().backward()
        first.step()
        away.append((made.detach() - places[kinds]).norm(dim=1).mean().item())
    return tail(away)


def sketch_to_picture(s: LoopSetting) -> float:
    """A net colours sketches by absolute errors and a critic; colours are half noise."""
    maker, critic = mlp(8, 48, 8), mlp(16, 32, 1)
    first, second, worth = Adam(maker.parameters(), 1e-3), Adam(critic.parameters(), 5e-4), s.normal(8, 8) / 3
    s.watch(maker, first)
    s.watch(critic, second)
    say, losses = F.binary_cross_entropy_with_logits, []
    for _ in range(700):
        sketch = s.normal(48, 8)
        colours = sketch @ worth + 0.5 * s.normal(48, 8)
        made = maker(sketch)
        on_real, on_made = (
            critic(torch.cat([sketch, colours], 1)),
            critic(torch.cat([sketch, made.detach()], 1)),
        )
        loss = (say(on_real, torch.ones(48, 1)) + say(on_made, torch.zeros(48, 1))) / 2
        second.zero_grad()
        loss.backward()
        second.step()
        error = F.l1_loss(made, colours)
        first.zero_grad()
        (0.1 * say(critic(torch.cat([sketch, made], 1)), torch.ones(48, 1)) + 10 * error).backward()
        first.step()
        losses.append(error.item())
    return tail(losses)


def customers_who_leave(s: LoopSetting) -> float:
    """Columns of names and numbers, one customer in ten leaves, and leaving counts five times."""
    sizes, net, worth = (7, 12, 30), mlp(17, 32, 1), s.normal(5)
    tables = nn.ModuleList([nn.Embedding(size, 4) for size in sizes])
    model = nn.ModuleList([tables, net])
    weight = torch.tensor(5.0)

    def loss_at(step: int) -> Tensor:
        names = [torch.randint(0, size, (96,), generator=s.data) for size in sizes]
        numbers = s.normal(96, 5)
        leaves = (numbers @ worth + 0.3 * names[0] + 2 * s.normal(96) > 5.5).float()
        rows = torch.cat([*(table(name) for table, name in zip(tables, names, strict=True)), numbers], 1)
        return F.binary_cross_entropy_with_logits(net(rows)[:, 0], leaves, pos_weight=weight)

    return minimise(s, model, NAdam(model.parameters(), 2e-3), loss_at, 700)


def columns_as_tokens(s: LoopSetting) -> float:
    """Each column of a table becomes a token of a transformer; prices by absolute errors of logarithms."""
    scale, shift = nn.Parameter(0.3 * torch.randn(6, 16)), nn.Parameter(torch.zeros(6, 16))
    block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True)
    head, worth = nn.Linear(16, 1), 0.5 * s.normal(6)
    model = nn.ModuleList([block, head])
    model.register_parameter("scale", scale)
    model.register_parameter("shift", shift)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(48, 6)
        prices = rows @ worth + 0.5 * s.normal(48)
        tokens = rows[..., None] * scale + shift
        return F.l1_loss(head(block(tokens).mean(1))[:, 0], prices)

    return minimise(s, model, AdamW(model.parameters(), 2e-3), loss_at, 500)


def unknown_decay(s: LoopSetting) -> float:
    """A net and an unknown constant of decay are fitted to noisy readings and to the equation."""
    model, rate = mlp(1, 24, 24, 1, unit=nn.Tanh), nn.Parameter(torch.tensor(0.2))
    model.register_parameter("rate", rate)

    def loss_at(step: int) -> Tensor:
        time, seen = (3 * s.uniform(48, 1)).requires_grad_(), 3 * s.uniform(32, 1)
        value = model(time)
        slope = torch.autograd.grad(value.sum(), time, create_graph=True)[0]
        readings = torch.exp(-0.8 * seen) + 0.1 * s.normal(32, 1)
        return (slope + rate * value).square().mean() + (model(seen) - readings).square().mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def energy_of_a_beam(s: LoopSetting) -> float:
    """The energy of a loaded beam is minimised: it is negative, and known only up to sampling noise."""
    model = mlp(1, 24, 24, 1, unit=nn.Tanh)

    def loss_at(step: int) -> Tensor:
        place = s.uniform(64, 1).requires_grad_()
        bend = place * (1 - place) * model(place)
        slope = torch.autograd.grad(bend.sum(), place, create_graph=True)[0]
        return (0.5 * slope.square() - 10 * (math.pi * place.detach()).sin() * bend).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def facts_by_translation(s: LoopSetting) -> float:
    """Things and relations become vectors; a margin is met by most facts after a while."""
    things, relations = nn.Embedding(40, 12), nn.Embedding(3, 12)
    model = nn.ModuleList([things, relations])

    def away(head: Tensor, relation: Tensor, end: Tensor) -> Tensor:
        return (things(head) + relations(relation) - things(end)).norm(dim=1)

    def loss_at(step: int) -> Tensor:
        head = torch.randint(0, 40, (64,), generator=s.data)
        relation = torch.randint(0, 3, (64,), generator=s.data)
        wrong = torch.randint(0, 40, (64,), generator=s.data)
        end = (head + 1 + 5 * relation) % 40
        return F.relu(1 + away(head, relation, end) - away(head, relation, wrong)).mean()

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 800)


def liked_more_than(s: LoopSetting) -> float:
    """Sparse tables of people and films; which of two films a person likes more is mostly taste."""
    people, films = nn.Embedding(60, 8, sparse=True), nn.Embedding(50, 8, sparse=True)
    model, liking = nn.ModuleList([people, films]), s.normal(50)
    nn.init.normal_(people.weight, std=0.1)
    nn.init.normal_(films.weight, std=0.1)

    def loss_at(step: int) -> Tensor:
        who = torch.randint(0, 60, (64,), generator=s.data)
        pair = torch.randint(0, 50, (2, 64), generator=s.data)
        first = liking[pair[0]] - liking[pair[1]] + 1.5 * s.normal(64) > 0
        better, worse = torch.where(first, pair[0], pair[1]), torch.where(first, pair[1], pair[0])
        return -F.logsigmoid((people(who) * (films(better) - films(worse))).sum(1)).mean()

    return minimise(s, model, SparseAdam(list(model.parameters()), 5e-3), loss_at, 800)


def found_and_named(s: LoopSetting) -> float:
    """A convolution finds a bright spot, by a smooth absolute error, and names its colour."""
    body = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32), nn.ReLU()
    )
    place, name = nn.Linear(32, 2), nn.Linear(32, 2)
    model = nn.ModuleList([body, place, name])

    def loss_at(step: int) -> Tensor:
        x = 0.4 * s.normal(32, 1, 8, 8)
        at, kinds = torch.randint(0, 8, (32, 2), generator=s.data), (s.uniform(32) < 0.5).long()
        x[torch.arange(32), 0, at[:, 0], at[:, 1]] += 3.0 * (1 - 2 * kinds)
        wrong = torch.where(s.uniform(32) < 0.1, 1 - kinds, kinds)
        hidden = body(x)
        return F.cross_entropy(name(hidden), wrong) + 5 * F.smooth_l1_loss(place(hidden), at / 7)

    return minimise(s, model, SGD(model.parameters(), 0.02, momentum=0.9), loss_at, 600)


def few_of_each(s: LoopSetting) -> float:
    """Five new kinds at a time, told from the means of three examples of each."""
    model = mlp(12, 48, 16)

    def loss_at(step: int) -> Tensor:
        centres = s.normal(5, 12)
        shown = model((centres[:, None] + 0.8 * s.normal(5, 3, 12)).flatten(0, 1)).view(5, 3, 16).mean(1)
        asked = model((centres[:, None] + 0.8 * s.normal(5, 6, 12)).flatten(0, 1))
        return F.cross_entropy(-torch.cdist(asked, shown).square(), torch.arange(5).repeat_interleave(6))

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 500)


def copied_weights_average(s: LoopSetting) -> float:
    """A convolution on wrong labels, whose average in time is what will be used."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(288, 4))
    kept, draw = copy.deepcopy(model), images(s, 0.3)
    optimizer = AdamW(model.parameters(), 2e-3)

    def loss_at(step: int) -> Tensor:
        with torch.no_grad():
            for old, new in zip(kept.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 0.01)
        pixels, kinds = draw(step)
        return F.cross_entropy(model(pixels), kinds)

    return minimise(s, model, optimizer, loss_at, 500)


def word_in_a_sound(s: LoopSetting) -> float:
    """Convolutions over time with hidden stretches, and one word in five is misheard."""
    model = nn.Sequential(nn.Conv1d(6, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5), nn.ReLU())
    model.extend([nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4)])
    shapes = s.normal(4, 6, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 4, (32,), generator=s.data)
        sound = 0.5 * s.normal(32, 6, 32)
        start, hidden = (int(torch.randint(0, 24, (1,), generator=s.data)) for _ in range(2))
        sound[:, :, start : start + 8] += shapes[kinds]
        sound[:, :, hidden : hidden + 3] = 0
        other = torch.randint(0, 4, (32,), generator=s.data)
        return sound, torch.where(s.uniform(32) < 0.2, other, kinds)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 500)


LOOPS = {
    "body_slower_than_head": (body_slower_than_head, 0.6),
    "features_of_a_teacher": (features_of_a_teacher, 1.0),
    "texts_and_pictures": (texts_and_pictures, 3.2),
    "same_person": (same_person, 0.2),
    "heavy_prior": (heavy_prior, 40.0),
    "actor_of_entropy": (actor_of_entropy, 0.3),
    "cloned_driver": (cloned_driver, 1.9),
    "digits_on_demand": (digits_on_demand, 1.2),
    "sketch_to_picture": (sketch_to_picture, 0.5),
    "customers_who_leave": (customers_who_leave, 1.0),
    "columns_as_tokens": (columns_as_tokens, 0.6),
    "unknown_decay": (unknown_decay, 0.03),
    "energy_of_a_beam": (energy_of_a_beam, -1.5),
    "facts_by_translation": (facts_by_translation, 0.6),
    "liked_more_than": (liked_more_than, 0.67),
    "found_and_named": (found_and_named, 0.75),
    "few_of_each": (few_of_each, 0.5),
    "copied_weights_average": (copied_weights_average, 1.05),
    "word_in_a_sound": (word_in_a_sound, 1.1),
}
"""Each loop, and the number that a run which learnt comes below."""
