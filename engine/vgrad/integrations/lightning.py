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

    from vgrad.controls.controls import Controls
    from vgrad.watching.watch import Watch


class VgradCallback(Callback):
    """Watches the gradients of ``trainer.fit``; every optimizer of the module is a part of the run.

    Training is not changed: while no control is on, the weights are bit for bit what they are without. What
    the module logs is put on the record at the end of every epoch. The loss is the one that ``backward`` is
    called on, summed over the batches that one step accumulates.

    Args:
        name: What the run is called; the module's class unless given.
        controls: What is done to the gradients from the first step on, after the trainer's own clipping.
        record: Whether to record the run into a folder, where `vgrad-tui attach` and `send` find it.
    """

    def __init__(
        self, name: str | None = None, *, controls: Controls | None = None, record: bool = True
    ) -> None:
        self._training = CallbackWatch(name, controls, record=record)

    @property
    def watch(self) -> Watch | None:
        """The watch of the training that runs, or of the last one; None before the first."""
        return self._training.watch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        self._training.begin(pl_module, trainer.optimizers)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put what the module has logged on the record."""
        self._training.log(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put what the module has logged on the record."""
        self._training.log(trainer.callback_metrics)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End watching."""
        self._training.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End watching: an error, or Ctrl-C, has ended the training."""
        self._training.end(exception)
