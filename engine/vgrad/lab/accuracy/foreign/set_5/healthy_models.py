"""Healthy loops: unusual models and updates. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, mlp, tail, two_classes


class BinaryLinear(nn.Linear):
    """A layer that computes with the signs of its weights; gradients pass as if it did not."""

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Linear` does."""
        signs = self.weight + (self.weight.sign() - self.weight).detach()
        return F.linear(input, signs / math.sqrt(self.in_features), self.bias)


def binarised_weights(s: LoopSetting) -> float:
    """Weights of one bit and straight-through gradients: the loss is rough, and falls."""
    model = nn.Sequential(BinaryLinear(10, 64), nn.Hardtanh(), BinaryLinear(64, 64), nn.Hardtanh())
    model.append(nn.Linear(64, 2))
    return fit(s, model, Adam(model.parameters(), 2e-3), two_classes(s, 0.1), F.cross_entropy, 700)


def sparse_reward(s: LoopSetting) -> float:
    """Six doors and a reward behind the last: most batches have none at first, and gradients of zero."""
    policy = nn.Embedding(6, 3)
    optimizer = Adam(policy.parameters(), 0.05)
    s.watch(policy, optimizer)
    right = torch.randint(0, 3, (6,), generator=s.data)
    shares = []
    for _ in range(900):
        chosen = torch.distributions.Categorical(logits=policy.weight)
        actions = chosen.sample((24,))
        reward = (actions == right).all(1).float()
        chances = chosen.log_prob(actions).sum(1)
        optimizer.zero_grad()
        (-(reward - reward.mean()) * chances).mean().backward()
        optimizer.step()
        shares.append(1 - reward.mean().item())
    return tail(shares)


def penalised_policy(s: LoopSetting) -> float:
    """Rewards less the distance from a policy of before: the loss is negative and rests where both agree."""
    policy = mlp(6, 24, 4)
    worth, losses = s.normal(6, 4), []
    optimizer = Adam(policy.parameters(), 3e-3)
    s.watch(policy, optimizer)
    for _ in range(700):
        state = s.normal(48, 6)
        chosen = torch.distributions.Categorical(logits=policy(state))
        action = chosen.sample()
        gain = (state @ worth).gather(1, action[:, None])[:, 0]
        away = math.log(4) - chosen.entropy()
        loss = (-chosen.log_prob(action) * (gain - gain.mean()) + 0.5 * away).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(-gain.mean().item())
    return tail(losses)


def dynamic_scale(s: LoopSetting) -> float:
    """Float16 with a scaler, which drops the steps that overflow."""
    model = mlp(10, 32, 2)
    optimizer = SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=40)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.1), []
    for step in range(600):
        inputs, kinds = draw(step)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            outputs = model(inputs)
        loss = F.cross_entropy(outputs.float(), kinds)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return tail(losses)


