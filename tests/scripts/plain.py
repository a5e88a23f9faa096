"""A small classifier: one model, one optimizer, a plain loop."""

import torch
from torch import nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
# -- watch: model, optimizer
for _ in range(60):
    inputs = torch.randn(16, 10)
    targets = inputs[:, :3].argmax(1)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.6f}")
report(model)
