"""A recording answers every key of a run, too."""

from __future__ import annotations

from tests.engine.store.recorded import record
from tests.tui.driving import line_with

from vgrad.store.folder import RunFolder
from vgrad.store.replayed_run import ReplayedRun
from vgrad_tui.app.replay_app import ReplayApp
from vgrad_tui.keys import REFUSED_KEYS, REPLAY_KEYS


async def test_a_key_that_would_steer_says_that_this_is_a_recording() -> None:
    recording = ReplayedRun(record(RunFolder.create("recorded"), 50, ("a",)), at_step=20)
    app = ReplayApp(recording)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for key in REFUSED_KEYS:
            app.clear_notifications()
            await pilot.press(key.keys)
            await pilot.pause()
            assert line_with(app, "this is a recording"), key
        assert recording.step == 20
    recording.close()


def test_no_key_of_a_recording_is_refused() -> None:
    played = [name for key in REPLAY_KEYS for name in key.keys.split(",")]
    assert {name for key in REFUSED_KEYS for name in key.keys.split(",")}.isdisjoint(played)
