"""Lightning's Trainer, which steps with a closure: accumulation, clipping, bf16 autocast, validation."""

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from weights import report


class Regression(lightning.LightningModule):
    """A small network on sums."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))

    def training_step(self, batch: Tensor) -> Tensor:
        return nn.functional.mse_loss(self.net(batch), batch.sum(1, keepdim=True))

    def validation_step(self, batch: Tensor) -> None:
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


lightning.seed_everything(0)
torch.set_num_threads(1)
rows = torch.randn(256, 8)
model = Regression()
trainer = lightning.Trainer(
    accelerator="cpu",
    max_epochs=3,
    accumulate_grad_batches=2,
    gradient_clip_val=0.5,
    precision="bf16-mixed",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
# -- callback: lightning, trainer.callbacks.append
trainer.fit(model, DataLoader(rows, batch_size=8), DataLoader(rows[:32], batch_size=8))
print({name: f"{value:.6f}" for name, value in trainer.callback_metrics.items()})
report(model)
