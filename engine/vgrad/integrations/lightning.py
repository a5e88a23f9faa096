"""A callback for Lightning's `Trainer`.

    trainer = lightning.Trainer(callbacks=[VgradCallback()])

It needs the extra ``lightning``. A script that may not be changed needs no callback: ``python -m vgrad``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.errors import MissingExtra
from vgrad.integrations.callback_watch import CallbackWatch

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise MissingExtra("lightning is not installed: pip install 'vgrad-tui[lightning]'") from error

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class VgradCallback(CallbackWatch, Callback):
    """Watches the gradients of ``trainer.fit``; every optimizer of the module is a part of the run.

    Training is not changed: while no control is on, the weights are bit for bit what they are without. What
    the module logs is put on the record at the end of every epoch. The loss is the one that ``backward`` is
    called on, summed over the batches that one step accumulates.
    Its arguments are those of `CallbackWatch`.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        self.begin_watch(pl_module, trainer.optimizers)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put what the module has logged on the record."""
        self.log_metrics(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put what the module has logged on the record."""
        self.log_metrics(trainer.callback_metrics)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End watching."""
        self.end_watch()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End watching: an error, or Ctrl-C, has ended the training."""
        self.end_watch(exception)
