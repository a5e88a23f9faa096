"""What the README says of a training loop of one's own works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "README.md"


def test_the_code_of_the_section_runs(capsys: pytest.CaptureFixture[str]) -> None:
    section = (
        README.read_text(encoding="utf-8").partition("### Your own training loop")[2].partition("\n## ")[0]
    )
    [code] = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    exec(compile(code, str(README), "exec"), {})  # it is ours
    layers, kind, norm = re.fullmatch(r"(\(.*\)) (\S+) (\S+)\n", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert layers == "('0', '2')"
    assert kind in {"healthy", "starting", "stalled", "vanishing"}
    assert 0 < float(norm) <= 0.5001
