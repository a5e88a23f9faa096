"""Healthy loops: unusual models, and runs that are meddled with. What each is stands in `kinds`."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, mlp, tail, train_before, two_classes


class Waves(nn.Module):
    """A network that sees a coordinate as waves of up to 16 periods."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp(32, 64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Heights at the coordinates."""
        phases = 2 * math.pi * x * torch.arange(1.0, 17.0)
        height: Tensor = self.layers(torch.cat([phases.sin(), phases.cos()], 1))
        return height


def coordinate_fit(s: LoopSetting) -> float:
    """One signal is stored in the weights: the loss falls over three decades."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        place = s.uniform(128, 1)
        return place, torch.sin(40 * place**2) + (place > 0.5).float()

    model = Waves()
    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.mse_loss, 800)


class LowRankMatrix(nn.Module):
    """Two tables whose product is a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(0.1 * torch.randn(60, 4))
        self.columns = nn.Parameter(0.1 * torch.randn(60, 4))

    def forward(self, places: Tensor) -> Tensor:
        """Entries of the matrix at the places, shape ``(num, 2)``."""
        return (self.rows[places[:, 0]] * self.columns[places[:, 1]]).sum(1)


def completed_matrix(s: LoopSetting) -> float:
    """A noisy matrix of rank three in two tables: both are small at first, and a plateau comes before."""
    matrix = s.normal(60, 3) @ s.normal(3, 60)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        places = torch.randint(0, 60, (256, 2), generator=s.data)
        return places, matrix[places[:, 0], places[:, 1]] + s.normal(256)

    model = LowRankMatrix()
    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.mse_loss, 900)


