"""Cross-validation: a new model and a new optimizer for every fold."""

import torch
from torch import nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
inputs = torch.randn(90, 5)
targets = inputs[:, :1] - inputs[:, 1:2]
models = []
for fold in range(3):
    model = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    # -- watch: model, optimizer
    kept = torch.arange(90) % 3 != fold
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs[kept]), targets[kept])
        loss.backward()
        optimizer.step()
    models.append(model)
print(f"loss {loss.item():.6f}")
report(*models)
