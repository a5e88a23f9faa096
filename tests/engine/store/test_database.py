"""A database that is being made is whole for whoever looks, whatever other threads do."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import closing
from pathlib import Path

from vgrad.store.database import open_to_read, open_to_write


def test_a_new_database_is_whole_while_another_thread_holds_every_object(tmp_path: Path) -> None:
    has_ended = threading.Event()

    def hold() -> None:
        while not has_ended.is_set():
            held = gc.get_objects()
            time.sleep(0.001)
            del held

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        for number in range(30):
            path = tmp_path / f"{number}.sqlite"
            with closing(open_to_write(path)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            reading, _ = open_to_read(path)
            reading.close()
    finally:
        has_ended.set()
        holder.join()
