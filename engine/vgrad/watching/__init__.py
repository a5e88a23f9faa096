"""Watching and steering the gradients of an optimizer, in anybody's training loop.

`watch` is what a script holds: a run of one or more parts. `part` is one optimizer with its layers, its
controls and its verdict. The other modules, by what they are about:

- **One step, in the order in which things happen.** `hooks` calls `optimizer_tap` before and after
  ``optimizer.step()``. That takes the loss, reads the gradients and runs the `chain` of controls
  (`gradient_tap`), sets the learning rates (`step_rates`), and measures the step (`step_meter`). The numbers
  of a step may still be on an accelerator (`pending_steps`); once they are here, `reporter` asks the judge
  and feeds the hub.
- **Kinds of steps:** a closure (`closures`), one that raises (`raised_step`), a scaler in a fused optimizer
  (`fused_scaling`), steps within the backward pass (`stepped_in_backward`), updates by hand (`by_hand`).
- **The loss:** `loss_source` knows where it comes from; where nobody says it, `loss_at_backward` catches it
  in a wrapper around the backward pass (`backward_hooks`, `backward_call`).
- **What the loop itself does to its gradients:** `clip_calls`, `loop_clipping`, `loop_remarks`.
- **Commands:** they wait at the `safe_point`; `steering` carries them out, by `command_on_parts`, and on
  every rank at the `same_step`.
- **Several processes:** `other_ranks`, `local_gradients`, `sharded_part`.
- **A script that knows nothing of vgrad:** `every_optimizer` notices its optimizers, `discover` and
  `loose_tensors` find what they train, `unwrap` looks into the wrappers of other libraries, `unused_parts`
  frees what the script has dropped, and what is left of a part (`earlier_part`) lets another optimizer of the
  same parameters go on with it. A ``vgrad.watch`` within such a run joins it (`joinable`,
  `joined_watch`).
- **Never in the way:** `guard` keeps errors of ours out of the loop, `tracebacks` our frames out of its
  tracebacks, `outside_dynamo` our hooks out of what is compiled, `outside_modes` what we
  compute out of what the loop's modes see, `other_threads` looks at what else runs,
  `signals_later` keeps a Ctrl-C from being lost, `at_exit` reports the last steps.
- **Small values:** `held_params`, `part_capabilities`, `logged_numbers`; `frame_variables` reads variables.
"""
