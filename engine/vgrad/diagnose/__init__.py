"""What is wrong with the gradients of a run, said in words, with the numbers it rests on and a remedy.

`judge` is asked about every step. It remembers a run in `parts`, and each `part` is one idea:

- **The loss:** its level and its progress (`losses`, `slow_progress`), what the first steps did to it
  (`first_steps`), what a constant prediction costs (`baseline`, `beyond_constant`), and whether only the
  training loss falls (`overfitting`).
- **Explosions:** `explosion_onset`, `explosions` until the run is back, `recovery` where it never is,
  `growth` where it is slow. `step_reach` asks whether the steps can have done it; `norm_watch` stands in
  where nobody knows the loss.
- **The gradients:** `gradient_ends` compares the first layer with the last, `layer_activity` knows which get
  any at all, `gradient_sums` finds a missing ``zero_grad``, `skipped_steps` and `non_finite_origin` are about
  NaN and infinity.
- **What the run is trained with:** `rates`, `control_changes`.

From time to time, and when something stands out, `gathering` makes `symptoms` of them. `rules` turn these
into a `finding`, which is held for a while (`held_finding`). `verdicts` puts it into words, with a remedy
(`remedies`) and how often the rule was right (`confidence`); `nothing_found` is the verdict without one.
Numbers in them have `one_digit`.

`judges` follows weights that can be brought back, `worst` speaks for a run of several parts. `layer_marks`
are about this moment and single layers, `command_effect` about one command and the loss.
"""
