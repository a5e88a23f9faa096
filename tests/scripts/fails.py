"""Trains, and then fails with a traceback."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
# -- watch: model, optimizer
for number in range(10):
    if number == 6:
        raise RuntimeError("the data ran out")
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
