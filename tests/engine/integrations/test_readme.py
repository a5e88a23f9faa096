"""What the README says of Hugging Face, Lightning and Accelerate works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import transformers
from accelerate import Accelerator
from tests.engine.integrations.test_values import Regression, fresh_accelerate, text, tiny_gpt
from torch import nn
from torch.utils.data import DataLoader

import vgrad
from vgrad.store.folder import all_runs
from vgrad.store.listing import look

__all__ = ["fresh_accelerate"]
README = Path(__file__).parents[3] / "README.md"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*tensorboardX. has been removed as a dependency:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval:UserWarning"),
]


def rows_of_eight() -> DataLoader[Any]:
    return DataLoader(torch.randn(64, 8), batch_size=8)  # type: ignore[arg-type]


def train(accelerator: Accelerator, model: nn.Module, optimizer: Any, loader: DataLoader[Any]) -> None:
    for batch in loader:
        accelerator.backward(model(batch).square().mean())
        optimizer.step()
        optimizer.zero_grad()


def test_each_block_of_the_section_trains_and_is_recorded(tmp_path: Path) -> None:
    section = README.read_text(encoding="utf-8").partition("### Hugging Face, Lightning, Accelerate")[2]
    blocks = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    linear = nn.Linear(8, 1)
    given: list[dict[str, Any]] = [
        {
            "transformers": transformers, "model": tiny_gpt(), "rows": [text(seed, 50) for seed in range(8)],
            "args": transformers.TrainingArguments(
                str(tmp_path / "out"), max_steps=8, use_cpu=True, report_to="none", save_strategy="no",
                dataloader_pin_memory=False, disable_tqdm=True,
            ),
        },
        {"lightning": lightning, "module": Regression(), "loader": rows_of_eight()},
        {
            "vgrad": vgrad, "train": train, "accelerator": Accelerator(cpu=True), "model": linear,
            "optimizer": torch.optim.SGD(linear.parameters(), lr=0.1),
            "loader": rows_of_eight(),
        },
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # Lightning writes its logs there
        for block, names in zip(blocks, given, strict=True):
            exec(compile(block, str(README), "exec"), names)  # it is ours
    assert {folder.name.split("-")[0] for folder in all_runs()} == {"GPT2LMHeadModel", "Regression", "Linear"}
    assert [look(folder).step for folder in all_runs()] == [8, 8, 8]
