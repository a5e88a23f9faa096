"""A process that is recorded may fork: no recorder of it works then, holding locks that would stay locked."""

from __future__ import annotations

import os
import time

from tests.soak import times

import vgrad
from vgrad.events.hub import Hub
from vgrad.store import inbox
from vgrad.store.folder import RunFolder
from vgrad.store.inbox import SentCommand
from vgrad.store.recorder import Recorder


def test_no_child_is_forked_while_a_recorder_works() -> None:
    is_working = False
    num_taken = 0

    def work(sent: SentCommand) -> None:
        nonlocal is_working, num_taken
        is_working = True
        time.sleep(0.003)  # as a write does, it lets the thread that forks run meanwhile
        num_taken += 1
        is_working = False

    folder = RunFolder.create("forks")
    with Recorder(Hub().cursor, folder, on_command=work):
        for _ in range(times(40, 400)):
            inbox.send(folder.inbox, vgrad.Set("clip", "norm:1"))
            before = num_taken
            while num_taken == before:
                child = os.fork()
                if child == 0:
                    os._exit(is_working)
                assert os.waitpid(child, 0) == (child, 0)
