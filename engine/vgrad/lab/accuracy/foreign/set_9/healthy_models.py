"""Healthy loops with models of many sorts. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, SparseAdam
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import Residual


class TokenClassifier(nn.Module):
    """A small pre-norm transformer over tokens of three numbers, and an answer from their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(3, 24)
        layer = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.answer = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits for each sequence, shape ``(num, length, 3)``."""
        logits: Tensor = self.answer(self.body(self.read(x)).mean(1))
        return logits


def _token_batches(s: LoopSetting, step: int) -> tuple[Tensor, Tensor]:
    tokens = s.normal(32, 6, 3)
    kinds = (tokens[:, 0, 0] + tokens[:, 1, 0] > 0).long()
    tokens[:, :2, 2] += 3  # by which the two are found
    return tokens, torch.where(s.uniform(32) < 0.2, 1 - kinds, kinds)


def cosine_transformer_floor(s: LoopSetting) -> float:
    """A pre-norm transformer, warm-up and a cosine to zero at two thirds; a fifth of the labels is wrong."""
    model = TokenClassifier()
    optimizer = AdamW(model.parameters(), 2e-3, weight_decay=0.05)

    def rate(step: int) -> float:
        return min(step / 50, 0.5 * (1 + math.cos(math.pi * min(1.0, step / 450))))

    schedule = LambdaLR(optimizer, rate)
    return fit(s, model, optimizer, lambda step: _token_batches(s, step), F.cross_entropy, 650, schedule)


def fine_tuned_transformer(s: LoopSetting) -> float:
    """The same, trained before, is tuned on at 1e-6."""
    model = TokenClassifier()
    before = AdamW(model.parameters(), 2e-3)
    for step in range(400):
        tokens, kinds = _token_batches(s, step)
        before.zero_grad()
        F.cross_entropy(model(tokens), kinds).backward()
        before.step()
    model.zero_grad()
    optimizer = AdamW(model.parameters(), 1e-6)
    return fit(s, model, optimizer, lambda step: _token_batches(s, step), F.cross_entropy, 400)


def batch_norm_restarts(s: LoopSetting) -> float:
    """Batch norms, SGD with momentum and warm restarts, at the floor of wrong labels."""
    model = nn.Sequential(nn.Linear(10, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 48))
    model.extend([nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 2)])
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    schedule = CosineAnnealingWarmRestarts(optimizer, 150)
    return fit(s, model, optimizer, two_classes(s, 0.25), F.cross_entropy, 900, schedule)


def frozen_backbone(s: LoopSetting) -> float:
    """The convolutions are frozen as they were drawn, and only the head learns; all are watched."""
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten())
    model.requires_grad_(False)
    model.append(nn.Linear(256, 4))
    optimizer = Adam([param for param in model.parameters() if param.requires_grad], 1e-3)
    return fit(s, model, optimizer, images(s, 0.1), F.cross_entropy, 500)


def tiny_last_layer(s: LoopSetting) -> float:
    """A last layer of weights around 1e-4 between wide ones, as width-independent settings ask for."""
    model = mlp(10, 256, 256, 2)
    last = model[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=1e-4)
    nn.init.zeros_(last.bias)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.1), F.cross_entropy, 600)


def low_rank_on_frozen(s: LoopSetting) -> float:
    """Trained layers are frozen; a product of rank two beside them, one factor of it zero, learns."""
    body, head = mlp(10, 32, 32), nn.Linear(32, 2)
    down, up = nn.Linear(10, 2, bias=False), nn.Linear(2, 32, bias=False)
    model, draw = nn.ModuleList([body, head, down, up]), two_classes(s, 0.05)
    before = Adam([*body.parameters(), *head.parameters()], 5e-3)
    for step in range(200):
        inputs, kinds = draw(step)
        before.zero_grad()
        F.cross_entropy(head(body(inputs)), kinds).backward()
        before.step()
    body.requires_grad_(False).zero_grad()
    head.requires_grad_(False).zero_grad()
    nn.init.zeros_(up.weight)

    def loss_at(step: int) -> Tensor:
        inputs, _ = draw(step)
        kinds = (inputs[:, 0] + inputs[:, 1] > 0).long()
        return F.cross_entropy(head(body(inputs) + up(down(inputs))), kinds)

    return minimise(s, model, AdamW([*down.parameters(), *up.parameters()], 5e-3), loss_at, 600)


def top_one_experts(s: LoopSetting) -> float:
    """Four experts, of which each sample goes to one; a bias of -30 keeps the last from ever being taken."""
    experts, gate = nn.ModuleList(mlp(8, 24, 1) for _ in range(4)), nn.Linear(8, 4)
    model, worth = nn.ModuleList([gate, experts]), s.normal(8, 1)
    with torch.no_grad():
        gate.bias[3] = -30.0

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        shares = gate(inputs).softmax(1)
        best, index = shares.max(1)
        out = torch.stack([expert(inputs)[:, 0] for expert in experts], 1)
        answer = best * out.gather(1, index[:, None])[:, 0]
        target = (inputs @ worth)[:, 0].abs() + 0.5 * s.normal(64)
        return F.mse_loss(answer, target) + 0.01 * 4 * shares[:, :3].mean(0).square().sum()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 800)


def skip_gram_sparse(s: LoopSetting) -> float:
    """Word vectors with negative samples: sparse gradients, most rows are touched now and then."""
    centre, context = nn.Embedding(400, 12, sparse=True), nn.Embedding(400, 12, sparse=True)
    nn.init.uniform_(centre.weight, -0.05, 0.05)
    nn.init.zeros_(context.weight)
    model = nn.ModuleList([centre, context])

    def loss_at(step: int) -> Tensor:
        word = torch.randint(0, 400, (64,), generator=s.data)
        near = (word + torch.randint(1, 4, (64,), generator=s.data)) % 400
        far = torch.randint(0, 400, (64, 4), generator=s.data)
        place = centre(word)
        is_near = (place * context(near)).sum(1)
        is_far = (context(far) @ place[..., None])[..., 0]
        return -F.logsigmoid(is_near).mean() - F.logsigmoid(-is_far).sum(1).mean()

    return minimise(s, model, SparseAdam(model.parameters(), 2e-2), loss_at, 1000)


def ten_tanh_layers(s: LoopSetting) -> float:
    """Ten tanh layers with Glorot's weights and Adam: they learn, and stand at the floor of wrong labels."""
    model = mlp(10, *[32] * 10, 2, unit=nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return fit(s, model, Adam(model.parameters(), 1e-3), two_classes(s, 0.2), F.cross_entropy, 800)


def sigmoid_pair(s: LoopSetting) -> float:
    """Two sigmoid layers and plain SGD on noisy targets, as in textbooks."""
    model, worth = mlp(6, 24, 24, 1, unit=nn.Sigmoid), s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 6)
        return inputs, (inputs @ worth > 0).float() + 0.5 * s.normal(64, 1)

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.9), draw, F.mse_loss, 1200)


