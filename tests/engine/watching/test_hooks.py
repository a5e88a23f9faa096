"""Hooks come off without disturbing a step that is running."""

from __future__ import annotations

import sys

import torch
from torch import nn

from vgrad.run.watched_loop import watch
from vgrad.watching.hooks import at_next_backward, is_inside_a_step


def test_what_waits_is_done_after_the_step_where_every_backward_pass_is_inside_of_one() -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    watched = watch(model, optimizer, record=False)
    asked = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 3)).sum().square()
        loss.backward()
        if not asked:
            asked.append(True)
            watched.close()
            assert optimizer._optimizer_step_pre_hooks, "torch may be iterating over them"
        return loss

    at_next_backward(lambda: asked.append(is_inside_a_step()))
    optimizer.step(closure)
    assert asked == [True, False]
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    assert sys.gettrace() is None
