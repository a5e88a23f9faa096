"""Commands of any thread wait for the training thread, which never waits for who asks."""

from __future__ import annotations

import torch
from torch import nn

import vgrad
from vgrad.controls.controls import Set
from vgrad.watching.safe_point import MOST_PER_STEP, Asked, SafePoint


def test_who_asks_again_at_each_answer_does_not_hold_up_the_step() -> None:
    point = SafePoint()
    for number in range(3):
        point.put(Asked(str(number), Set("lr_scale", 0.5)))
    taken = []
    for asked in point.take_waiting():
        taken.append(asked.command_id)
        point.put(Asked(asked.command_id + " again", Set("lr_scale", 0.5)))
    assert taken == ["0", "1", "2"]
    assert [asked.command_id for asked in point.take_waiting()] == ["0 again", "1 again", "2 again"]


def test_commands_that_another_thread_takes_meanwhile_are_not_waited_for() -> None:
    point = SafePoint()
    for number in range(3):
        point.put(Asked(str(number), Set("lr_scale", 0.5)))
    waiting = point.take_waiting()
    assert next(waiting).command_id == "0"
    assert [asked.command_id for asked in point.take_waiting()] == ["1", "2"]
    assert list(waiting) == []


def test_a_step_carries_out_a_bounded_number_of_commands_and_the_end_answers_the_others() -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = vgrad.watch(model, optimizer, record=False)
    asked = [watch.submit(Set("lr_scale", 1.0 + number)) for number in range(2 * MOST_PER_STEP + 5)]
    cursor = watch.cursor()

    def answered() -> list[str | None]:
        return [note.command_id for note in cursor.take().notices if note.command_id is not None]

    for number in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert answered() == asked[number * MOST_PER_STEP : (number + 1) * MOST_PER_STEP]
    watch.close()
    assert answered() == asked[2 * MOST_PER_STEP :]
