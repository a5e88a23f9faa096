"""Healthy recurrent loops at a floor of noise. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, minimise, tail
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def _of_the_last(s: LoopSetting, num: int, length: int, width: int, share: float) -> tuple[Tensor, Tensor]:
    """Rows whose last input says ``share`` of the answer's variance, and the answers."""
    series = s.normal(num, length, width)
    return series, share**0.5 * series[:, -1, :1] + (1 - share) ** 0.5 * s.normal(num, 1)


def demand_by_hand(s: LoopSetting) -> float:
    """A plain RNN whose last input says four tenths of tomorrow's demand; the loop squares by hand."""
    model = RecurrentClassifier(nn.RNN(3, 32, batch_first=True), 1)

    def loss_at(step: int) -> Tensor:
        series, demand = _of_the_last(s, 32, 28, 3, 0.4)
        return ((model(series) - demand) ** 2).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 600)


def wind_by_hand(s: LoopSetting) -> float:
    """A GRU over time first, its answer without the last dimension, squared by hand."""
    cell, answer = nn.GRU(4, 24), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        series, wind = _of_the_last(s, 24, 20, 4, 0.5)
        output, _ = cell(series.transpose(0, 1))
        predicted = answer(output[-1]).squeeze(-1)
        return (predicted - wind.squeeze(-1)).pow(2).mean()

    return minimise(s, model, AdamW(model.parameters(), 3e-3), loss_at, 600)


def three_prices(s: LoopSetting) -> float:
    """Two LSTM layers with dropout forecast three numbers, a third of which today's say."""
    cell, answer = nn.LSTM(3, 32, 2, batch_first=True, dropout=0.2), nn.Linear(32, 3)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        series = s.normal(32, 24, 3)
        prices = 0.33**0.5 * series[:, -1] + 0.67**0.5 * s.normal(32, 3)
        return F.mse_loss(answer(cell(series)[0][:, -1]), prices)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def faint_signal_rnn(s: LoopSetting) -> float:
    """A plain RNN with momentum; a fifth of the answer is in the last input."""
    model = RecurrentClassifier(nn.RNN(4, 24, batch_first=True), 1)
    optimizer = SGD(model.parameters(), 0.01, momentum=0.9)
    return fit(s, model, optimizer, lambda step: _of_the_last(s, 48, 24, 4, 0.2), F.mse_loss, 800)


def load_at_each_hour(s: LoopSetting) -> float:
    """A GRU answers at each of thirty hours what the temperature of the hour says, by a mean of squares."""
    cell, answer = nn.GRU(2, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        weather = s.normal(16, 30, 2)
        load = weather[..., :1].abs() + 0.8 * s.normal(16, 30, 1)
        return torch.mean((answer(cell(weather)[0]) - load) ** 2)

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def arrival_times(s: LoopSetting) -> float:
    """An LSTM and smooth absolute errors; half of the answer is in the last input."""
    model = RecurrentClassifier(nn.LSTM(3, 24, batch_first=True), 1)
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(s, model, optimizer, lambda step: _of_the_last(s, 32, 24, 3, 0.5), F.smooth_l1_loss, 600)


def ragged_visits(s: LoopSetting) -> float:
    """A packed two-way LSTM over 4 to 20 visits; the last one says half of the cost."""
    cell, answer = nn.LSTM(5, 16, batch_first=True, bidirectional=True), nn.Linear(32, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        lengths = torch.randint(4, 21, (24,), generator=s.data)
        visits, rows = s.normal(24, 20, 5), torch.arange(24)
        cost = 0.5**0.5 * visits[rows, lengths - 1, :1] + 0.5**0.5 * s.normal(24, 1)
        packed = pack_padded_sequence(visits, lengths, batch_first=True, enforce_sorted=False)
        states = cell(packed)[1][0]
        return F.mse_loss(answer(torch.cat([states[0], states[1]], 1)), cost)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def vitals_in_autocast(s: LoopSetting) -> float:
    """A GRU in autocast to bfloat16; the last input says six tenths of the answer."""
    model = RecurrentClassifier(nn.GRU(4, 32, batch_first=True), 1)

    def loss_at(step: int) -> Tensor:
        series, answer = _of_the_last(s, 32, 16, 4, 0.6)
        with torch.autocast("cpu", torch.bfloat16):
            return F.mse_loss(model(series), answer)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 450)


def likely_sales(s: LoopSetting) -> float:
    """An LSTM forecasts a mean and a deviation at each step of a series that follows its last value."""
    cell, answer = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 2)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        noise, value, values = s.normal(24, 31), s.normal(24), []
        for index in range(31):
            value = 0.6 * value + 0.8 * noise[:, index]
            values.append(value)
        series = torch.stack(values, 1)[..., None]
        mean, spread = answer(cell(series[:, :-1])[0]).chunk(2, -1)
        return F.gaussian_nll_loss(mean, series[:, 1:], F.softplus(spread) + 1e-4)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def soil_moisture(s: LoopSetting) -> float:
    """A plain RNN with clipping and a cosine that ends at 0: today's rain says half."""
    model = RecurrentClassifier(nn.RNN(2, 24, batch_first=True), 1)
    optimizer = RMSprop(model.parameters(), 2e-3)
    schedule = CosineAnnealingLR(optimizer, 500)
    s.watch(model, optimizer)
    losses = []
    for _ in range(550):
        series, moisture = _of_the_last(s, 32, 30, 2, 0.5)
        optimizer.zero_grad()
        loss = torch.square(model(series) - moisture).mean()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if schedule.last_epoch < 500:
            schedule.step()
        losses.append(loss.item())
    return tail(losses)


def half_of_each_loss(s: LoopSetting) -> float:
    """An LSTM whose loop halves each loss and steps after two of them."""
    model = RecurrentClassifier(nn.LSTM(3, 24, batch_first=True), 1)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(450):
        optimizer.zero_grad()
        for _ in range(2):
            series, answer = _of_the_last(s, 16, 24, 3, 0.5)
            loss = F.mse_loss(model(series), answer)
            (loss / 2).backward()
            losses.append(loss.item())
        optimizer.step()
    return tail(losses)


def tremor(s: LoopSetting) -> float:
    """A GRU forecasts a damped swing that is pushed by noise from its last two values."""
    cell, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        pushes, now, before, values = s.normal(24, 40), s.normal(24), s.normal(24), []
        for index in range(40):
            now, before = 1.4 * math.cos(0.5) * now - 0.49 * before + pushes[:, index], now
            values.append(now)
        series = torch.stack(values, 1)[..., None]
        return ((series[:, 1:] - answer(cell(series[:, :-1])[0])) ** 2).mean()

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


LOOPS = {
    "demand_by_hand": (demand_by_hand, 0.75),
    "wind_by_hand": (wind_by_hand, 0.65),
    "three_prices": (three_prices, 0.8),
    "faint_signal_rnn": (faint_signal_rnn, 0.92),
    "load_at_each_hour": (load_at_each_hour, 0.8),
    "arrival_times": (arrival_times, 0.32),
    "ragged_visits": (ragged_visits, 0.65),
    "vitals_in_autocast": (vitals_in_autocast, 0.55),
    "likely_sales": (likely_sales, 0.4),
    "soil_moisture": (soil_moisture, 0.62),
    "half_of_each_loss": (half_of_each_loss, 0.65),
    "tremor": (tremor, 1.4),
}
"""Each loop, and the number that a run which learnt comes below."""
