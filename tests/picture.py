"""``python -m tests.picture``: makes the README's picture of the screen on an unmodified script.

The screen saves it itself (key ``S``), after some seconds of training.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.terminal import VGRAD_TUI, Terminal

TARGET = Path(__file__).parents[1] / "docs" / "watch.svg"
_TRAINING_S = 20.0

# A residual network that learns from generated images, in a plain loop that prints as it goes.
SCRIPT = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(self.norm(self.conv1(x)).relu())

torch.manual_seed(0)
patterns = torch.randn(10, 1, 12, 12)
stem = nn.Conv2d(1, 16, 3, padding=1)
head = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, 10))
model = nn.Sequential(stem, *[Block(16) for _ in range(4)], head)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(1_000_000):
    labels = torch.randint(10, (32,))
    images = patterns[labels] + 1.5 * torch.randn(32, 1, 12, 12)
    loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}  loss {loss.item():.3f}")
"""


def main() -> int:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "train_resnet.py").write_text(SCRIPT, encoding="utf-8")
        os.chdir(place)
        home = {"VGRAD_HOME": str(Path(place) / "home")}
        arguments = [VGRAD_TUI, "watch", "train_resnet.py"]
        with Terminal(arguments, columns=120, lines=36, environ=home) as terminal:
            terminal.wait_for("● training")
            time.sleep(_TRAINING_S)
            terminal.press("c")
            time.sleep(_TRAINING_S)
            terminal.press("S")
            terminal.wait_for("saved")
            terminal.press("Q")
            terminal.wait_for("End it")
            terminal.press("y")
            terminal.wait_for("stopped")
        [picture] = Path(place).glob("vgrad-*.svg")
        shutil.copy(picture, TARGET)
    sys.stdout.write(f"{TARGET}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
