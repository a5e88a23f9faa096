"""No optimizer at all: parameters are updated by hand after backward."""

import torch
from torch import nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
for _ in range(60):
    inputs = torch.randn(16, 6)
    loss = nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.05 * parameter.grad
print(f"loss {loss.item():.6f}")
report(model)