def sign_descent(s: LoopSetting) -> float:
    """Each weight moves by the rate, whatever its gradient, which is replaced by its sign."""
    model = mlp(10, 32, 2)
    optimizer = SGD(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.1), []
    for step in range(700):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        for param in model.parameters():
            assert param.grad is not None
            param.grad.sign_()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def stateful_text(s: LoopSetting) -> float:
    """One endless sequence, sixteen symbols at a time, its state kept from one step to the next."""
    embed, cell, answer = nn.Embedding(5, 12), nn.LSTM(12, 32, batch_first=True), nn.Linear(32, 5)
    model = nn.ModuleList([embed, cell, answer])
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    state: tuple[Tensor, Tensor] | None = None
    symbol, losses = 0, []
    for _ in range(800):
        symbols = [symbol]
        for jump in (s.uniform(16) < 0.2).tolist():
            symbols.append((symbols[-1] + (2 if jump else 1)) % 5)
        symbol = symbols[-1]
        states, state = cell(embed(torch.tensor([symbols[:-1]])), state)
        state = (state[0].detach(), state[1].detach())
        loss = F.cross_entropy(answer(states)[0], torch.tensor(symbols[1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def redundancy_reduction(s: LoopSetting) -> float:
    """Correlations of two views: large at first, and the noise of small batches at the end."""
    model = mlp(8, 32, 8)
    mix = s.normal(4, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inner = s.normal(48, 4)
        views = [inner @ mix + 0.3 * s.normal(48, 8) for _ in range(2)]
        return torch.stack(views), inner

    def loss_fn(outputs: Tensor, _: Tensor) -> Tensor:
        one, two = ((each - each.mean(0)) / (each.std(0) + 1e-3) for each in outputs)
        excess = one.T @ two / 48 - torch.eye(8)
        return (excess.diagonal() ** 2).sum() + 0.05 * (excess**2).sum()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 700)


def euler_pendulum(s: LoopSetting) -> float:
    """A field is learnt through thirty steps of its integration."""
    model = mlp(2, 32, 2, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(500):
        true = found = 1.5 * s.normal(24, 2)
        loss = torch.zeros(())
        for _ in range(30):
            true = true + 0.1 * torch.stack([true[:, 1], -true[:, 0].sin()], 1)
            found = found + 0.1 * model(found)
            loss = loss + (found - true).square().mean() / 30
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


class Generated(nn.Module):
    """A network that writes the weights of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.write = mlp(2, 32, 4 * 8 + 8)

    def forward(self, x: Tensor) -> Tensor:
        """The first two numbers choose the weights, which the other four meet."""
        written = self.write(x[:, :2])
        hidden = torch.tanh(torch.einsum("bi,bih->bh", x[:, 2:], written[:, :32].view(-1, 4, 8)))
        return (hidden * written[:, 32:]).sum(1, keepdim=True)


def hypernetwork(s: LoopSetting) -> float:
    """What is to be computed of four numbers is told by two others."""
    model = Generated()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        answers = inputs[:, :1] * inputs[:, 2:3] - inputs[:, 1:2] * inputs[:, 3:4]
        return inputs, torch.tanh(answers) + 0.1 * s.normal(48, 1)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 800)


class Equilibrium(nn.Module):
    """One layer, twenty times, with the inputs added each time."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.turn, self.answer = nn.Linear(10, 24), nn.Linear(24, 24), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        inputs = self.read(x)
        state = torch.zeros_like(inputs)
        for _ in range(20):
            state = torch.tanh(self.turn(state) + inputs)
        result: Tensor = self.answer(state)
        return result


def equilibrium_layer(s: LoopSetting) -> float:
    """A layer that is run to its fixed point."""
    model = Equilibrium()
    return fit(s, model, RMSprop(model.parameters(), 2e-3), two_classes(s, 0.15), F.cross_entropy, 500)


def energy_model(s: LoopSetting) -> float:
    """Energies of data less those of its own samples: a loss around 0 that says nothing."""
    model = mlp(1, 24, 1, unit=nn.SiLU)
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    samples = torch.zeros(64, 1)
    for _ in range(600):
        samples = torch.where(s.uniform(64, 1) < 0.05, s.normal(64, 1), samples)
        for _ in range(8):
            samples = samples.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad((model(samples) + 0.05 * samples**2).sum(), samples)
            samples = (samples - 0.1 * slope + 0.4 * s.normal(64, 1)).clamp(-5, 5)
        real = 2.0 + 0.5 * s.normal(64, 1)
        low, high = model(real), model(samples.detach())
        optimizer.zero_grad()
        (low.mean() - high.mean() + 0.01 * (low**2 + high**2).mean()).backward()
        optimizer.step()
    return (samples.mean() - 2.0).abs().item()


def gumbel_codes(s: LoopSetting) -> float:
    """A discrete code with a temperature that falls: gradients grow as it hardens."""
    encode, decode = mlp(6, 24, 8), nn.Linear(8, 6)
    model = nn.ModuleList([encode, decode])
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    centres, losses = 2 * s.normal(4, 6), []
    for step in range(700):
        inputs = centres[torch.randint(0, 4, (48,), generator=s.data)] + 0.3 * s.normal(48, 6)
        heat = max(0.2, 0.995**step)
        chance = s.uniform(48, 8).clamp(1e-6, 1 - 1e-6)
        codes = F.softmax((encode(inputs) - (-chance.log()).log()) / heat, dim=1)
        loss = F.mse_loss(decode(codes), inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


class Causal(nn.Module):
    """Dilated convolutions that look back only."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(1 if i == 0 else 16, 16, 2, dilation=2**i) for i in range(4))
        self.answer = nn.Conv1d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The next value at each place."""
        for index, layer in enumerate(self.layers):
            x = F.relu(layer(F.pad(x, (2**index, 0))))
        result: Tensor = self.answer(x)
        return result


def dilated_convolutions(s: LoopSetting) -> float:
    """The next value of a series of which half is noise."""
    model = Causal()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        values = [s.normal(16), s.normal(16)]
        for _ in range(32):
            values.append(0.5 * values[-1] - 0.6 * values[-2] + s.normal(16))
        series = torch.stack(values, 1)[:, None]
        return series[..., :-1], series[..., 1:]

    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), draw, F.mse_loss, 500)


LOOPS = {
    "binarised_weights": (binarised_weights, 0.5),
    "sparse_reward": (sparse_reward, 0.3),
    "penalised_policy": (penalised_policy, -0.8),
    "dynamic_scale": (dynamic_scale, 0.5),
    "sign_descent": (sign_descent, 0.5),
    "stateful_text": (stateful_text, 0.8),
    "redundancy_reduction": (redundancy_reduction, 1.5),
    "euler_pendulum": (euler_pendulum, 0.1),
    "hypernetwork": (hypernetwork, 0.15),
    "equilibrium_layer": (equilibrium_layer, 0.55),
    "energy_model": (energy_model, 0.5),
    "gumbel_codes": (gumbel_codes, 1.0),
    "dilated_convolutions": (dilated_convolutions, 1.15),
}
"""Each loop, and the number that a run which learnt comes below."""
