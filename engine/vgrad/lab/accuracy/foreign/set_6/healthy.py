"""Healthy loops: losses that change on purpose. What each is stands in `kinds`."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


def thawed_body(s: LoopSetting) -> float:
    """A trained body is frozen under a new head, and joins with an optimizer for both after 300 steps."""
    draw = two_classes(s, 0.1)
    model = mlp(10, 32, 32, 2)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.1, 300)
    head = nn.Linear(32, 2)
    model[4] = head
    body = nn.ModuleList([model[0], model[2]])
    body.requires_grad_(False)
    optimizer = AdamW([{"params": head.parameters(), "lr": 3e-3}, {"params": body.parameters(), "lr": 3e-4}])
    s.watch(model, optimizer)
    losses = []
    for step in range(800):
        if step == 300:
            body.requires_grad_(True)
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def cyclic_annealing(s: LoopSetting) -> float:
    """A variational autoencoder whose divergence counts nothing at the start of each of four cycles."""
    encode, decode = mlp(8, 32, 8), mlp(4, 32, 8)
    model = nn.ModuleList([encode, decode])
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    mixing, losses = s.normal(3, 8), []
    for step in range(1000):
        x = s.normal(48, 3) @ mixing + 0.2 * s.normal(48, 8)
        mean, log_var = encode(x).chunk(2, 1)
        latent = mean + (0.5 * log_var).exp() * s.normal(48, 4)
        divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
        error = (decode(latent) - x).square().sum(1) / (2 * 0.3**2)
        loss = (error + min(1.0, (step % 250) / 125) * divergence).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((error + divergence).mean().item())
    return tail(losses)


def score_of_noise(s: LoopSetting) -> float:
    """Scores at noise levels from .05 to 2, not weighted: a few small levels make nearly all of the loss."""
    model = mlp(3, 64, 64, 2, unit=nn.SiLU)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        angle, noise = 6.2832 * s.uniform(64, 1), s.normal(64, 2)
        level = 0.05 * 40 ** s.uniform(64, 1)
        points = torch.cat([angle.cos(), angle.sin()], 1) + level * noise
        return torch.cat([points, level.log()], 1), -noise / level

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.mse_loss, 900)


def growing_classes(s: LoopSetting) -> float:
    """Two more classes join every 200 steps, up to ten: at each time the loss leaps."""
    model = mlp(8, 64, 10)
    centres = 1.5 * s.normal(10, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, min(10, 2 + 2 * (step // 200)), (48,), generator=s.data)
        return centres[kinds] + s.normal(48, 8), kinds

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 1200)


def reweighted_part(s: LoopSetting) -> float:
    """The weight of a second loss, .1 at first, is set to 20 at step 400."""
    body, first, second = mlp(8, 48, 32), nn.Linear(32, 1), nn.Linear(32, 1)
    model = nn.ModuleList([body, first, second])
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    worth, losses = s.normal(8, 2) / 3, []
    for step in range(1000):
        inputs = s.normal(48, 8)
        goals = torch.tanh(inputs @ worth) + 0.3 * s.normal(48, 2)
        hidden = F.relu(body(inputs))
        errors = [F.mse_loss(head(hidden)[:, 0], goals[:, k]) for k, head in enumerate((first, second))]
        loss = errors[0] + (0.1 if step < 400 else 20.0) * errors[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((errors[0] + errors[1]).item())
    return tail(losses)


def swapped_loss(s: LoopSetting) -> float:
    """Absolute errors for half of the time, and squared errors of targets around 20 after that."""
    model = mlp(6, 48, 1)
    worth = s.normal(6, 1)
    optimizer = Adam(model.parameters(), 1e-2)
    s.watch(model, optimizer)
    losses = []
    for step in range(1000):
        inputs = s.normal(48, 6)
        targets = 20 + 5 * torch.sin(inputs @ worth) + s.normal(48, 1)
        loss = (F.l1_loss if step < 500 else F.mse_loss)(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def bootstrapped_views(s: LoopSetting) -> float:
    """A predictor follows a slow copy of its own model: the loss falls at once, and rises as views spread."""
    online, predictor = mlp(8, 48, 16), mlp(16, 32, 16)
    target = copy.deepcopy(online).requires_grad_(False)
    model = nn.ModuleList([online, predictor])
    optimizer = AdamW(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(800):
        x = s.normal(64, 8)
        one, other = (x + 0.4 * s.normal(64, 8) for _ in range(2))
        guess = F.normalize(predictor(online(one)), dim=1)
        loss = 2 - 2 * (guess * F.normalize(target(other), dim=1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.lerp_(fast, 0.02)
        losses.append(loss.item())
    return tail(losses)


def smoothed_labels(s: LoopSetting) -> float:
    """A third of each target is spread over six classes: the loss cannot fall below 1.1."""
    model = mlp(8, 64, 6)
    centres = 2.5 * s.normal(6, 8)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.35)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 6, (48,), generator=s.data)
        return centres[kinds] + s.normal(48, 8), kinds

    return fit(s, model, AdamW(model.parameters(), 3e-3), draw, loss_fn, 900)


def gamma_likelihood(s: LoopSetting) -> float:
    """Positive amounts over four decades, with a likelihood that is negative at times."""
    model = mlp(5, 32, 2)
    worth = s.normal(5, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 5)
        mean = (inputs @ worth - 2).exp()
        return inputs, mean * (s.normal(64, 3) ** 2).mean(1, keepdim=True)

    def loss_fn(outputs: Tensor, amounts: Tensor) -> Tensor:
        shape = F.softplus(outputs[:, :1]) + 1e-3
        gamma = torch.distributions.Gamma(shape, shape * (-outputs[:, 1:]).exp())
        return -gamma.log_prob(amounts.clamp(min=1e-6)).mean()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 800)


def queue_of_negatives(s: LoopSetting) -> float:
    """Contrasts with a queue that fills from 0 to 1,024 in the first steps: the loss rises as it does."""
    online = mlp(8, 48, 16)
    slow = copy.deepcopy(online).requires_grad_(False)
    optimizer = SGD(online.parameters(), 0.1, momentum=0.9)
    s.watch(online, optimizer)
    queue, losses = torch.zeros(0, 16), []
    for _ in range(700):
        x = s.normal(32, 8)
        one = F.normalize(online(x + 0.3 * s.normal(32, 8)), dim=1)
        key = F.normalize(slow(x + 0.3 * s.normal(32, 8)), dim=1)
        logits = torch.cat([(one * key).sum(1, keepdim=True), one @ queue.T], 1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(32, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for copied, fast in zip(slow.parameters(), online.parameters(), strict=True):
                copied.lerp_(fast, 0.02)
        queue = torch.cat([key, queue])[:1024]
        losses.append(loss.item())
    return tail(losses)


def preference_pairs(s: LoopSetting) -> float:
    """Preferences against a frozen copy: the loss starts at log 2 exactly, a fifth of the pairs is wrong."""
    policy = mlp(8, 32, 6)
    frozen = copy.deepcopy(policy).requires_grad_(False)
    worth, losses = s.normal(8, 6), []
    optimizer = AdamW(policy.parameters(), 1e-3)
    s.watch(policy, optimizer)
    for _ in range(700):
        state, pair = s.normal(48, 8), torch.randint(0, 6, (48, 2), generator=s.data)
        gain = (policy(state).log_softmax(1) - frozen(state).log_softmax(1)).gather(1, pair)
        better = (state @ worth).gather(1, pair).diff(dim=1)[:, 0].sign()
        better = torch.where(s.uniform(48) < 0.2, -better, better)
        loss = -F.logsigmoid(0.5 * better * gain.diff(dim=1)[:, 0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def activation_maximised(s: LoopSetting) -> float:
    """An input is changed until a frozen network's output is large: the loss has no lower end."""
    network = mlp(16, 48, 4).requires_grad_(False)
    picture = nn.ParameterList([nn.Parameter(0.1 * s.normal(8, 16))])
    optimizer = SGD(picture, 0.5)
    s.watch(picture, optimizer)
    losses = []
    for _ in range(600):
        loss = -network(picture[0] + 0.05 * s.normal(8, 16))[:, 0].mean() + 1e-3 * picture[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def ritz_energy(s: LoopSetting) -> float:
    """The energy of a membrane, negative at its minimum, with its border held by a weight of 300."""
    model = mlp(1, 32, 32, 1, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    border, losses = torch.tensor([[-1.0], [1.0]]), []
    for _ in range(900):
        place = (2 * s.uniform(64, 1) - 1).requires_grad_()
        height = model(place)
        (slope,) = torch.autograd.grad(height.sum(), place, create_graph=True)
        energy = (0.5 * slope.square() - 8 * height).mean()
        loss = energy + 300 * model(border).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def drifting_task(s: LoopSetting) -> float:
    """What is asked for turns by a degree a step, for ever: the loss is at what following it costs."""
    model = mlp(6, 48, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, angle = s.normal(48, 6), math.radians(step)
        side = math.cos(angle) * inputs[:, 0] + math.sin(angle) * inputs[:, 1]
        return inputs, (side > 0).float()[:, None]

    return fit(s, model, SGD(model.parameters(), 0.5), draw, F.binary_cross_entropy_with_logits, 1000)


def ignored_labels(s: LoopSetting) -> float:
    """Nine in ten labels are hidden, in some batches all but one: losses of batches differ widely."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4))
    draw_images = images(s, 0.1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures, kinds = draw_images(step)
        hidden = s.uniform(len(kinds)) < 0.9
        hidden[0] = False
        return pictures, torch.where(hidden, -100, kinds)

    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.cross_entropy, 900)


def importance_weights(s: LoopSetting) -> float:
    """Rewards that another policy drew, weighted by how likely they are here: a few batches dominate."""
    policy = mlp(4, 24, 5)
    worth, rewards = s.normal(4, 5), []
    optimizer = Adam(policy.parameters(), 2e-3)
    s.watch(policy, optimizer)
    for _ in range(800):
        state, action = s.normal(48, 4), torch.randint(0, 5, (48, 1), generator=s.data)
        chance = policy(state).softmax(1)
        gain = (state @ worth).gather(1, action) + s.normal(48, 1)
        loss = -(5 * chance.gather(1, action) * gain).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(-(chance * (state @ worth)).sum(1).mean().item())
    return tail(rewards)


LOOPS = {
    "thawed_body": (thawed_body, 0.5),
    "cyclic_annealing": (cyclic_annealing, 14.0),
    "score_of_noise": (score_of_noise, 90.0),
    "growing_classes": (growing_classes, 0.8),
    "reweighted_part": (reweighted_part, 0.3),
    "swapped_loss": (swapped_loss, 10.0),
    "bootstrapped_views": (bootstrapped_views, 0.5),
    "smoothed_labels": (smoothed_labels, 1.4),
    "gamma_likelihood": (gamma_likelihood, 0.0),
    "queue_of_negatives": (queue_of_negatives, 4.5),
    "preference_pairs": (preference_pairs, 0.62),
    "activation_maximised": (activation_maximised, -0.5),
    "ritz_energy": (ritz_energy, -10.0),
    "drifting_task": (drifting_task, 0.4),
    "ignored_labels": (ignored_labels, 0.9),
    "importance_weights": (importance_weights, -0.9),
}
"""Each loop, and the number that a run which learnt comes below."""
