"""Healthy loops: unusual losses, changing data. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, batches, fit, mlp, tail, train_before, two_classes


def large_targets(s: LoopSetting) -> float:
    """Prices in the hundreds with a Huber loss: it falls to a tenth."""
    model = mlp(6, 64, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        return inputs, 300.0 + 100 * torch.tanh(inputs @ weights) + 10 * s.normal(32, 1)

    return fit(s, model, Adam(model.parameters(), 3e-2), draw, F.huber_loss, 900)


def bags_of_words(s: LoopSetting) -> float:
    """Bags of eight of two thousand words: most rows get no gradient at a step."""
    model = nn.Sequential(nn.EmbeddingBag(2000, 16), nn.ReLU(), nn.Linear(16, 2))
    worth = s.normal(2000)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        words = (2000 * s.uniform(48, 8).square()).long()
        return words, (worth[words].sum(1) > 0).long()

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.cross_entropy, 700)


def mixture_density(s: LoopSetting) -> float:
    """Three Gaussians to a sample; the likelihood crosses zero and has spikes."""
    model = mlp(1, 32, 9, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = 2 * s.uniform(64, 1) - 1
        side = 2.0 * (s.uniform(64, 1) < 0.5).float() - 1
        return inputs, side * (0.3 + 0.5 * inputs.abs()) + 0.05 * s.normal(64, 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        share, mean, log_spread = outputs.chunk(3, 1)
        log_spread = log_spread.clamp(-5, 3)
        each = -0.5 * ((targets - mean) / log_spread.exp()) ** 2 - log_spread - 0.92
        return -(F.log_softmax(share, 1) + each).logsumexp(1).mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 800)


def adversarial_inputs(s: LoopSetting) -> float:
    """Each batch is moved against the model first: the loss stays far above that of clean inputs."""
    model = mlp(10, 48, 2)
    draw = two_classes(s, 0.0)

    def moved(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        inputs.requires_grad_(True)
        (grad,) = torch.autograd.grad(F.cross_entropy(model(inputs), targets), inputs)
        return (inputs + 0.25 * grad.sign()).detach(), targets

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.9), moved, F.cross_entropy, 700)


def mixed_samples(s: LoopSetting) -> float:
    """Mixup and label smoothing: most of the loss is the entropy of the targets."""
    model = mlp(8, 48, 4)
    centres = 2 * s.normal(4, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 4, (64,), generator=s.data)
        inputs, targets = centres[kinds] + s.normal(64, 8), F.one_hot(kinds, 4) * 0.9 + 0.025
        share = s.uniform(64, 1)
        return share * inputs + (1 - share) * inputs.flip(0), share * targets + (1 - share) * targets.flip(0)

    return fit(s, model, AdamW(model.parameters(), 3e-3), draw, F.cross_entropy, 600)


def spectral_gan(s: LoopSetting) -> float:
    """Hinge losses and a critic of bounded slope: both losses are flat; returns the means' distance."""
    norm = nn.utils.parametrizations.spectral_norm
    generator = mlp(3, 32, 2)
    critic = nn.Sequential(norm(nn.Linear(2, 32)), nn.ReLU(), norm(nn.Linear(32, 32)), nn.ReLU())
    critic.append(norm(nn.Linear(32, 1)))
    of_generator = RMSprop(generator.parameters(), 1e-3)
    of_critic = RMSprop(critic.parameters(), 2e-3)
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    goal = torch.tensor([-1.0, 1.0])
    for _ in range(900):
        real, fake = 0.5 * s.normal(48, 2) + goal, generator(s.normal(48, 3))
        of_critic.zero_grad()
        (F.relu(1 - critic(real)).mean() + F.relu(1 + critic(fake.detach())).mean()).backward()
        of_critic.step()
        of_generator.zero_grad()
        (-critic(fake).mean()).backward()
        of_generator.step()
    return (generator(s.normal(512, 3)).mean(0) - goal).norm().item()


