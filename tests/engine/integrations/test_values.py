"""Norms and losses are right under the real frameworks' accumulation, precision and clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import vgrad
from vgrad.events.notices import LoopNoted
from vgrad.events.step_record import StepRecord
from vgrad.integrations import huggingface
from vgrad.integrations import lightning as for_lightning
from vgrad.watching.every_optimizer import EveryOptimizer
from vgrad.watching.watch import Watch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
]


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state in the process."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    torch.manual_seed(0)
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def records_of(watch: Watch) -> list[StepRecord]:
    return [record for block in watch.cursor().take().blocks for record in block.records()]


# Hugging Face's Trainer.


def tiny_gpt() -> GPT2LMHeadModel:
    size = {"vocab_size": 32, "n_positions": 100, "n_embd": 16, "n_layer": 2, "n_head": 2}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(**size, **no_dropout, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM")
    )


def text(seed: int, num_counted: int, length: int = 99) -> dict[str, Tensor]:
    """Tokens of which only the first so many count for the loss; the first one is predicted by nothing."""
    tokens = torch.randint(0, 32, (length,), generator=torch.Generator().manual_seed(seed))
    counts = torch.arange(length) <= num_counted
    return {"input_ids": tokens, "labels": torch.where(counts, tokens, -100)}


def with_trainer(
    folder: Path, rows: list[dict[str, Tensor]], **settings: Any
) -> tuple[list[StepRecord], Trainer, Watch]:
    callback = huggingface.VgradCallback(record=False)
    given = {
        "max_steps": 6, "learning_rate": 1e-2, "per_device_train_batch_size": 2, "logging_steps": 1,
        "save_strategy": "no", "report_to": "none", "use_cpu": True, "disable_tqdm": True,
        "dataloader_pin_memory": False, **settings,
    }  # fmt: skip
    trainer = Trainer(
        tiny_gpt(), TrainingArguments(str(folder), **given), train_dataset=rows, callbacks=[callback]
    )
    trainer.train()
    assert callback.watch is not None
    return records_of(callback.watch), trainer, callback.watch


def logged(trainer: Trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_microbatches_of_3_and_97_tokens_are_one_of_100(tmp_path: Path) -> None:
    rows = [text(1, 3), text(2, 97)]
    together = {"per_device_train_batch_size": 2}
    apart = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    once, _, _ = with_trainer(tmp_path, rows, max_steps=1, **together)
    twice, _, _ = with_trainer(tmp_path, rows, max_steps=1, **apart)
    [one], [two] = once, twice
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert two.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
    assert two.grad_norms == pytest.approx(one.grad_norms, rel=1e-4)


@pytest.mark.parametrize("settings", [{}, {"bf16": True}, {"gradient_accumulation_steps": 2}], ids=str)
def test_the_trainers_own_clipping_is_between_the_two_norms(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows = [text(seed, 40 + seed) for seed in range(24)]
    records, trainer, watch = with_trainer(tmp_path, rows, max_grad_norm=0.5, **settings)
    assert [record.step for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.grad_norm for record in records] == pytest.approx(logged(trainer, "grad_norm"), rel=1e-4)
    assert [r.applied_norm for r in records] == pytest.approx(
        [min(r.grad_norm, 0.5) for r in records], rel=1e-4
    )
    assert [record.loss for record in records] == pytest.approx(logged(trainer, "loss"), rel=1e-4)
    assert [record.lr for record in records] == pytest.approx(logged(trainer, "learning_rate"))
    said = [n.body.text for n in watch.cursor().take().notices if isinstance(n.body, LoopNoted)]
    assert said == ["the loop clips its gradients itself (clip_grad_norm_ 0.5): norms are those before it"]


class BreaksAt(nn.Module):
    """Makes the loss NaN, or one layer's gradient infinite, in one forward pass."""

    def __init__(self, model: GPT2LMHeadModel, number: int, what: str) -> None:
        super().__init__()
        self.gpt, self.number, self.what = model, number, what

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        self.number -= 1
        outputs = self.gpt(input_ids=input_ids, labels=labels)
        if self.number == 0 and self.what == "loss":
            outputs.loss = outputs.loss * math.nan
        elif self.number == 0:
            self.gpt.transformer.ln_f.bias.register_hook(lambda grad: grad + math.inf)
        return outputs


