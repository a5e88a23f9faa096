"""What a script in a process of its own prints is passed on once."""

from __future__ import annotations

from pathlib import Path

from tests.waiting import until

from vgrad.run.script_process import ScriptProcess

TRAINS_AND_FAILS = """
print("before it trains")
import torch
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.SGD([weight], lr=0.1)
weight.square().sum().backward()
optimizer.step()
raise ValueError("at its " + "end")
"""


def test_what_was_passed_on_before_it_trains_is_not_among_the_last_lines(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAINS_AND_FAILS)
    process = ScriptProcess([str(script)])
    passed_on: list[str] = []
    assert process.wait_for_training(passed_on.append)
    until(lambda: process.end_code() is not None)
    assert process.end_code() == 1
    text = "".join(passed_on)
    assert "before it trains" in text
    text += "\n".join(process.last_lines(1000))  # a line may be cut where the screen would have opened
    assert [text.count(words) for words in ("before it trains", "at its end")] == [1, 1]