class Quantised(nn.Module):
    """An autoencoder through the nearest of sixteen vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp(8, 32, 4), mlp(4, 32, 8)
        self.codes = nn.Parameter(torch.randn(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        """The loss of each sample."""
        inner = self.encode(x)
        code = self.codes[torch.cdist(inner, self.codes).argmin(1)]
        passed = inner + (code - inner).detach()
        error = (self.decode(passed) - x).square().mean(1)
        result: Tensor = error + (code - inner.detach()).square().mean(1)
        return result + 0.25 * (inner - code.detach()).square().mean(1)


def quantised_codes(s: LoopSetting) -> float:
    """Codes that are never the nearest get no gradient; what the codes cannot tell stays in the loss."""
    model = Quantised()
    centres = 2 * s.normal(6, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = centres[torch.randint(0, 6, (48,), generator=s.data)] + 0.4 * s.normal(48, 8)
        return inputs, inputs

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, lambda loss, _: loss.mean(), 700)


def survival(s: LoopSetting) -> float:
    """Cox's partial likelihood of forty patients: noise hides most of what can be known."""
    model = mlp(6, 24, 1)
    weights = 0.7 * s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(40, 6)
        times = -s.uniform(40, 1).log() / (inputs @ weights).exp()
        order = times[:, 0].argsort(descending=True)
        return inputs[order], times[order]

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        risk = outputs[:, 0]
        return (risk.logcumsumexp(0) - risk).mean()

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, loss_fn, 700)


def changing_tasks(s: LoopSetting) -> float:
    """Every 250 steps the features trade places: the loss leaps up and falls again."""
    model = mlp(10, 48, 2)
    usual = two_classes(s, 0.05)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = usual(step)
        return inputs.roll(3 * (step // 250), 1), targets

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 900)


class LowRank(nn.Module):
    """A fixed layer and a product of two narrow ones beside it, the second of which starts at zero."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """What both make of ``x``."""
        result: Tensor = self.base(x) + self.up(self.down(x))
        return result


def low_rank_adapters(s: LoopSetting) -> float:
    """Fine-tunes a trained net for a task that is a little different, by adapters alone."""
    model = mlp(10, 32, 32, 2)
    train_before(model, model.parameters(), two_classes(s, 0.1), F.cross_entropy, 0.2, 400)
    for index, layer in enumerate(model):
        if isinstance(layer, nn.Linear):
            model[index] = LowRank(layer)
    usual = two_classes(s, 0.1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = usual(step)
        return inputs.roll(1, 1), targets

    trained = [param for param in model.parameters() if param.requires_grad]
    return fit(s, model, AdamW(trained, 3e-3), draw, F.cross_entropy, 700)


class Reverse(torch.autograd.Function):
    """Passes values as they are, and gradients with the opposite sign."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        """The same values."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        """The opposite gradient."""
        return -grad


class DomainNet(nn.Module):
    """Features that tell the class and must not tell the domain."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classify, self.domain = mlp(10, 32, 16), mlp(16, 16, 2), mlp(16, 16, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the class and of the domain."""
        features = torch.relu(self.body(x))
        return self.classify(features), self.domain(Reverse.apply(features))


def domain_adversary(s: LoopSetting) -> float:
    """A part of the loss must not fall below log 2; returns the loss of the classes."""
    model = DomainNet()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.05)
    losses = []
    for step in range(700):
        inputs, targets = draw(step)
        domains = (s.uniform(64) < 0.5).long()
        inputs[:, 4] += 2.0 * domains
        optimizer.zero_grad()
        classes, of_domain = model(inputs)
        loss = F.cross_entropy(classes, targets)
        (loss + 0.3 * F.cross_entropy(of_domain, domains)).backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


class Segmenter(nn.Module):
    """Two convolutions and a logit for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(),
            nn.Conv2d(12, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The chance of each pixel."""
        return torch.sigmoid(self.layers(x))


