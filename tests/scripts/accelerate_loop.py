"""A loop of one's own with Accelerate: its accumulation, clipping, bf16 autocast and scheduler."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=48)
model, optimizer, scheduler, loader = accelerator.prepare(
    model, optimizer, scheduler, DataLoader(torch.randn(256, 8), batch_size=8, shuffle=True)
)
# -- watch: model, optimizer
for _ in range(3):
    for batch in loader:
        with accelerator.accumulate(model):
            loss = nn.functional.mse_loss(model(batch), batch.sum(1, keepdim=True))
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
accelerator.print(f"loss {loss.item():.6f}")
report(accelerator.unwrap_model(model))
