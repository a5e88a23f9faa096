"""One optimizer for each parameter, stepped by a hook as soon as its gradient is there."""

import torch
from torch import Tensor, nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
optimizers = {p: torch.optim.Adam([p], lr=1e-2) for p in model.parameters()}


def step(parameter: Tensor) -> None:
    optimizers[parameter].step()
    optimizers[parameter].zero_grad()


for parameter in model.parameters():
    parameter.register_post_accumulate_grad_hook(step)
# -- watch: model, list(optimizers.values())
for _ in range(60):
    inputs = torch.randn(16, 6)
    loss = nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    loss.backward()
print(f"loss {loss.item():.6f}")
report(model)
