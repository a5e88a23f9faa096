"""Healthy loops: language, values, and models that are tuned on. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, SparseAdam
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


class Aligner(nn.Module):
    """Frames to the logarithms of chances of five symbols and a blank."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(5, 32, batch_first=True, bidirectional=True)
        self.answer = nn.Linear(64, 6)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(time, batch, 6)``, as the loss wants it."""
        result: Tensor = F.log_softmax(self.answer(self.cell(x)[0]), dim=2).transpose(0, 1)
        return result


def ctc_alignment(s: LoopSetting) -> float:
    """Four symbols, each held for four noisy frames; the loss stays where all is blank for a while."""
    model = Aligner()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 5, (16, 4), generator=s.data)
        frames = F.one_hot(symbols, 5).float().repeat_interleave(4, 1)
        return frames + 0.2 * s.normal(16, 16, 5), symbols + 1

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.ctc_loss(outputs, targets, torch.full((16,), 16), torch.full((16,), 4))

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 400)


class SkipGram(nn.Module):
    """Two tables of vectors with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Embedding(200, 16, sparse=True)
        self.context = nn.Embedding(200, 16, sparse=True)
        nn.init.uniform_(self.centre.weight, -0.03, 0.03)
        nn.init.zeros_(self.context.weight)

    def forward(self, pairs: Tensor) -> Tensor:
        """Products of the vectors, shape ``(batch,)``."""
        result: Tensor = (self.centre(pairs[:, 0]) * self.context(pairs[:, 1])).sum(1)
        return result


def skip_gram(s: LoopSetting) -> float:
    """Words of one group occur together; one of two tables starts at zero."""
    model = SkipGram()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(0, 200, (128, 2), generator=s.data)
        words[:64, 1] = words[:64, 0] % 10 + 10 * torch.randint(0, 20, (64,), generator=s.data)
        return words, (torch.arange(128) < 64).float()

    optimizer = SparseAdam(list(model.parameters()), 1e-2)
    return fit(s, model, optimizer, draw, F.binary_cross_entropy_with_logits, 700)


def gradient_penalty_gan(s: LoopSetting) -> float:
    """A critic whose slope is held at 1, three steps to one of the generator; returns the means' distance."""
    generator, critic = mlp(3, 32, 2), mlp(2, 48, 48, 1, unit=lambda: nn.LeakyReLU(0.2))
    of_generator = Adam(generator.parameters(), 5e-3, betas=(0.0, 0.9))
    of_critic = Adam(critic.parameters(), 5e-3, betas=(0.0, 0.9))
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    goal = torch.tensor([1.0, 0.5])
    for step in range(1000):
        real, fake = 0.4 * s.normal(48, 2) + goal, generator(s.normal(48, 3))
        between = (real + s.uniform(48, 1) * (fake.detach() - real)).requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        of_critic.zero_grad()
        penalty = (slope.norm(dim=1) - 1).square().mean()
        (critic(fake.detach()).mean() - critic(real).mean() + 10 * penalty).backward()
        of_critic.step()
        if step % 3 == 2:
            of_generator.zero_grad()
            (-critic(fake).mean()).backward()
            of_generator.step()
    return (generator(s.normal(512, 3)).mean(0) - goal).norm().item()


def replayed_values(s: LoopSetting) -> float:
    """A deep Q-network on a grid of five by five, from a memory of moves; returns minus what is earned."""
    online, target = mlp(2, 48, 48, 4), mlp(2, 48, 48, 4)
    target.load_state_dict(online.state_dict())
    optimizer = Adam(online.parameters(), 2e-3)
    s.watch(online, optimizer)
    moves = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    place, memory, earned = torch.zeros(2, dtype=torch.long), [], []
    for step in range(1200):
        greedy = s.uniform(1).item() > max(0.1, 1 - step / 400)
        with torch.no_grad():
            best = int(online(place[None] / 4.0).argmax())
        action = best if greedy else int(torch.randint(0, 4, (), generator=s.data))
        after = (place + moves[action]).clamp(0, 4)
        is_end = bool((after == 4).all())
        memory.append((place / 4.0, action, float(is_end), after / 4.0))
        earned.append(float(is_end))
        place = torch.zeros(2, dtype=torch.long) if is_end or step % 40 == 39 else after
        if len(memory) < 32:
            continue
        chosen = [memory[i] for i in torch.randint(0, len(memory), (32,), generator=s.data).tolist()]
        now, then = torch.stack([row[0] for row in chosen]), torch.stack([row[3] for row in chosen])
        reward = torch.tensor([row[2] for row in chosen])
        with torch.no_grad():
            wanted = reward + 0.9 * (1 - reward) * target(then).max(1).values
        optimizer.zero_grad()
        value = online(now).gather(1, torch.tensor([[row[1]] for row in chosen]))[:, 0]
        F.smooth_l1_loss(value, wanted).backward()
        optimizer.step()
        if step % 100 == 0:
            target.load_state_dict(online.state_dict())
    return -sum(earned[-200:])


