"""Healthy loops: unusual updates. What each is stands in `kinds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, two_classes


def shared_actor_critic(s: LoopSetting) -> float:
    """A policy and its values share a body and one loss, with a bonus for entropy."""
    body, policy, value = mlp(5, 32, 32), nn.Linear(32, 4), nn.Linear(32, 1)
    model = nn.ModuleList([body, policy, value])
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    worth, rewards = s.normal(5, 4), []
    for _ in range(800):
        state = s.normal(32, 5)
        hidden = F.relu(body(state))
        chosen = torch.distributions.Categorical(logits=policy(hidden))
        action, guess = chosen.sample(), value(hidden)[:, 0]
        gain = 3 * (state @ worth).gather(1, action[:, None])[:, 0] + s.normal(32)
        advantage = (gain - guess).detach()
        loss = -(chosen.log_prob(action) * advantage).mean() + 0.5 * F.mse_loss(guess, gain)
        optimizer.zero_grad()
        (loss - 0.05 * chosen.entropy().mean()).backward()
        optimizer.step()
        rewards.append(-gain.mean().item())
    return tail(rewards)


def large_batches(s: LoopSetting) -> float:
    """Batches of 1,024 and a rate of 1 with momentum, after a warm-up of 100 steps."""
    model = mlp(10, 32, 32, 2, unit=nn.Tanh)
    optimizer = SGD(model.parameters(), 1.0, momentum=0.9)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 100))
    return fit(s, model, optimizer, two_classes(s, 0.1, num=1024), F.cross_entropy, 500, schedule)


def uneven_windows(s: LoopSetting) -> float:
    """Sums over one to sixteen microbatches, until a number of samples is reached."""
    model = mlp(10, 32, 2)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.1), []
    for step in range(400):
        inputs, kinds = draw(step)
        optimizer.zero_grad()
        begin, total = 0, 0.0
        while begin < 64:
            end = min(64, begin + int(torch.randint(4, 64, (), generator=s.data)))
            loss = F.cross_entropy(model(inputs[begin:end]), kinds[begin:end], reduction="sum") / 64
            loss.backward()
            begin, total = end, total + loss.item()
        optimizer.step()
        losses.append(total)
    return tail(losses)


class Tagger(nn.Module):
    """Scores of four tags at each place, and of each pair of neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.symbols, self.read = nn.Embedding(12, 16), nn.GRU(16, 24, batch_first=True)
        self.answer, self.pairs = nn.Linear(24, 4), nn.Parameter(torch.zeros(4, 4))

    def forward(self, words: Tensor, goals: Tensor) -> Tensor:
        """Minus the log likelihood of the goals, summed over each sequence."""
        scores = self.answer(self.read(self.symbols(words))[0])
        total = scores[:, 0]
        for place in range(1, scores.shape[1]):
            total = (total[:, :, None] + self.pairs).logsumexp(1) + scores[:, place]
        path = scores.gather(2, goals[..., None]).sum((1, 2))
        path = path + self.pairs[goals[:, :-1], goals[:, 1:]].sum(1)
        return (total.logsumexp(1) - path).sum()


def chain_of_tags(s: LoopSetting) -> float:
    """A conditional random field: losses are sums over 16 sequences of 5 to 25 places."""
    model = Tagger()
    optimizer = Adam(model.parameters(), 1e-2)
    s.watch(model, optimizer)
    losses = []
    for _ in range(400):
        length = int(torch.randint(5, 26, (), generator=s.data))
        words = torch.randint(0, 12, (16, length), generator=s.data)
        goals = (words + words.roll(1, 1)) % 4
        goals = torch.where(s.uniform(16, length) < 0.1, torch.randint(0, 4, (16, length)), goals)
        loss = model(words, goals)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / (16 * length))
    return tail(losses)


class TiedText(nn.Module):
    """A recurrent model whose table of symbols is also its output layer."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.read, self.rnn = nn.Embedding(num, 24), nn.LSTM(24, 24, batch_first=True)
        self.answer = nn.Linear(24, num)
        self.answer.weight = self.read.weight

    def forward(self, words: Tensor) -> Tensor:
        """Logits of the next symbols, by class in the second dimension."""
        logits: Tensor = self.answer(self.rnn(self.read(words))[0])
        return logits.transpose(1, 2)


def tied_table(s: LoopSetting) -> float:
    """Words of Zipf's frequencies, half of them random: most rows of a tied table are rare."""
    model = TiedText(200)
    chances = 1 / torch.arange(1.0, 201.0)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        words = torch.multinomial(chances, 16 * 13, replacement=True, generator=s.data).view(16, 13)
        for place in range(1, 13):
            follows = s.uniform(16) < 0.5
            words[:, place] = torch.where(follows, (7 * words[:, place - 1] + 3) % 200, words[:, place])
        return words[:, :-1], words[:, 1:]

    return fit(s, model, AdamW(model.parameters(), 5e-3), draw, F.cross_entropy, 500)


def rare_head(s: LoopSetting) -> float:
    """A second task in one batch of forty: its head gets no gradient in between."""
    body, heads = mlp(8, 32, 32), nn.ModuleList([nn.Linear(32, 2), nn.Linear(32, 3)])
    model = nn.ModuleList([body, heads])
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.1, width=8), []
    for step in range(900):
        inputs, kinds = draw(step)
        task = int(step % 40 == 39)
        goals = (inputs[:, :3].argmax(1) + kinds) % 3 if task else kinds
        loss = F.cross_entropy(heads[task](F.relu(body(inputs))), goals)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not task:
            losses.append(loss.item())
    return tail(losses)