def residual_tower(s: LoopSetting) -> float:
    """Twenty residual blocks with layer norms, in doubles."""
    blocks = [Residual(nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 24), nn.GELU())) for _ in range(20)]
    model = nn.Sequential(nn.Linear(10, 24), *blocks, nn.LayerNorm(24), nn.Linear(24, 2)).double()
    draw = two_classes(s, 0.15)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs.double()), kinds)

    return minimise(s, model, AdamW(model.parameters(), 1e-3), loss_at, 400)


def brain_float_convolutions(s: LoopSetting) -> float:
    """Weights and gradients of a convolutional net are kept in bfloat16."""
    model = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(192, 4))
    model = model.bfloat16()
    draw = images(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs.bfloat16()).float(), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.05, momentum=0.9), loss_at, 450)


def noise_autoencoder(s: LoopSetting) -> float:
    """A variational autoencoder of two circles: the divergence keeps all but two of eight numbers unused."""
    encoder, decoder = mlp(6, 48, 16), mlp(8, 48, 6)
    model, mixing = nn.ModuleList([encoder, decoder]), s.normal(2, 6)

    def loss_at(step: int) -> Tensor:
        angle = 2 * math.pi * s.uniform(64)
        points = 2 * torch.stack([angle.cos(), angle.sin()], 1) @ mixing + 0.3 * s.normal(64, 6)
        mean, log_variance = encoder(points).chunk(2, 1)
        hidden = mean + (0.5 * log_variance).exp() * s.normal(64, 8)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        error = (decoder(hidden) - points).square().sum(1)
        return (error + divergence).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def tied_language_model(s: LoopSetting) -> float:
    """A table of words that answers, too, over a mean of the last three words; the text is mostly chance."""
    table, mix = nn.Embedding(20, 24), nn.Linear(24, 24)
    model = nn.ModuleList([table, mix])
    nn.init.normal_(table.weight, std=0.1)
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(700):
        words = torch.randint(0, 20, (48, 3), generator=s.data)
        chance = torch.randint(0, 20, (48,), generator=s.data)
        following = torch.where(s.uniform(48) < 0.4, (3 * words[:, 2] + 1) % 20, chance)
        logits = F.normalize(mix(table(words[:, 2])), dim=1) @ table.weight.T * 4
        loss = F.cross_entropy(logits, following)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


LOOPS = {
    "cosine_transformer_floor": (cosine_transformer_floor, 0.6),
    "fine_tuned_transformer": (fine_tuned_transformer, 0.6),
    "batch_norm_restarts": (batch_norm_restarts, 0.63),
    "frozen_backbone": (frozen_backbone, 0.8),
    "tiny_last_layer": (tiny_last_layer, 0.45),
    "low_rank_on_frozen": (low_rank_on_frozen, 0.45),
    "top_one_experts": (top_one_experts, 2.0),
    "skip_gram_sparse": (skip_gram_sparse, 3.0),
    "ten_tanh_layers": (ten_tanh_layers, 0.6),
    "sigmoid_pair": (sigmoid_pair, 0.4),
    "residual_tower": (residual_tower, 0.6),
    "brain_float_convolutions": (brain_float_convolutions, 0.7),
    "noise_autoencoder": (noise_autoencoder, 8.0),
    "tied_language_model": (tied_language_model, 2.8),
}