@pytest.mark.parametrize("what", ["loss", "layer"])
def test_what_is_not_finite_is_on_our_record_though_the_trainer_hides_it(tmp_path: Path, what: str) -> None:
    callback = huggingface.VgradCallback(record=False)
    arguments = TrainingArguments(
        str(tmp_path), max_steps=6, logging_steps=6, save_strategy="no", report_to="none", use_cpu=True,
        disable_tqdm=True, logging_nan_inf_filter=True, dataloader_pin_memory=False,
        per_device_train_batch_size=2,
    )  # fmt: skip
    rows = [text(seed, 50) for seed in range(12)]
    trainer = Trainer(BreaksAt(tiny_gpt(), 4, what), arguments, train_dataset=rows, callbacks=[callback])
    trainer.train()
    assert all(map(math.isfinite, logged(trainer, "loss"))), "the filter hides it"
    assert callback.watch is not None
    records = records_of(callback.watch)
    fourth = records[3]
    assert all(math.isfinite(r.grad_norm) for r in records[:3])
    assert callback.watch.verdict.kind == "non-finite"
    if what == "loss":
        assert fourth.loss is not None and math.isnan(fourth.loss)
    else:
        assert fourth.grad_norm == math.inf
        [bad] = [
            name
            for name, norm in zip(callback.watch.layers, fourth.grad_norms, strict=True)
            if not math.isfinite(norm)
        ]
        assert bad.endswith("ln_f")


# Lightning.


class Regression(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        self.seen: list[float] = []  # norms before clipping
        self.losses: list[float] = []

    def training_step(self, batch: Tensor) -> Tensor:
        loss = nn.functional.mse_loss(self.net(batch), batch.sum(1, keepdim=True))
        self.losses.append(loss.item())
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [param.grad for param in self.parameters() if param.grad is not None]
        self.seen.append(float(nn.utils.get_total_norm(grads)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def with_lightning(**settings: Any) -> tuple[Regression, list[StepRecord], Watch]:
    callback = for_lightning.VgradCallback(record=False)
    model = Regression()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback], **settings,
    )  # fmt: skip
    trainer.fit(model, DataLoader(torch.randn(64, 8), batch_size=8))
    assert callback.watch is not None
    return model, records_of(callback.watch), callback.watch


@pytest.mark.parametrize(
    "settings", [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}], ids=str
)
def test_lightnings_own_clipping_is_between_the_two_norms(settings: dict[str, Any]) -> None:
    model, records, watch = with_lightning(gradient_clip_val=0.5, **settings)
    size = settings.get("accumulate_grad_batches", 1)
    means = [sum(model.losses[i : i + size]) / size for i in range(0, 16, size)]
    assert [record.loss for record in records] == pytest.approx(means, rel=1e-4)
    assert [r.grad_norm for r in records] == pytest.approx(model.seen, rel=1e-4)
    assert [r.applied_norm for r in records] == pytest.approx([min(n, 0.5) for n in model.seen], rel=1e-4)
    assert all(record.links for record in records)
    assert watch.layers == ("net.0", "net.2")


def test_lightnings_clipping_by_value() -> None:
    model, records, _ = with_lightning(gradient_clip_val=0.05, gradient_clip_algorithm="value")
    assert [r.grad_norm for r in records] == pytest.approx(model.seen, rel=1e-4)
    assert records[0].applied_norm < records[0].grad_norm


def test_lightning_with_a_loss_scale() -> None:
    plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    model, records, _ = with_lightning(gradient_clip_val=0.5, plugins=[plugin])
    assert [r.grad_norm for r in records] == pytest.approx(model.seen, rel=1e-3)
    assert [r.applied_norm for r in records] == pytest.approx([min(n, 0.5) for n in model.seen], rel=1e-3)
    assert records[0].loss_scale == 1024.0


