"""Healthy loops of other models: generators, values, sequences, graphs and tables. See `kinds`."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, SparseAdam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail


def summed_vae(s: LoopSetting) -> float:
    """A variational autoencoder of images: summed squares and a divergence, most of it noise."""
    encode, decode = mlp(64, 48, 8), mlp(4, 48, 64)
    model, draw = nn.ModuleList([encode, decode]), images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        mean, log_var = encode(pixels).chunk(2, 1)
        out = decode(mean + (log_var / 2).exp() * s.normal(*mean.shape))
        divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
        return ((out - pixels).square().sum(1) / 0.5 + divergence).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


def contrast_of_views(s: LoopSetting) -> float:
    """Two noisy views of a point among 64: InfoNCE at a temperature of .2, at its floor."""
    model = nn.Sequential(mlp(8, 48, 16), nn.LayerNorm(16))

    def loss_at(step: int) -> Tensor:
        points = s.normal(64, 8)
        left, right = (F.normalize(model(points + 0.6 * s.normal(64, 8)), dim=1) for _ in range(2))
        return F.cross_entropy(left @ right.T / 0.2, torch.arange(64))

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def squeezed_images(s: LoopSetting) -> float:
    """An autoencoder through three numbers: the noise of the images is what remains."""
    model, draw = mlp(64, 48, 3, 48, 64), images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        return F.mse_loss(model(pixels), pixels)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


def values_with_target(s: LoopSetting) -> float:
    """Deep Q-learning on a walk of eight places: a replay memory, and a target copied every 50 steps."""
    model, places = mlp(8, 48, 2), torch.eye(8)
    target, optimizer = copy.deepcopy(model), Adam(model.parameters(), 1e-3)
    s.watch(model, optimizer)
    memory: list[tuple[int, int, float, int]] = []
    at, wins, tries = 0, 0, 0
    for step in range(1500):
        with torch.no_grad():
            best = int(model(places[at]).argmax())
        is_random = float(s.uniform(1)) < max(0.1, 1 - step / 600)
        action = int(s.uniform(1) < 0.5) if is_random else best
        to = max(0, min(7, at + 2 * action - 1))
        memory.append((at, action, float(to == 7), to))
        if step >= 1000:
            wins, tries = wins + (to == 7), tries + 1
        at = 0 if to == 7 else to
        if step < 64:
            continue
        rows = [memory[index] for index in torch.randint(0, len(memory), (32,), generator=s.data).tolist()]
        before, actions, rewards, after = (torch.tensor(column) for column in zip(*rows, strict=True))
        with torch.no_grad():
            later = rewards + 0.9 * (after != 7) * target(places[after]).max(1).values
        loss = F.smooth_l1_loss(model(places[before]).gather(1, actions[:, None])[:, 0], later)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            target.load_state_dict(model.state_dict())
    return -wins / tries


def advantage_and_value(s: LoopSetting) -> float:
    """An actor and a critic share a body: rewards are noisy, and an entropy bonus holds the actor open."""
    body, actor, critic = nn.Linear(4, 32), nn.Linear(32, 3), nn.Linear(32, 1)
    model, gains = nn.ModuleList([body, actor, critic]), []
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    for _ in range(800):
        state = s.normal(32, 4)
        hidden = torch.tanh(body(state))
        chances = torch.distributions.Categorical(logits=actor(hidden))
        action, value = chances.sample(), critic(hidden)[:, 0]
        reward = (action == state[:, :3].argmax(1)).float() + 0.5 * s.normal(32)
        ahead = reward - value
        loss = -(chances.log_prob(action) * ahead.detach()).mean() + ahead.square().mean() / 2
        loss = loss - 0.02 * chances.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gains.append(-reward.mean().item())
    return tail(gains)


def four_epochs_a_batch(s: LoopSetting) -> float:
    """Proximal policy optimisation: scaled advantages, clipped ratios, four passes over each batch."""
    actor, gains = mlp(4, 32, 3, unit=nn.Tanh), []
    optimizer = Adam(actor.parameters(), 2e-3)
    s.watch(actor, optimizer)
    for _ in range(250):
        state = s.normal(64, 4)
        with torch.no_grad():
            chances = torch.distributions.Categorical(logits=actor(state))
            action = chances.sample()
            before = chances.log_prob(action)
        reward = (action == state[:, :3].argmax(1)).float() + 0.3 * s.normal(64)
        ahead = (reward - reward.mean()) / (reward.std() + 1e-6)
        for _ in range(4):
            now = torch.distributions.Categorical(logits=actor(state))
            ratio = (now.log_prob(action) - before).exp()
            loss = -torch.min(ratio * ahead, ratio.clamp(0.8, 1.2) * ahead).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(actor.parameters(), 0.5)
            optimizer.step()
        gains.append(-reward.mean().item())
    return tail(gains)


def averaged_self(s: LoopSetting) -> float:
    """Bootstrapped views: an encoder and a predictor follow a slow average of the encoder."""
    online, predictor = nn.Sequential(mlp(8, 48, 16), nn.BatchNorm1d(16)), mlp(16, 32, 16)
    target, model = copy.deepcopy(online), nn.ModuleList([online, predictor])

    def loss_at(step: int) -> Tensor:
        points = s.normal(64, 8)
        seen = predictor(online(points + 0.3 * s.normal(64, 8)))
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.lerp_(fast, 0.01)
            goal = target(points + 0.3 * s.normal(64, 8))
        return 2 - 2 * F.cosine_similarity(seen, goal, dim=1).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


def noise_at_levels(s: LoopSetting) -> float:
    """A diffusion model of two moons' worth of points: the noise of small levels cannot be told."""
    model = mlp(3, 96, 96, 2, unit=nn.SiLU)

    def loss_at(step: int) -> Tensor:
        angle, level = 6.2832 * s.uniform(96, 1), s.uniform(96, 1)
        points, noise = torch.cat([angle.cos(), angle.sin()], 1), s.normal(96, 2)
        seen = (1 - level).sqrt() * points + level.sqrt() * noise
        return F.mse_loss(model(torch.cat([seen, level], 1)), noise)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


