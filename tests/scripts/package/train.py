"""A module of a package, with a relative import, that is run with -m."""

import torch
from torch import nn

from .network import build

torch.manual_seed(0)
torch.set_num_threads(1)
model = build()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
# -- watch: model, optimizer
for _ in range(40):
    inputs = torch.randn(16, 6)
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.6f} name {__name__} package {__package__}")
print("weights", sum(p.double().sum().item() for p in model.parameters()).hex())
