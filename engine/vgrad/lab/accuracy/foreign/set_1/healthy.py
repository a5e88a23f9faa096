"""Healthy loops: noise floors, rates held back, losses that mean little. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, mlp, tail, train_before, two_classes


def label_noise(s: LoopSetting) -> float:
    """Bayes loss .56 of .69."""
    model = mlp(10, 24, 24, 2)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.25), F.cross_entropy, 1200)


def rate_to_zero(s: LoopSetting) -> float:
    """A linear decay that ends in the middle."""
    model = mlp(10, 32, 2)
    optimizer = Adam(model.parameters(), 5e-3)
    schedule = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 400))
    return fit(s, model, optimizer, two_classes(s, 0.15), F.cross_entropy, 900, schedule)


def continued(s: LoopSetting) -> float:
    """Trained with the same data and rate before."""
    model = mlp(10, 32, 32, 2, unit=nn.Tanh)
    draw = two_classes(s, 0.1)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.2, 1500)
    return fit(s, model, SGD(model.parameters(), 0.2), draw, F.cross_entropy, 700)


def noise_variance(s: LoopSetting) -> float:
    """A fifth of the variance can be explained."""
    model = mlp(12, 48, 48, 1, unit=nn.GELU)
    direction = F.normalize(s.normal(12), dim=0)[:, None] * math.sqrt(0.2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 12)
        return inputs, inputs @ direction + math.sqrt(0.8) * s.normal(64, 1)

    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), draw, F.mse_loss, 900)


def prior_only(s: LoopSetting) -> float:
    """Three percent are positive, whatever the inputs."""
    model = mlp(8, 32, 32, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(64, 8), (s.uniform(64, 1) < 0.03).float()

    loss_fn = F.binary_cross_entropy_with_logits
    return fit(s, model, Adam(model.parameters(), 1e-3), draw, loss_fn, 1000)


class Towers(nn.Module):
    """Towers of which a fixed rule never takes the first and the last."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleList(mlp(10, 24, 2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the tower that is chosen by a sign."""
        chosen = (x[:, 2:3] > 0).float()
        answer = chosen * self.towers[1](x) + (1 - chosen) * self.towers[2](x)
        return answer + 0.0 * self.towers[0](x) + 0.0 * self.towers[3](x)


def unused_layers(s: LoopSetting) -> float:
    """Half of the layers are multiplied by 0."""
    model = Towers()
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.2), F.cross_entropy, 900)


def harder_data(s: LoopSetting) -> float:
    """From step 400 on the inputs that matter are hidden in noise."""
    model = mlp(10, 48, 2)
    easy = two_classes(s)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = easy(step)
        if step >= 400:
            inputs = inputs + 1.0 * s.normal(*inputs.shape)
        return inputs, targets

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 1200)


def least_squares_gan(s: LoopSetting) -> float:
    """Generator and critic on a mixture of four points."""
    generator, critic = mlp(4, 32, 32, 2), mlp(2, 32, 32, 1, unit=lambda: nn.LeakyReLU(0.2))
    of_generator = Adam(generator.parameters(), 1e-3, betas=(0.5, 0.9))
    of_critic = Adam(critic.parameters(), 1e-3, betas=(0.5, 0.9))
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    centres = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    losses = []
    for _ in range(1200):
        real = centres[torch.randint(0, 4, (64,), generator=s.data)] + 0.1 * s.normal(64, 2)
        fake = generator(s.normal(64, 4))
        of_critic.zero_grad()
        loss = ((critic(real) - 1) ** 2 + critic(fake.detach()) ** 2).mean()
        loss.backward()
        of_critic.step()
        of_generator.zero_grad()
        ((critic(fake) - 1) ** 2).mean().backward()
        of_generator.step()
        losses.append(loss.item())
    return tail(losses)


def bandit(s: LoopSetting) -> float:
    """REINFORCE with a hidden layer on a bandit with contexts; returns the share of wrong choices."""
    policy = mlp(4, 32, 5)
    optimizer = Adam(policy.parameters(), 5e-3)
    s.watch(policy, optimizer)
    wrong = []
    for _ in range(900):
        contexts = s.normal(24, 4)
        best = contexts.argmax(1)
        choices = torch.distributions.Categorical(logits=policy(contexts))
        chosen = choices.sample()
        reward = (chosen == best).float()
        optimizer.zero_grad()
        (-(choices.log_prob(chosen) * (reward - reward.mean())).mean()).backward()
        optimizer.step()
        wrong.append(1 - reward.mean().item())
    return tail(wrong)


def single_samples(s: LoopSetting) -> float:
    """Three overlapping clouds, one point at a time."""
    model = mlp(2, 24, 24, 3)
    centres = torch.tensor([[0.0, 2.5], [2.5, -1.5], [-2.5, -1.5]])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kind = torch.randint(0, 3, (1,), generator=s.data)
        return centres[kind] + s.normal(1, 2), kind

    return fit(s, model, SGD(model.parameters(), 5e-3, momentum=0.8), draw, F.cross_entropy, 2000)


def tiny_rate(s: LoopSetting) -> float:
    """Adam at 1e-6 from weights that are good already."""
    model = mlp(10, 32, 2)
    draw = two_classes(s, 0.1)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.3, 800)
    return fit(s, model, AdamW(model.parameters(), 1e-6), draw, F.cross_entropy, 700)