class SymbolEncoder(nn.Module):
    """An encoder of one block with layer norm, for symbols."""

    def __init__(self, num_symbols: int, num_out: int, length: int, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_symbols, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 64, 0.0, batch_first=True, norm_first=True)
        self.answer = nn.Linear(width, num_out)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits of each place, shape ``(batch, num_out, length)``."""
        result: Tensor = self.answer(self.block(self.embed(symbols) + self.place)).transpose(1, 2)
        return result


def warmed_up_attention(s: LoopSetting) -> float:
    """Warm-up, then a cosine to zero at step 450 and on with a rate of zero: each symbol's neighbour."""
    model = SymbolEncoder(8, 8, 8)
    optimizer = AdamW(model.parameters(), 5e-3)

    def rate(step: int) -> float:
        share = min(1.0, step / 450)
        return min(step / 40, 0.5 * (1 + math.cos(math.pi * share)))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 8, (24, 8), generator=s.data)
        return symbols, symbols.roll(1, 1)

    return fit(s, model, optimizer, draw, F.cross_entropy, 700, LambdaLR(optimizer, rate))


def fine_tuned_attention(s: LoopSetting) -> float:
    """AdamW at 1e-5 with warm-up and a linear decay, on weights that were trained for a like task."""
    model = SymbolEncoder(8, 2, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 8, (24, 8), generator=s.data)
        return symbols, (symbols > 3).long()

    train_before(model, model.parameters(), draw, F.cross_entropy, 0.3, 300)
    optimizer = AdamW(model.parameters(), 1e-5)
    schedule = LambdaLR(optimizer, lambda step: min(step / 30, max(0.0, (600 - step) / 570)))
    return fit(s, model, optimizer, draw, F.cross_entropy, 600, schedule)


def masked_symbols(s: LoopSetting) -> float:
    """A third of the symbols of a noisy pattern is hidden: what is random of it cannot be known."""
    model = SymbolEncoder(7, 6, 10)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        start = torch.randint(0, 6, (24, 1), generator=s.data)
        symbols = (start + torch.arange(10)) % 6
        noise = torch.randint(0, 6, (24, 10), generator=s.data)
        symbols = torch.where(s.uniform(24, 10) < 0.3, noise, symbols)
        is_hidden = s.uniform(24, 10) < 0.3
        return torch.where(is_hidden, 6, symbols), torch.where(is_hidden, symbols, -100)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 700)


def triplets(s: LoopSetting) -> float:
    """A margin between vectors of one class and another's: half of the gradients are zero at the end."""
    model = mlp(8, 48, 8)
    centres = 1.5 * s.normal(5, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 5, (24,), generator=s.data)
        others = (kinds + 1 + torch.randint(0, 4, (24,), generator=s.data)) % 5
        members = torch.stack([centres[kinds], centres[kinds], centres[others]], 1)
        return members + s.normal(24, 3, 8), kinds

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        one, same, other = F.normalize(outputs, dim=2).unbind(1)
        return F.triplet_margin_loss(one, same, other, margin=0.5)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, loss_fn, 700)


def sharpness_by_hand(s: LoopSetting) -> float:
    """Two backward passes a step: one for the ascent, one at the perturbed weights."""
    model = mlp(10, 32, 32, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.1)
    losses = []
    for step in range(600):
        inputs, targets = draw(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        length = torch.stack([grad.norm() for grad in grads]).norm()
        moves = [0.05 * grad / length for grad in grads]
        with torch.no_grad():
            for param, move in zip(model.parameters(), moves, strict=True):
                param.add_(move)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        with torch.no_grad():
            for param, move in zip(model.parameters(), moves, strict=True):
                param.sub_(move)
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def mean_teacher(s: LoopSetting) -> float:
    """A student follows a moving average of itself on other views; a few samples have labels."""
    model, teacher = mlp(10, 32, 2), mlp(10, 32, 2)
    teacher.load_state_dict(model.state_dict())
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.05)
    wrong = []
    for step in range(600):
        inputs, targets = draw(step)
        logits = model(inputs + 0.3 * s.normal(64, 10))
        with torch.no_grad():
            wanted = teacher(inputs + 0.3 * s.normal(64, 10)).softmax(1)
        weight = min(1.0, step / 200)
        optimizer.zero_grad()
        consistency = (logits.softmax(1) - wanted).square().mean()
        (F.cross_entropy(logits[:8], targets[:8]) + 10 * weight * consistency).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.02)
        wrong.append((logits.argmax(1) != targets).float().mean().item())
    return tail(wrong)


def hot_batch_norm(s: LoopSetting) -> float:
    """A convolutional net with batch norm at a high rate with momentum, as people train ResNets."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9, weight_decay=5e-4)
    return fit(s, model, optimizer, images(s, 0.1), F.cross_entropy, 400)


LOOPS = {
    "ctc_alignment": (ctc_alignment, 0.5),
    "skip_gram": (skip_gram, 0.6),
    "gradient_penalty_gan": (gradient_penalty_gan, 0.7),
    "replayed_values": (replayed_values, -8.0),
    "warmed_up_attention": (warmed_up_attention, 1.0),
    "fine_tuned_attention": (fine_tuned_attention, 0.2),
    "masked_symbols": (masked_symbols, 1.65),
    "triplets": (triplets, 0.25),
    "sharpness_by_hand": (sharpness_by_hand, 0.45),
    "mean_teacher": (mean_teacher, 0.2),
    "hot_batch_norm": (hot_batch_norm, 0.6),
}
"""Each loop, and the number that a run which learnt comes below."""