def overlap_loss(s: LoopSetting) -> float:
    """The Dice loss of a bright square in noise."""
    model = Segmenter()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        mask = torch.zeros(12, 1, 10, 10)
        corners = torch.randint(0, 6, (12, 2), generator=s.data).tolist()
        for index, (row, column) in enumerate(corners):
            mask[index, 0, row : row + 4, column : column + 4] = 1
        return mask + 0.5 * s.normal(12, 1, 10, 10), mask

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - 2 * (outputs * targets).sum() / (outputs.sum() + targets.sum())

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 400)


def half_brain_float(s: LoopSetting) -> float:
    """The forward pass in bfloat16: losses and gradients are coarse."""
    model = mlp(10, 48, 48, 2)
    draw = two_classes(s, 0.1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.float(), targets)

    class Coarse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                result: Tensor = self.inner(x)
            return result

    return fit(s, Coarse(), AdamW(model.parameters(), 3e-3), draw, loss_fn, 600)


def overfitted_few(s: LoopSetting) -> float:
    """Forty samples with random labels, learnt by heart: the loss goes to zero and stays there."""
    model = mlp(16, 128, 128, 2)
    inputs, targets = s.normal(40, 16), torch.randint(0, 2, (40,), generator=s.data)
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(s, model, optimizer, batches(s, inputs, targets, 16), F.cross_entropy, 900)


def autoregressive_counts(s: LoopSetting) -> float:
    """A GRU on a noisy random walk with the user's own clipping: most of each change is noise."""
    cell, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    s.watch(model, optimizer)
    losses = []
    for _ in range(500):
        noise = s.normal(24, 21, 1)
        walk = torch.zeros(24, 21, 1)
        for time in range(1, 21):
            walk[:, time] = 0.9 * walk[:, time - 1] + noise[:, time]
        optimizer.zero_grad()
        loss = F.mse_loss(answer(cell(walk[:, :-1])[0]), walk[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def policy_on_slope(s: LoopSetting) -> float:
    """A Gaussian policy with a learnt spread and a mean reward as its baseline; returns minus the reward."""
    policy = mlp(2, 32, 1, unit=nn.Tanh)
    log_spread = nn.Parameter(torch.zeros(1))
    optimizer = Adam([*policy.parameters(), log_spread], 5e-3)
    s.watch(policy, optimizer)
    rewards, mean = [], 0.0
    for _ in range(800):
        states = s.normal(48, 2)
        choices = torch.distributions.Normal(policy(states)[:, 0], log_spread.exp())
        actions = choices.sample()
        reward = -(actions - states[:, 0] * states[:, 1]).square()
        mean = 0.9 * mean + 0.1 * reward.mean().item()
        optimizer.zero_grad()
        (-(choices.log_prob(actions) * (reward - mean)).mean()).backward()
        optimizer.step()
        rewards.append(-reward.mean().item())
    return tail(rewards)


LOOPS = {
    "large_targets": (large_targets, 40.0),
    "bags_of_words": (bags_of_words, 0.6),
    "mixture_density": (mixture_density, 0.0),
    "adversarial_inputs": (adversarial_inputs, 0.55),
    "mixed_samples": (mixed_samples, 1.1),
    "spectral_gan": (spectral_gan, 0.5),
    "quantised_codes": (quantised_codes, 1.0),
    "survival": (survival, 2.6),
    "changing_tasks": (changing_tasks, 0.4),
    "low_rank_adapters": (low_rank_adapters, 0.5),
    "domain_adversary": (domain_adversary, 0.35),
    "overlap_loss": (overlap_loss, 0.3),
    "half_brain_float": (half_brain_float, 0.45),
    "overfitted_few": (overfitted_few, 0.1),
    "autoregressive_counts": (autoregressive_counts, 1.3),
    "policy_on_slope": (policy_on_slope, 0.9),
}
"""Each loop, and the number that a run which learnt comes below."""
