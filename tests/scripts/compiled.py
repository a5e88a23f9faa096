"""A compiled model, without a C++ compiler: the eager backend traces all the same."""

import torch
from torch import nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(10, 32), nn.GELU(), nn.Linear(32, 1))
compiled = torch.compile(model, backend="eager")
optimizer = torch.optim.AdamW(compiled.parameters(), lr=1e-2)
# -- watch: compiled, optimizer
for _ in range(40):
    inputs = torch.randn(16, 10)
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(compiled(inputs), inputs[:, :1])
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.6f}")
report(model)