class Temperature(nn.Module):
    """One number that logits are divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(1.5))

    def forward(self, logits: Tensor) -> Tensor:
        """Logits at this temperature."""
        return logits / self.value


def one_number(s: LoopSetting) -> float:
    """A temperature is all that is trained, on the logits of a frozen model."""
    draw_classes = two_classes(s, 0.2)
    frozen = mlp(10, 32, 2)
    train_before(frozen, frozen.parameters(), draw_classes, F.cross_entropy, 0.2, 400)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = draw_classes(step)
        return frozen(inputs).detach(), kinds

    model = Temperature()
    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.cross_entropy, 500)


def soft_actor(s: LoopSetting) -> float:
    """A critic, a policy, and a temperature that is learnt: three optimizers, whose losses mean little."""
    critic, policy = mlp(5, 48, 48, 1), mlp(3, 32, 4)
    heat = nn.ParameterList([nn.Parameter(torch.zeros(()))])
    steps = [Adam(part.parameters(), 3e-3) for part in (critic, policy, heat)]
    for part, optimizer in zip((critic, policy, heat), steps, strict=True):
        s.watch(part, optimizer)
    goal, rewards = s.normal(3, 2) / 2, []
    for _ in range(700):
        state = s.normal(48, 3)
        mean, log_spread = policy(state).chunk(2, 1)
        chosen = torch.distributions.Normal(mean, log_spread.clamp(-4, 1).exp())
        action = chosen.rsample()
        chance = chosen.log_prob(action).sum(1)
        gain = -(action.detach() - state @ goal).square().sum(1) + 0.3 * s.normal(48)
        guess = critic(torch.cat([state, action.detach()], 1))[:, 0]
        worth = critic(torch.cat([state, action], 1))[:, 0]
        losses = (
            F.mse_loss(guess, gain),
            (heat[0].exp().detach() * chance - worth).mean(),
            -(heat[0] * (chance - 2).detach()).mean(),
        )
        for part, optimizer, loss in zip((critic, policy, heat), steps, losses, strict=True):
            optimizer.zero_grad()
            loss.backward(inputs=list(part.parameters()))
        for optimizer in steps:
            optimizer.step()
        rewards.append(-gain.mean().item())
    return tail(rewards)


def pruned_midway(s: LoopSetting) -> float:
    """Nine in ten weights are set to zero at step 400, and held there: the loss leaps and comes back."""
    model = mlp(10, 64, 64, 2)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.05), []
    masks: list[tuple[nn.Parameter, Tensor]] = []
    for step in range(900):
        if step == 400:
            matrices = [param for param in model.parameters() if param.ndim == 2]
            masks = [(param, (s.uniform(*param.shape) < 0.1).float()) for param in matrices]
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for param, mask in masks:
                param.mul_(mask)
        losses.append(loss.item())
    return tail(losses)


def rolled_back(s: LoopSetting) -> float:
    """The weights of step 40 are loaded again at step 500, by hand: the loss is what it was then."""
    model = mlp(6, 48, 1)
    worth, losses = s.normal(6, 1) / 2, []
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    kept = copy.deepcopy(model.state_dict())
    for step in range(1000):
        if step == 40:
            kept = copy.deepcopy(model.state_dict())
        if step == 500:
            model.load_state_dict(kept)
        inputs = s.normal(48, 6)
        loss = F.mse_loss(model(inputs), 2 * torch.sin(inputs @ worth) + 0.2 * s.normal(48, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


class RandomDepth(nn.Module):
    """Twelve residual layers, of which a third to two thirds is left out at each step."""

    def __init__(self, chances: torch.Generator) -> None:
        super().__init__()
        self.read, self.answer, self._chances = nn.Linear(10, 32), nn.Linear(32, 2), chances
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(12))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.read(x)
        for layer in self.layers:
            if torch.rand((), generator=self._chances) < 0.5:
                x = x + 0.5 * F.gelu(layer(x))
        logits: Tensor = self.answer(x)
        return logits


def stochastic_depth(s: LoopSetting) -> float:
    """Layers that are left out have no gradient at that step."""
    model = RandomDepth(s.data)
    return fit(s, model, AdamW(model.parameters(), 2e-3), two_classes(s, 0.1), F.cross_entropy, 600)


def clipped_hard(s: LoopSetting) -> float:
    """The loop clips at a hundredth of what the gradient is: each step has one length."""
    model = mlp(6, 48, 1)
    worth, losses = s.normal(6, 1), []
    optimizer = SGD(model.parameters(), 1.0)
    s.watch(model, optimizer)
    for _ in range(900):
        inputs = s.normal(32, 6)
        loss = F.mse_loss(model(inputs), 30 * (inputs @ worth + s.normal(32, 1)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        optimizer.step()
        losses.append(loss.item() / 900)
    return tail(losses)


def noisy_weights(s: LoopSetting) -> float:
    """Weights are drawn around their means at each step, and the divergence from a prior is in the loss."""
    means, spreads = mlp(6, 24, 1), mlp(6, 24, 1)
    with torch.no_grad():
        for param in spreads.parameters():
            param.fill_(-4.0)
    model = nn.ModuleList([means, spreads])
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    worth, losses = s.normal(6, 1), []
    for _ in range(800):
        inputs = s.normal(48, 6)
        targets = torch.sin(inputs @ worth) + 0.3 * s.normal(48, 1)
        drawn, divergence = {}, torch.zeros(())
        for (name, mean), log_spread in zip(means.named_parameters(), spreads.parameters(), strict=True):
            spread = log_spread.exp()
            drawn[name] = mean + spread * s.normal(*mean.shape)
            divergence = divergence + 0.5 * (mean**2 + spread**2 - 1 - 2 * log_spread).sum()
        error = (torch.func.functional_call(means, drawn, (inputs,)) - targets).square().mean()
        loss = error / (2 * 0.3**2) + divergence / 5000
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(error.item())
    return tail(losses)


def twin_views(s: LoopSetting) -> float:
    """Distances of pairs, squared inside a margin: equal pairs pull to zero, others stop at the margin."""
    model = mlp(8, 48, 8)
    centres = 1.5 * s.normal(5, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 5, (2, 48), generator=s.data)
        return centres[kinds] + s.normal(2, 48, 8), (kinds[0] == kinds[1]).float()

    def loss_fn(views: Tensor, same: Tensor) -> Tensor:
        away = (views[0] - views[1]).square().sum(1).add(1e-6).sqrt()
        return (same * away.square() + (1 - same) * F.relu(2 - away).square()).mean()

    return fit(s, model, SGD(model.parameters(), 0.02, momentum=0.9), draw, loss_fn, 900)


LOOPS = {
    "coordinate_fit": (coordinate_fit, 0.05),
    "completed_matrix": (completed_matrix, 1.6),
    "one_number": (one_number, 0.6),
    "soft_actor": (soft_actor, 0.6),
    "pruned_midway": (pruned_midway, 0.5),
    "rolled_back": (rolled_back, 0.6),
    "stochastic_depth": (stochastic_depth, 0.5),
    "clipped_hard": (clipped_hard, 5.0),
    "noisy_weights": (noisy_weights, 0.4),
    "twin_views": (twin_views, 0.6),
}
"""Each loop, and the number that a run which learnt comes below."""
