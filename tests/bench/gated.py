"""A run whose screen is switched on and off every few seconds, to see what the screen costs.

``python -m tests.bench.gated FILE WINDOWS SECONDS CONFIG`` runs in a terminal, as `tests.bench.screen`
starts it, and writes the steps per second of each window to FILE: on, off, on, off. Both kinds
of window belong to one process and one training, so what else the machine does hits both alike.
While it is off the screen neither drains nor draws: that is a run without a screen, but for an
idle event loop.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from vgrad.config import RunConfig
from vgrad.run.session import Session
from vgrad.train.trainer import Trainer
from vgrad_tui.app.app import VgradApp
from vgrad_tui.app.bridge import Bridge

_SETTLE_S = 0.6  # after each switch: the screen catches up, or what it had begun ends


class GatedBridge(Bridge):
    """A bridge that can be closed."""

    is_open = True

    def pull(self) -> None:
        """Drain the source, if the bridge is open."""
        if self.is_open:
            super().pull()


def main(file: str, windows: str, seconds: str, config_json: str) -> None:
    """Run, measure, write, leave."""
    config = RunConfig.model_validate_json(config_json)
    trainers: list[Trainer] = []

    def prepare(_say: object) -> Trainer:
        from vgrad.run.build import build

        trainers.append(build(config))
        return trainers[0]

    session = Session(prepare)
    screen = session.attach()
    app = VgradApp(screen)
    bridge = app._bridge = GatedBridge(screen, app._refresh_rate)
    rates: list[float] = []

    def measure() -> None:
        while not trainers or trainers[0].step < 100:
            time.sleep(0.1)
        time.sleep(3.0)
        for window in range(int(windows)):
            bridge.is_open = window % 2 == 0
            if not bridge.is_open:
                session.drain()  # what has piled up would be taken in one piece later
            time.sleep(_SETTLE_S)
            begin, first = time.perf_counter(), trainers[0].step
            time.sleep(float(seconds))
            rates.append((trainers[0].step - first) / (time.perf_counter() - begin))
        session.stop()
        app.call_from_thread(app.exit)

    threading.Thread(target=measure, daemon=True).start()
    app.run()
    session.join(10.0)
    Path(file).write_text(json.dumps(rates), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
