"""Healthy loops: schedules, heavy tails, parts that are rarely used. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, MultiStepLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


def _convolutions(unit: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), unit(), nn.Conv2d(8, 8, 3, stride=2, padding=1), unit(), nn.Flatten(),
        nn.Linear(8 * 16, 4),
    )  # fmt: skip


def noisy_images(s: LoopSetting) -> float:
    """A third of the labels is drawn again."""
    model = _convolutions(nn.ReLU)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    return fit(s, model, optimizer, images(s, 1 / 3), F.cross_entropy, 800)


def step_decay(s: LoopSetting) -> float:
    """From 1e-2 to 1e-4 to 1e-6."""
    model = mlp(10, 32, 32, 2)
    optimizer = Adam(model.parameters(), 1e-2)
    schedule = MultiStepLR(optimizer, [250, 450], gamma=0.01)
    return fit(s, model, optimizer, two_classes(s, 0.1), F.cross_entropy, 900, schedule)


def resumed_with_adam(s: LoopSetting) -> float:
    """The first steps of Adam are as long as its rate, however small the gradient."""
    model = mlp(10, 32, 32, 2)
    draw = two_classes(s, 0.15)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.2, 1200)
    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 700)


def heavy_tails(s: LoopSetting) -> float:
    """A smooth L1 loss, so that the mean is finite, of targets with Cauchy noise."""
    model = mlp(6, 32, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(16, 6)
        cauchy = torch.tan(math.pi * (s.uniform(16, 1) - 0.5)).clamp(-1e3, 1e3)
        return inputs, inputs @ weights + 0.5 * cauchy

    mean = fit(s, model, Adam(model.parameters(), 3e-3), draw, F.smooth_l1_loss, 1000)
    inputs = s.normal(256, 6)
    error = (model(inputs) - inputs @ weights).abs().mean().item()
    return error if math.isfinite(mean) else math.nan


class NextSymbol(nn.Module):
    """Predicts the next of six symbols from a recurrent state."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 12)
        self.cell = nn.GRU(12, 24, batch_first=True)
        self.answer = nn.Linear(24, 6)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits, shape ``(batch, 6, time)``."""
        states, _ = self.cell(self.embed(symbols))
        result: Tensor = self.answer(states).transpose(1, 2)
        return result


def markov_text(s: LoopSetting) -> float:
    """A chain with little order: the entropy rate is not far below log 6."""
    model = NextSymbol()
    chances = F.softmax(1.2 * s.normal(6, 6), dim=1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = [torch.randint(0, 6, (16,), generator=s.data)]
        for _ in range(16):
            symbols.append(torch.multinomial(chances[symbols[-1]], 1, generator=s.data)[:, 0])
        text = torch.stack(symbols, 1)
        return text[:, :-1], text[:, 1:]

    loss = fit(s, model, Adam(model.parameters(), 1e-2), draw, F.cross_entropy, 600)
    rate = -(chances * chances.log()).sum(1).mean().item()
    return loss - rate


class Vae(nn.Module):
    """A variational autoencoder of ten numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp(10, 32, 8), mlp(4, 32, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and divergence."""
        mean, log_var = self.encode(x).chunk(2, 1)
        latent = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
        return self.decode(latent), divergence


def vae_annealed(s: LoopSetting) -> float:
    """The divergence counts from step 200 on, and in full from step 600 on."""
    model = Vae()
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    mix = s.normal(2, 10)
    losses = []
    for step in range(1000):
        inputs = s.normal(64, 2) @ mix + 0.3 * s.normal(64, 10)
        optimizer.zero_grad()
        again, divergence = model(inputs)
        loss = ((again - inputs) ** 2).sum(1).mean() + min(1.0, max(0.0, (step - 200) / 400)) * divergence
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def wasserstein_gan(s: LoopSetting) -> float:
    """Weights clipped to .1; returns the distance of the means."""
    generator, critic = mlp(4, 32, 2), mlp(2, 48, 48, 1)
    of_generator, of_critic = RMSprop(generator.parameters(), 5e-4), RMSprop(critic.parameters(), 5e-4)
    s.watch(critic, of_critic)
    s.watch(generator, of_generator)
    for step in range(1200):
        real = 0.4 * s.normal(64, 2) + torch.tensor([1.5, -0.5])
        fake = generator(s.normal(64, 4))
        of_critic.zero_grad()
        (critic(fake.detach()).mean() - critic(real).mean()).backward()
        of_critic.step()
        with torch.no_grad():
            for param in critic.parameters():
                param.clamp_(-0.1, 0.1)
        if step % 3 == 0:
            of_generator.zero_grad()
            (-critic(fake).mean()).backward()
            of_generator.step()
    made = generator(s.normal(512, 4)).mean(0)
    return (made - torch.tensor([1.5, -0.5])).norm().item()


def actor_critic(s: LoopSetting) -> float:
    """Five places in a row, a reward at the right end; returns minus the mean reward of an episode."""
    actor, critic = mlp(5, 24, 2), mlp(5, 24, 1)
    of_actor, of_critic = Adam(actor.parameters(), 5e-3), Adam(critic.parameters(), 1e-2)
    s.watch(actor, of_actor)
    s.watch(critic, of_critic)
    places = torch.eye(5)
    returns = []
    for _ in range(600):
        place = torch.zeros(16, dtype=torch.long)
        states, actions, rewards = [], [], []
        for _ in range(6):
            chosen = torch.distributions.Categorical(logits=actor(places[place])).sample()
            states.append(places[place])
            actions.append(chosen)
            place = (place + 2 * chosen - 1).clamp(0, 4)
            rewards.append((place == 4).float())
        total = torch.zeros(16)
        wanted: list[Tensor] = []
        for reward in reversed(rewards):
            total = reward + 0.9 * total
            wanted.insert(0, total)
        seen, did, worth = torch.cat(states), torch.cat(actions), torch.cat(wanted)
        value = critic(seen)[:, 0]
        of_critic.zero_grad()
        F.mse_loss(value, worth).backward()
        of_critic.step()
        choices = torch.distributions.Categorical(logits=actor(seen))
        of_actor.zero_grad()
        (
            -(choices.log_prob(did) * (worth - value.detach())).mean() - 0.01 * choices.entropy().mean()
        ).backward()
        of_actor.step()
        returns.append(-sum(reward.mean().item() for reward in rewards))
    return tail(returns)


def contrastive(s: LoopSetting) -> float:
    """A predictor of one noisy view's projection from another's, with the target's gradient stopped."""
    project, predict = mlp(10, 32, 16), mlp(16, 16, 16)
    model = nn.ModuleList([project, predict])
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    s.watch(model, optimizer)
    losses = []
    for _ in range(900):
        inputs = s.normal(48, 10)
        first, second = (project(inputs + 0.1 * s.normal(48, 10)) for _ in range(2))
        optimizer.zero_grad()
        loss = -0.5 * (
            F.cosine_similarity(predict(first), second.detach()).mean()
            + F.cosine_similarity(predict(second), first.detach()).mean()
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def warm_restarts(s: LoopSetting) -> float:
    """Every 200 steps the rate is .5 again."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.5, momentum=0.5)
    schedule = CosineAnnealingWarmRestarts(optimizer, 200)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 1000, schedule)


def denoising(s: LoopSetting) -> float:
    """Predicts the noise of a random level in points on a ring, as diffusion models do."""
    model = mlp(3, 48, 48, 2, unit=nn.SiLU)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        angle = 2 * math.pi * s.uniform(64)
        level = s.uniform(64, 1)
        noise = s.normal(64, 2)
        points = torch.stack([angle.cos(), angle.sin()], 1)
        return torch.cat([(1 - level) ** 0.5 * points + level**0.5 * noise, level], 1), noise

    return fit(s, model, AdamW(model.parameters(), 2e-3), draw, F.mse_loss, 900)


class Factors(nn.Module):
    """A product of embeddings of users and items."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(300, 8), nn.Embedding(200, 8)
        self.offset = nn.Parameter(torch.zeros(()))
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, pairs: Tensor) -> Tensor:
        """Ratings, shape ``(batch,)``."""
        product = (self.users(pairs[:, 0]) * self.items(pairs[:, 1])).sum(1)
        result: Tensor = product + self.offset
        return result


def recommender(s: LoopSetting) -> float:
    """Ratings of two factors and noise of twice their spread."""
    model = Factors()
    users, items = s.normal(300, 2), s.normal(200, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pairs = torch.stack([torch.randint(0, n, (48,), generator=s.data) for n in (300, 200)], 1)
        ratings = 3 + 0.5 * (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(1) + s.normal(48)
        return pairs, ratings

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 1000)


class Routed(nn.Module):
    """Four experts behind a router that takes the best one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(10, 24)
        self.router = nn.Linear(24, 4)
        self.experts = nn.ModuleList(nn.Linear(24, 24) for _ in range(4))
        self.outer = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = torch.relu(self.inner(x))
        gates = F.softmax(self.router(h), dim=1)
        best = gates.argmax(1)
        mixed = h
        for index, expert in enumerate(self.experts):
            taken = (best == index).float()[:, None] * gates[:, index : index + 1]
            mixed = mixed + taken * torch.relu(expert(h))
        result: Tensor = self.outer(mixed)
        return result


def rare_experts(s: LoopSetting) -> float:
    """From step 300 on the router's bias for one expert is fixed far below zero."""
    model = Routed()
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.2)
    losses = []
    for step in range(900):
        inputs, targets = draw(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if step >= 300:
            with torch.no_grad():
                model.router.bias[3] = -50.0
        losses.append(loss.item())
    return tail(losses)


def counts(s: LoopSetting) -> float:
    """Poisson counts with large means: the loss without its constant is negative."""
    model = mlp(5, 24, 1)
    weights = 0.3 * s.normal(5, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 5)
        return inputs, torch.poisson((1.5 + inputs @ weights).exp(), generator=s.data)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.poisson_nll_loss, 900)


LOOPS = {
    "noisy_images": (noisy_images, 0.95),
    "step_decay": (step_decay, 0.45),
    "resumed_with_adam": (resumed_with_adam, 0.55),
    "heavy_tails": (heavy_tails, 0.5),
    "markov_text": (markov_text, 0.08),
    "vae_annealed": (vae_annealed, 9.0),
    "wasserstein_gan": (wasserstein_gan, 1.0),
    "actor_critic": (actor_critic, -1.5),
    "contrastive": (contrastive, -0.8),
    "warm_restarts": (warm_restarts, 0.35),
    "denoising": (denoising, 0.8),
    "recommender": (recommender, 2.0),
    "rare_experts": (rare_experts, 0.62),
    "counts": (counts, -1.0),
}
"""Each loop, and the number that a run which learnt comes below."""
