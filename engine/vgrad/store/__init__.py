"""A run as a folder: written by the process that trains, read by any number of others.

The modules, by what they are about:

- **Where a run is:** `folder` and its lock; `move_from_local` and `pointer` where the folder of all runs
  cannot hold a database that is being written (`file_system`).
- **Writing:** `recorder` is the thread, `writer` the transactions, `database` the tables, `columns` the bytes
  of the steps. `layer_levels` keeps a run of any length small. `fork` keeps a child process out of it.
- **Reading:** `reader` while it is written or later, `listing` for a list of runs, `log` for what a script
  has printed. `attached_run` and `replayed_run` are a run as a screen sees it; the latter moves along a
  `timeline`.
- **Steering from outside:** `inbox`, and `stop_signal` for a loop that knows no command to stop.
- **States:** `checkpoints`. A run that goes on from another begins with its `ancestry`.
- **How it went:** `ending`, `non_finite`, and `run_record` with all that it takes to run it again.
- **As other programs want it:** `export`. **How much room it takes:** `size_limit`.
"""
