"""Healthy recurrent loops: short memories, floors, nothing to learn. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, minimise, tail
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def last_token_class(s: LoopSetting) -> float:
    """An LSTM over thirty numbers of which the last one decides, with a fifth of wrong labels."""
    model = RecurrentClassifier(nn.LSTM(2, 24, batch_first=True), 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 30, 2)
        kinds = (series[:, -1, 0] > 0).long()
        return series, torch.where(s.uniform(32) < 0.2, 1 - kinds, kinds)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 600)


def random_labels_rnn(s: LoopSetting) -> float:
    """A plain RNN and labels that the inputs say nothing about: three in ten are positive."""
    model = RecurrentClassifier(nn.RNN(3, 32, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(48, 25, 3), (s.uniform(48, 1) < 0.3).float()

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.binary_cross_entropy_with_logits, 600)


def unigram_text(s: LoopSetting) -> float:
    """An LSTM language model of words that are drawn one by one: their shares are all there is to learn."""
    table, cell, answer = nn.Embedding(12, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 12)
    model = nn.ModuleList([table, cell, answer])
    shares = torch.arange(1.0, 13).reciprocal()
    optimizer = SGD(model.parameters(), 1.0)
    s.watch(model, optimizer)
    losses = []
    for _ in range(500):
        words = torch.multinomial(shares, 24 * 21, replacement=True, generator=s.data).view(24, 21)
        logits = answer(cell(table(words[:, :-1]))[0])
        loss = F.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def noisy_sine_gru(s: LoopSetting) -> float:
    """A GRU forecasts a sine with noise, which the last few values nearly tell."""
    cell, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        phase = 2 * math.pi * s.uniform(24, 1)
        series = torch.sin(0.4 * torch.arange(41.0) + phase) + 0.3 * s.normal(24, 41)
        predicted = answer(cell(series[:, :-1, None])[0])[..., 0]
        return F.mse_loss(predicted, series[:, 1:])

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def sensor_mean_rnn(s: LoopSetting) -> float:
    """A plain RNN forecasts readings that scatter around 4: the mean is all there is to know."""
    model = RecurrentClassifier(nn.RNN(1, 16, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        readings = 4 + s.normal(32, 21, 1)
        return readings[:, :-1], readings[:, -1]

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.mse_loss, 700)


def teacher_forced_copy(s: LoopSetting) -> float:
    """An encoder and a decoder copy four symbols; the decoder is shown the right ones so far."""
    encoder, decoder = nn.GRU(8, 32, batch_first=True), nn.GRU(9, 32, batch_first=True)
    model = nn.ModuleList([encoder, decoder, nn.Linear(32, 8)])

    def loss_at(step: int) -> Tensor:
        symbols = torch.randint(0, 8, (48, 4), generator=s.data)
        shown = F.one_hot(symbols, 9).float()
        start = F.one_hot(torch.full((48, 1), 8), 9).float()
        state = encoder(shown[..., :8])[1]
        logits = model[2](decoder(torch.cat([start, shown[:, :-1]], 1), state)[0])
        return F.cross_entropy(logits.flatten(0, 1), symbols.flatten())

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 500)


def one_sentence_gru(s: LoopSetting) -> float:
    """One sentence at a time, of 3 to 20 words: a chain of words that each depend on the one before."""
    table, cell, answer = nn.Embedding(8, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 8)
    model = nn.ModuleList([table, cell, answer])

    def loss_at(step: int) -> Tensor:
        length = int(torch.randint(3, 21, (1,), generator=s.data))
        words = [0]
        for jumps in (s.uniform(length) < 0.25).tolist():
            words.append(int(torch.randint(0, 8, (1,), generator=s.data)) if jumps else (words[-1] + 1) % 8)
        sentence = torch.tensor(words)[None]
        return F.cross_entropy(answer(cell(table(sentence[:, :-1]))[0])[0], sentence[0, 1:])

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 1200)


def lengthening_sums(s: LoopSetting) -> float:
    """An LSTM adds up 3 numbers, then 8 from step 300 on, then 15."""
    model = RecurrentClassifier(nn.LSTM(1, 32, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        length = (3, 8, 15)[min(2, step // 300)]
        series = s.uniform(32, length, 1)
        return series, series.sum(1)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 1000)


def warmed_up_gru(s: LoopSetting) -> float:
    """A GRU says which number is first, at a rate that rises from 0 for 400 steps and falls to 0 again."""
    model = RecurrentClassifier(nn.GRU(4, 24, batch_first=True), 4)
    optimizer = AdamW(model.parameters(), 5e-3)
    schedule = LambdaLR(optimizer, lambda step: min(step / 400, max(0.0, (900 - step) / 500)))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 4, (32, 6), generator=s.data)
        return F.one_hot(symbols, 4).float(), symbols[:, 0]

    return fit(s, model, optimizer, draw, F.cross_entropy, 1000, schedule)


def two_way_tags(s: LoopSetting) -> float:
    """A two-way LSTM tags each word by its neighbours, a fifth of the tags is wrong."""
    cell = nn.LSTM(5, 16, batch_first=True, bidirectional=True)
    answer = nn.Linear(32, 2)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        words = torch.randint(0, 5, (24, 16), generator=s.data)
        tags = (words.roll(1, 1) > words.roll(-1, 1)).long()
        tags = torch.where(s.uniform(24, 16) < 0.2, 1 - tags, tags)[:, 1:-1]
        logits = answer(cell(F.one_hot(words, 5).float())[0])[:, 1:-1]
        return F.cross_entropy(logits.flatten(0, 1), tags.flatten())

    return minimise(s, model, RMSprop(model.parameters(), 3e-3), loss_at, 500)


def returns_of_a_market(s: LoopSetting) -> float:
    """A two-layer LSTM forecasts returns that nobody can forecast, at scale .01."""
    model = RecurrentClassifier(nn.LSTM(1, 16, num_layers=2, batch_first=True), 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        returns = 0.01 * s.normal(64, 31, 1)
        return returns[:, :-1], returns[:, -1]

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.mse_loss, 600)


LOOPS = {
    "last_token_class": (last_token_class, 0.56),
    "random_labels_rnn": (random_labels_rnn, 0.64),
    "unigram_text": (unigram_text, 2.2),
    "noisy_sine_gru": (noisy_sine_gru, 0.2),
    "sensor_mean_rnn": (sensor_mean_rnn, 1.3),
    "teacher_forced_copy": (teacher_forced_copy, 0.5),
    "one_sentence_gru": (one_sentence_gru, 1.4),
    "lengthening_sums": (lengthening_sums, 0.3),
    "warmed_up_gru": (warmed_up_gru, 0.3),
    "two_way_tags": (two_way_tags, 0.56),
    "returns_of_a_market": (returns_of_a_market, 2e-4),
}
