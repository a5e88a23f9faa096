"""A loss scale, gradient accumulation, clipping, a scheduler, and a DataLoader with worker processes."""

import sys

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from weights import report


class Numbers(Dataset[tuple[Tensor, Tensor]]):
    """Pairs that depend on their index alone."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(8, generator=torch.Generator().manual_seed(index))
        return inputs, inputs[:1] * 2


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=32)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    start_method = sys.argv[1] if len(sys.argv) > 1 else "fork"
    loader = DataLoader(Numbers(), batch_size=4, num_workers=2, multiprocessing_context=start_method)
    # -- watch: model, optimizer
    for number, (inputs, targets) in enumerate(loader, start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.mse_loss(model(inputs), targets) / 2
        scaler.scale(loss).backward()
        if number % 2 == 0:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            scheduler.step()
    print(f"loss {loss.item():.6f}")
    report(model)


if __name__ == "__main__":
    main()
