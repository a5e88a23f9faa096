"""Data-parallel training over gloo: for torchrun."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from weights import report

dist.init_process_group("gloo")
torch.manual_seed(0)
torch.set_num_threads(1)
model = DistributedDataParallel(nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 3)))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
generator = torch.Generator().manual_seed(1 + dist.get_rank())
# -- watch: model, optimizer
for _ in range(60):
    inputs = torch.randn(16, 10, generator=generator)
    targets = inputs[:, :3].argmax(1)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
report(model)
dist.destroy_process_group()
