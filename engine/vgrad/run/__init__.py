"""A run from its configuration to its summary: building it, its worker thread, and runs without a screen.

The modules, by what they are about:

- **A run of our own loop.** `build` makes a trainer of a recipe, a config or somebody's task (`task_file`,
  `task_options`). `session` trains it in a worker thread; `attached_screen` is a session as one screen sees
  it, `headless` a run without one. `checkpointing` says when its state is saved.
- **A loop that somebody has written.** `watched_loop` is `vgrad.watch`.
- **A script, unmodified.** `script` is what ``python -m vgrad`` does (`script_options`): it runs the script
  by `main_module` and watches it (`watched_script`). `script_process` gives it a process of its own,
  `torchrun` several (`launcher`). What its children train is watched as well: `child_processes`,
  `pool_workers`. Nothing is imported before it is needed: `after_import`, `first_training`.
- **A process that is running already.** `attach_pid` finds it (`target_process`) and brings code into it
  (`injection`); there `start_inside` runs first, and then `injected`.
- **A run that outlives its terminal:** `detached`, `recording`.
- **Going back, and on:** `resume`, `rewindable`. **Once more, to compare:** `rerun`, `verify`.
- **What is known of a run**, folded from its stream: `run_history` and `part_history`, `recent_steps`,
  `journal`, `last_change`.
- **What is said of it:** `progress`, `summary`, to an `output` that may fail.
"""
