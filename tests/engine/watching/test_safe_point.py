"""Commands of any thread wait for the training thread, which never waits for who asks."""

from __future__ import annotations

from vgrad.controls.controls import Set
from vgrad.watching.safe_point import Asked, SafePoint


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