class TwoInTurn(lightning.LightningModule):
    """Two networks, two optimizers, stepped by hand; one is clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.one, self.other = nn.Linear(8, 1), nn.Linear(8, 1)
        self.seen: list[list[float]] = [[], []]

    def training_step(self, batch: Tensor) -> None:
        for number, (net, optimizer) in enumerate(
            zip((self.one, self.other), self.optimizers(), strict=True)
        ):
            assert type(optimizer).__mro__[1].__name__ == "LightningOptimizer"
            optimizer.zero_grad()
            self.manual_backward((net(batch) - 3).square().mean())
            grads = [param.grad for param in net.parameters() if param.grad is not None]
            self.seen[number].append(float(nn.utils.get_total_norm(grads)))
            if number:
                self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
            optimizer.step()

    def configure_optimizers(self) -> Any:
        nets = (self.one, self.other)
        return [torch.optim.SGD(net.parameters(), lr=1e-2) for net in nets], []


@pytest.mark.parametrize("by", ["callback", "watch"])
def test_lightnings_manual_optimization_makes_a_part_of_each_wrapped_optimizer(by: str) -> None:
    class Watching(lightning.Callback):
        watch: Watch | None = None

        def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            self.watch = vgrad.watch(pl_module, pl_module.optimizers(), record=False)

        def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            assert self.watch is not None
            self.watch.close()

    callback = Watching() if by == "watch" else for_lightning.VgradCallback(record=False)
    model = TwoInTurn()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    trainer.fit(model, DataLoader(torch.randn(64, 8), batch_size=8))
    assert callback.watch is not None
    for part, clipped in ((0, False), (1, True)):
        records = [record for record in records_of(callback.watch) if record.part == part]
        assert [record.grad_norm for record in records] == pytest.approx(model.seen[part], rel=1e-4)
        limit = 0.5 if clipped else math.inf
        applied = [min(norm, limit) for norm in model.seen[part]]
        assert [record.applied_norm for record in records] == pytest.approx(applied, rel=1e-4)


# Accelerate.


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_accelerates_wrapped_optimizer_accumulation_and_clipping(scale: float | None) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    if scale is not None:  # what mixed_precision="fp16" makes on a GPU
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    model, optimizer, loader = accelerator.prepare(
        model, torch.optim.AdamW(model.parameters(), lr=1e-2), DataLoader(torch.randn(64, 8), batch_size=8)
    )
    assert type(optimizer).__name__ == "AcceleratedOptimizer"
    norms, losses, expected = [], [], []
    with vgrad.watch(model, optimizer, record=False) as watch:
        for batch in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.mse_loss(model(batch), batch.sum(1, keepdim=True))
                losses.append(loss.item())
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    if scale is not None:
                        accelerator.scaler.unscale_(optimizer.optimizer)
                    norms.append(float(accelerator.clip_grad_norm_(model.parameters(), 0.5)))
                    expected.append(sum(losses) / 2)
                    losses.clear()
                optimizer.step()
                optimizer.zero_grad()
        records = watch.records()
    assert len(records) == 4 and watch.layers == ("0", "2")
    assert [r.loss for r in records] == pytest.approx(expected, rel=1e-4)
    assert [r.grad_norm for r in records] == pytest.approx(norms, rel=1e-3)
    assert [r.applied_norm for r in records] == pytest.approx([min(n, 0.5) for n in norms], rel=1e-3)


def test_wrapped_optimizers_that_exist_already_are_one_part_each() -> None:
    """As for a process that was attached to: the wrapper and what it wraps are both in memory."""
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(4, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    wrapped = lightning.pytorch.core.optimizer.LightningOptimizer(
        torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1)
    )
    watch = Watch("attached")
    every = EveryOptimizer(watch)
    every.begin()
    every.notice(optimizer)
    every.notice(optimizer.optimizer)
    every.notice(wrapped)
    every.notice(wrapped.optimizer)
    for _ in range(3):
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert [(record.part, record.step) for record in watch.records()] == [(0, 1), (0, 2), (0, 3)]
    watch.close()
