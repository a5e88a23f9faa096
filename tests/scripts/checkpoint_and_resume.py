"""Saves model and optimizer in the middle, builds both again, loads them, and trains on."""

import io

import torch
from torch import nn
from weights import report


def build() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    return model, torch.optim.Adam(model.parameters(), lr=1e-2)


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(30):
        inputs = torch.randn(16, 6)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True)).backward()
        optimizer.step()


torch.manual_seed(0)
torch.set_num_threads(1)
model, optimizer = build()
# -- watch: model, optimizer
train(model, optimizer)
saved = io.BytesIO()
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "whole": model}, saved)
saved.seek(0)
state = torch.load(saved, weights_only=False)  # written a line above, by this very process
model, optimizer = build()
model.load_state_dict(state["model"])
optimizer.load_state_dict(state["optimizer"])
# -- watch: model, optimizer
train(model, optimizer)
report(model, state["whole"])