def heavy_features(s: LoopSetting) -> float:
    """One sample at a time, and features of which a few are twenty times the usual."""
    model = nn.Linear(6, 1)
    worth = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(1, 6) * torch.exp(0.8 * s.normal(1, 6))
        return inputs, inputs @ worth + 0.5 * s.normal(1, 1)

    return fit(s, model, SGD(model.parameters(), 1e-3), draw, F.smooth_l1_loss, 2500)


def second_order_batches(s: LoopSetting) -> float:
    """LBFGS with a line search on a new batch at each step."""
    model = mlp(8, 16, 1, unit=nn.Tanh)
    worth, losses = s.normal(8, 1) / 3, []
    optimizer = LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    s.watch(model, optimizer)
    for _ in range(250):
        inputs = s.normal(256, 8)
        targets = torch.sin(2 * inputs @ worth) + 0.3 * s.normal(256, 1)

        def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return tail(losses)


class Lion(Optimizer):
    """Signs of a mixture of the gradient and its mean; Chen et al. 2023, arXiv:2302.06675."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move each weight by the rate."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                mean = self.state[param].setdefault("mean", torch.zeros_like(param))
                param.add_(mean.lerp(param.grad, 0.1).sign() + 0.1 * param, alpha=-group["lr"])
                mean.lerp_(param.grad, 0.01)


def lion_images(s: LoopSetting) -> float:
    """An optimizer of somebody's own, which moves each weight by the rate, on mislabelled images."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3), nn.GELU(), nn.Flatten())
    model.append(nn.Linear(128, 4))
    return fit(s, model, Lion(model.parameters(), 3e-4), images(s, 0.2), F.cross_entropy, 800)


class Orthogonal(Optimizer):
    """Momentum whose matrices are replaced by the nearest orthogonal ones."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move each matrix by the rate in all of its directions."""
        for group in self.param_groups:
            for param in group["params"]:
                mean = self.state[param].setdefault("mean", torch.zeros_like(param))
                mean.mul_(0.9).add_(param.grad)
                move = mean / (mean.norm() + 1e-8)
                if move.ndim == 2:
                    for _ in range(5):
                        move = 1.5 * move - 0.5 * move @ move.T @ move
                param.sub_(move, alpha=group["lr"])


def orthogonal_updates(s: LoopSetting) -> float:
    """Updates of one length in all directions, on a tenth of wrong labels."""
    model = mlp(10, 32, 32, 2)
    return fit(s, model, Orthogonal(model.parameters(), 0.01), two_classes(s, 0.1), F.cross_entropy, 700)


def dropout_fades(s: LoopSetting) -> float:
    """Nine in ten units are dropped at first, and none from half of the time on."""
    drop = nn.Dropout(0.9)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), drop, nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    draw_classes = two_classes(s, 0.1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        drop.p = max(0.0, 0.9 * (1 - step / 400))
        return draw_classes(step)

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 800)


def edge_of_stability(s: LoopSetting) -> float:
    """The whole of a data set at each step, at a rate where the loss rises and falls by turns."""
    points = s.normal(256, 4)
    targets = torch.sin(points[:, :1]) + 0.5 * points[:, 1:2] * points[:, 2:3]
    model = mlp(4, 48, 48, 1, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return points, targets

    return fit(s, model, SGD(model.parameters(), 0.4), draw, F.mse_loss, 900)


def adam_after_fit(s: LoopSetting) -> float:
    """A small data set is fitted exactly by Adam at a high rate, which spikes ever again near zero."""
    points = s.normal(32, 6)
    targets = torch.tanh(points @ s.normal(6, 1))
    model = mlp(6, 64, 64, 1, unit=nn.Tanh)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return points, targets

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.mse_loss, 1500)


def inner_steps(s: LoopSetting) -> float:
    """Learns a start from which one step fits any wave: a gradient through a gradient."""
    model = mlp(1, 32, 1, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(600):
        total = torch.zeros(())
        for _ in range(4):
            size, phase = 0.5 + 2 * s.uniform(1), 3 * s.uniform(1)
            near, far = (4 * s.uniform(10, 1) - 2 for _ in range(2))
            params = dict(model.named_parameters())
            inner = F.mse_loss(model(near), size * torch.sin(near + phase))
            grads = torch.autograd.grad(inner, list(params.values()), create_graph=True)
            moved = {name: p - 0.1 * g for (name, p), g in zip(params.items(), grads, strict=True)}
            answer = torch.func.functional_call(model, moved, (far,))
            total = total + F.mse_loss(answer, size * torch.sin(far + phase)) / 4
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return tail(losses)


LOOPS = {
    "shared_actor_critic": (shared_actor_critic, -1.5),
    "large_batches": (large_batches, 0.45),
    "uneven_windows": (uneven_windows, 0.5),
    "chain_of_tags": (chain_of_tags, 0.8),
    "tied_table": (tied_table, 4.2),
    "rare_head": (rare_head, 0.5),
    "heavy_features": (heavy_features, 0.5),
    "second_order_batches": (second_order_batches, 0.2),
    "lion_images": (lion_images, 0.9),
    "orthogonal_updates": (orthogonal_updates, 0.5),
    "dropout_fades": (dropout_fades, 0.5),
    "edge_of_stability": (edge_of_stability, 0.15),
    "adam_after_fit": (adam_after_fit, 1e-2),
    "inner_steps": (inner_steps, 1.2),
}
"""Each loop, and the number that a run which learnt comes below."""
