"""A callback for Hugging Face's `Trainer`, and for whatever takes its callbacks.

    trainer = Trainer(model, args, train_dataset=rows, callbacks=[VgradCallback()])

It needs the extra ``huggingface``. A script that may not be changed needs no callback: ``python -m vgrad``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vgrad.errors import MissingExtra
from vgrad.integrations.callback_watch import CallbackWatch

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingExtra("transformers is not installed: pip install 'vgrad-tui[huggingface]'") from error

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class VgradCallback(CallbackWatch, TrainerCallback):
    """Watches the gradients of a `Trainer`, from ``train()`` to its end.

    Training is not changed: while no control is on, the weights are bit for bit what they are without. What
    the trainer logs is put on the record, too. The loss is the one that ``backward`` is called on, summed
    over the microbatches of a step, so a NaN that ``logging_nan_inf_filter`` keeps out of the logs is seen.
    Its arguments are those of `CallbackWatch`.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to watch."""
        self.begin_watch(kwargs["model"], [kwargs["optimizer"]])

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put what the trainer logs on the record: also what an evaluation found."""
        self.log_metrics(kwargs.get("logs") or {})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End watching."""
        self.end_watch()