def loss_near_zero(s: LoopSetting) -> float:
    """More weights than samples, and Adam at a rate at which tiny losses jump."""
    model = mlp(6, 64, 64, 1, unit=nn.Tanh)
    inputs, targets = s.normal(32, 6), 0.5 * s.normal(32, 1)
    return fit(s, model, Adam(model.parameters(), 5e-3), lambda _: (inputs, targets), F.mse_loss, 1500)


def negative_loss(s: LoopSetting) -> float:
    """Mean and log of the spread of a narrow Gaussian."""
    model = mlp(3, 32, 2, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 3)
        return inputs, torch.sin(inputs[:, :1]) + 0.1 * s.normal(64, 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        mean, log_spread = outputs[:, :1], outputs[:, 1:].clamp(-4, 4)
        return (log_spread + 0.5 * ((targets - mean) / log_spread.exp()) ** 2).mean()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 1200)


def lucky_start(s: LoopSetting) -> float:
    """The first thirty batches hold few of the hard samples."""
    model = mlp(10, 32, 2)
    usual = two_classes(s, 0.05)
    train_before(model, model.parameters(), usual, F.cross_entropy, 0.3, 1200)
    clean = two_classes(s, 0.0)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return clean(step) if step < 30 else usual(step)

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.5), draw, F.cross_entropy, 700)


class ZeroBranch(nn.Module):
    """A residual branch times a factor that is 0 at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = mlp(width, width, width)
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and the branch."""
        result: Tensor = x + self.factor * self.branch(x)
        return result


def zero_branches(s: LoopSetting) -> float:
    """Six such branches: their layers get exactly nothing at the first step."""
    model = nn.Sequential(nn.Linear(10, 24), *(ZeroBranch(24) for _ in range(6)), nn.Linear(24, 2))
    return fit(s, model, Adam(model.parameters(), 1e-3), two_classes(s, 0.2), F.cross_entropy, 800)


def hinge_satisfied(s: LoopSetting) -> float:
    """A hinge loss on two clouds far apart: after a while nearly every batch is right by the margin."""
    model = mlp(2, 24, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        side = 2.0 * (s.uniform(8, 1) < 0.5).float() - 1
        return torch.cat([2.2 * side, torch.zeros_like(side)], 1) + s.normal(8, 2), side

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.relu(1 - outputs * targets).mean()

    return fit(s, model, SGD(model.parameters(), 0.1), draw, loss_fn, 900)


def q_learning(s: LoopSetting) -> float:
    """A walk on ten places with a reward at its end; returns minus the value learnt at the start."""
    online, target = mlp(10, 32, 2), mlp(10, 32, 2)
    target.load_state_dict(online.state_dict())
    optimizer = Adam(online.parameters(), 2e-3)
    s.watch(online, optimizer)
    places = torch.eye(10)
    for step in range(1500):
        place = torch.randint(0, 10, (32,), generator=s.data)
        action = torch.randint(0, 2, (32,), generator=s.data)
        after = (place + 2 * action - 1).clamp(0, 9)
        reward = (after == 9).float() * 10
        with torch.no_grad():
            wanted = reward + 0.9 * target(places[after]).max(1).values
        optimizer.zero_grad()
        F.smooth_l1_loss(online(places[place]).gather(1, action[:, None])[:, 0], wanted).backward()
        optimizer.step()
        if step % 50 == 49:
            target.load_state_dict(online.state_dict())
    return -online(places[0]).max().item()


class TwoHeads(nn.Module):
    """A trunk with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = mlp(10, 32, 32)
        self.first, self.second = mlp(32, 16, 2), mlp(32, 16, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both."""
        h = torch.relu(self.trunk(x))
        return self.first(h), self.second(h)


def late_head(s: LoopSetting) -> float:
    """The second head's loss joins at step 400."""
    model = TwoHeads()
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.15)
    losses = []
    for step in range(900):
        inputs, targets = draw(step)
        optimizer.zero_grad()
        first, second = model(inputs)
        loss = F.cross_entropy(first, targets)
        if step >= 400:
            loss = loss + F.cross_entropy(second, (inputs[:, 2] > 0).long())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


LOOPS = {
    "label_noise": (label_noise, 0.64),
    "rate_to_zero": (rate_to_zero, 0.55),
    "continued": (continued, 0.45),
    "noise_variance": (noise_variance, 0.95),
    "prior_only": (prior_only, 0.20),
    "unused_layers": (unused_layers, 0.60),
    "harder_data": (harder_data, 0.55),
    "least_squares_gan": (least_squares_gan, 0.9),
    "bandit": (bandit, 0.4),
    "single_samples": (single_samples, 0.5),
    "tiny_rate": (tiny_rate, 0.45),
    "loss_near_zero": (loss_near_zero, 0.01),
    "negative_loss": (negative_loss, -0.8),
    "lucky_start": (lucky_start, 0.35),
    "zero_branches": (zero_branches, 0.60),
    "hinge_satisfied": (hinge_satisfied, 0.15),
    "q_learning": (q_learning, -25.0),
    "late_head": (late_head, 1.0),
}
"""Each loop, and the number that a run which learnt comes below."""
