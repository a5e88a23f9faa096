"""Hugging Face's Trainer on a tiny GPT-2: labels of unequal length, accumulation, clipping, evaluation."""

import tempfile

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainingArguments
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)


def row(index: int) -> dict[str, Tensor]:
    """Tokens of a run of numbers; those behind its end do not count."""
    tokens = (torch.arange(16) * (1 + index % 3) + index) % 32
    return {"input_ids": tokens, "labels": tokens.masked_fill(torch.arange(16) > 3 + index % 13, -100)}


rows = [row(index) for index in range(64)]
size = {"vocab_size": 32, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
config = GPT2Config(**size, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM")
model = GPT2LMHeadModel(config)
trainer = Trainer(
    model,
    TrainingArguments(
        tempfile.mkdtemp(),
        max_steps=24,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=12,
        logging_steps=6,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=rows,
    eval_dataset=rows[:8],
)
trainer.remove_callback(PrinterCallback)
# -- callback: huggingface, trainer.add_callback
trainer.train()
for entry in trainer.state.log_history:
    print(
        {name: value for name, value in entry.items() if name in {"step", "loss", "grad_norm", "eval_loss"}}
    )
report(model)
