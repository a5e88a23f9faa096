"""LBFGS, which calls a closure several times in one step."""

import torch
from torch import Tensor, nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=8)
inputs = torch.randn(64, 6)
targets = inputs.sum(1, keepdim=True).sin()
# -- watch: model, optimizer


def closure() -> Tensor:
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    return loss


for _ in range(12):
    loss = optimizer.step(closure)
print(f"loss {loss.item():.6f}")
report(model)
