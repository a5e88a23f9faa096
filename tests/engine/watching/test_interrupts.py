"""Ctrl-C may come at any moment of a step, in our own code as well, and the loop may catch it and go on."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
import torch
from tests.engine.watching.loops import OPTIMIZERS, batches, loss_of, make_model, plain

import vgrad


class InterruptAtCall:
    """Raises `KeyboardInterrupt` as function number ``number`` of vgrad begins."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._called)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        is_ours = event == "call" and "/engine/vgrad/" in frame.f_code.co_filename
        if is_ours and not _is_in_finalizer(frame):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def _is_in_finalizer(frame: FrameType | None) -> bool:
    """Python itself swallows what is raised there."""
    while frame is not None:
        if frame.f_code.co_name in {"__del__", "_forget"}:
            return True
        frame = frame.f_back
    return False


# A generator that is closed swallows it, too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loop_that_goes_on_after_an_interrupt_finds_its_rates_and_gradients(accumulate: int) -> None:
    controls = vgrad.Controls(  # texts are read
        lr_scale=0.5,
        clip="norm:0.05",  # type: ignore[arg-type]
        freeze="0",  # type: ignore[arg-type]
        accumulate=accumulate,  # type: ignore[arg-type]
    )
    number = 0
    is_over = False
    while not is_over:
        number += 1
        model = make_model().eval()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        frozen = model[0].weight.detach().clone()
        with vgrad.watch(model, optimizer, controls=controls, record=False) as watch:
            plain(model, optimizer, batches(2 * accumulate - 1))
            optimizer.zero_grad()
            loss_of(model, batches(1)[0]).backward()
            interrupt = InterruptAtCall(number)
            try:
                with interrupt:
                    optimizer.step()
            except KeyboardInterrupt:
                pass
            is_over = interrupt.left > 0
            assert torch.is_grad_enabled()
            assert optimizer.state_dict()["param_groups"][0]["lr"] == 0.05
            if accumulate == 1 and not is_over:
                assert all(param.grad is not None for param in model.parameters())
            plain(model, optimizer, batches(2 * accumulate))
            assert optimizer.param_groups[0]["lr"] == 0.05
            assert torch.equal(model[0].weight, frozen)
            records = watch.records()
            assert [record.step for record in records] == list(range(1, len(records) + 1))
            assert {record.lr for record in records} == {0.025}
        assert not optimizer._optimizer_step_pre_hooks
    assert number > 50  # all of our functions in a step