class PairText(nn.Module):
    """A causal transformer of one block over twelve words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(12, 32), nn.Embedding(16, 32)
        self.block = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.answer = nn.Linear(32, 12)

    def forward(self, words: Tensor) -> Tensor:
        """Logits for each next word, shape ``(batch, length, 12)``."""
        length = words.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.words(words) + self.places.weight[:length]
        logits: Tensor = self.answer(self.block(x, src_mask=mask, is_causal=True))
        return logits


def pairs_of_words(s: LoopSetting) -> float:
    """A transformer on text in which each word depends on the one before: it comes to its entropy."""
    model, table = PairText(), (1.5 * s.normal(12, 12)).softmax(1)

    def loss_at(step: int) -> Tensor:
        words = [torch.randint(0, 12, (24,), generator=s.data)]
        for _ in range(16):
            words.append(torch.multinomial(table[words[-1]], 1, generator=s.data)[:, 0])
        text = torch.stack(words, 1)
        return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 600)


def misheard_words(s: LoopSetting) -> float:
    """A GRU reads five words, and another one says them mapped, shown those so far; a fifth is wrong."""
    words, encoder = nn.Embedding(11, 24), nn.GRU(24, 32, batch_first=True)
    decoder, answer = nn.GRU(24, 32, batch_first=True), nn.Linear(64, 10)
    model, order = nn.ModuleList([words, encoder, decoder, answer]), torch.randperm(10, generator=s.data)

    def loss_at(step: int) -> Tensor:
        source = torch.randint(0, 10, (32, 5), generator=s.data)
        wrong = torch.randint(0, 10, (32, 5), generator=s.data)
        goal = torch.where(s.uniform(32, 5) < 0.2, wrong, order[source])
        states, last = encoder(words(source))
        shown = torch.cat([torch.full((32, 1), 10), goal[:, :-1]], 1)
        out, _ = decoder(words(shown), last)
        weights = (out @ states.transpose(1, 2)).softmax(2)
        logits = answer(torch.cat([out, weights @ states], 2))
        return F.cross_entropy(logits.flatten(0, 1), goal.flatten())

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 800)


def friends_of_friends(s: LoopSetting) -> float:
    """Two rounds of messages over a graph of 200 people, all of it at each step, some answers wrong."""
    kinds = torch.arange(200) % 3
    linked = (s.uniform(200, 200) < torch.where(kinds[:, None] == kinds, 0.06, 0.01)).float()
    linked = ((linked + linked.T) > 0).float() + torch.eye(200)
    mean = linked / linked.sum(1, keepdim=True)
    features = s.normal(200, 16) + F.one_hot(kinds, 16).float()
    wrong = torch.randint(0, 3, (200,), generator=s.data)
    answers = torch.where(s.uniform(200) < 0.2, wrong, kinds)
    first, last = nn.Linear(16, 24), nn.Linear(24, 3)
    model = nn.ModuleList([first, nn.Dropout(0.5), last])

    def loss_at(step: int) -> Tensor:
        return F.cross_entropy(mean @ last(model[1](F.relu(mean @ first(features)))), answers)

    optimizer = Adam(model.parameters(), 1e-2, weight_decay=5e-3)
    return minimise(s, model, optimizer, loss_at, 700)


def rated_films(s: LoopSetting) -> float:
    """Tables of people and films with sparse gradients, of which each batch touches a few rows."""
    people, films = nn.Embedding(300, 6, sparse=True), nn.Embedding(200, 6, sparse=True)
    for table in (people, films):
        nn.init.normal_(table.weight, std=0.3)
    model, tastes, styles = nn.ModuleList([people, films]), s.normal(300, 2), s.normal(200, 2)

    def loss_at(step: int) -> Tensor:
        who = torch.randint(0, 300, (48,), generator=s.data)
        what = torch.randint(0, 200, (48,), generator=s.data)
        rating = (tastes[who] * styles[what]).sum(1) + s.normal(48)
        return F.mse_loss((people(who) * films(what)).sum(1), rating)

    return minimise(s, model, SparseAdam(list(model.parameters()), 1e-2), loss_at, 1200)


def chosen_experts(s: LoopSetting) -> float:
    """A router that learns sends each row to the better of six experts; some are soon never chosen."""
    router, experts = nn.Linear(8, 6), nn.ModuleList([mlp(8, 24, 1) for _ in range(6)])
    model, worth = nn.ModuleList([router, experts]), s.normal(2, 8)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        targets = torch.where(inputs[:, 0] > 0, inputs @ worth[0], inputs @ worth[1])
        weight, chosen = router(inputs).softmax(1).max(1)
        out = torch.zeros(64)
        for index, expert in enumerate(experts):
            rows = (chosen == index).nonzero()[:, 0]
            if len(rows):
                out = out.index_add(0, rows, weight[rows] * expert(inputs[rows])[:, 0])
        return F.mse_loss(out, targets + 0.5 * s.normal(64))

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 900)


def number_and_kind(s: LoopSetting) -> float:
    """A Gaussian likelihood of small numbers beside a classification: the sum of both is below zero."""
    body, number, kind = mlp(8, 48, 48), nn.Linear(48, 2), nn.Linear(48, 3)
    model, worth, sides = nn.ModuleList([body, number, kind]), s.normal(8), s.normal(8, 3)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        hidden = F.relu(body(inputs))
        mean, log_var = number(hidden).unbind(1)
        goal = 0.1 * (inputs @ worth).tanh() + 0.03 * s.normal(64)
        kinds = (inputs @ sides + 2 * s.normal(64, 3)).argmax(1)
        unlikely = 0.5 * (log_var + (goal - mean).square() / log_var.exp()).mean()
        return 2 * unlikely + F.cross_entropy(kind(hidden), kinds)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def damped_swing(s: LoopSetting) -> float:
    """A physics-informed net of a damped oscillation: an equation, and where it begins."""
    model = mlp(1, 32, 32, 1, unit=nn.Tanh)

    def loss_at(step: int) -> Tensor:
        time = (2 * s.uniform(48, 1)).requires_grad_()
        place = model(time)
        (speed,) = torch.autograd.grad(place.sum(), time, create_graph=True)
        (pull,) = torch.autograd.grad(speed.sum(), time, create_graph=True)
        zero = torch.zeros(1, 1, requires_grad=True)
        start = model(zero)
        (first,) = torch.autograd.grad(start.sum(), zero, create_graph=True)
        begins = (start - 1).square().sum() + first.square().sum()
        return (pull + 0.4 * speed + 4 * place).square().mean() + 10 * begins

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 1200)


class EachStep(nn.Module):
    """A recurrent cell, and an answer at each step of time."""

    def __init__(self, cell: nn.RNNBase, num_out: int) -> None:
        super().__init__()
        self.cell, self.answer = cell, nn.Linear(cell.hidden_size, num_out)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(batch, time, num_out)``."""
        value: Tensor = self.answer(self.cell(x)[0])
        return value


