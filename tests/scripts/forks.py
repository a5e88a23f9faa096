"""Forks in the middle of training; the child ends on its own and must disturb nobody."""

import os
import warnings

import torch
from torch import nn
from weights import report

# From Python 3.12 on this names the process; torch has threads of its own.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
# -- watch: model, optimizer
for number in range(40):
    inputs = torch.randn(16, 6)
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    loss.backward()
    optimizer.step()
    if number == 20:
        child = os.fork()
        if child == 0:
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
print(f"loss {loss.item():.6f}")
report(model)