def filtered_signal(s: LoopSetting) -> float:
    """An LSTM forecasts a swing that is driven by noise: the noise is what remains."""
    model = EachStep(nn.LSTM(1, 24, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        noise, series = s.normal(24, 41), [torch.zeros(24), torch.zeros(24)]
        for index in range(41):
            series.append(1.4 * series[-1] - 0.7 * series[-2] + 0.5 * noise[:, index])
        x = torch.stack(series, 1)[..., None]
        return x[:, 1:-1], x[:, 2:]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 600)


def visits_by_the_hour(s: LoopSetting) -> float:
    """A GRU forecasts counts of visits that follow the hours of the day, with a Poisson likelihood."""
    model = EachStep(nn.GRU(2, 24, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        hours = torch.arange(48) + torch.randint(0, 24, (24, 1), generator=s.data)
        angle = 6.2832 * hours / 24
        visits = torch.poisson((1 + angle.sin()).exp(), generator=s.data)
        return torch.stack([visits[:, :-1] / 5, angle[:, :-1].cos()], 2), visits[:, 1:, None]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, nn.PoissonNLLLoss(), 600)


LOOPS = {
    "summed_vae": (summed_vae, 55.0),
    "contrast_of_views": (contrast_of_views, 3.0),
    "squeezed_images": (squeezed_images, 0.35),
    "values_with_target": (values_with_target, -0.1),
    "advantage_and_value": (advantage_and_value, -0.7),
    "four_epochs_a_batch": (four_epochs_a_batch, -0.7),
    "averaged_self": (averaged_self, 0.5),
    "noise_at_levels": (noise_at_levels, 0.7),
    "pairs_of_words": (pairs_of_words, 2.0),
    "misheard_words": (misheard_words, 1.2),
    "friends_of_friends": (friends_of_friends, 0.95),
    "rated_films": (rated_films, 2.5),
    "chosen_experts": (chosen_experts, 2.0),
    "number_and_kind": (number_and_kind, -2.0),
    "damped_swing": (damped_swing, 0.5),
    "filtered_signal": (filtered_signal, 0.35),
    "visits_by_the_hour": (visits_by_the_hour, -1.5),
}
"""Each loop, and the number that a run which learnt comes below."""
