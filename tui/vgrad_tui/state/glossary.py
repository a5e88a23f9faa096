"""What the words on the screen mean: for the help, the palette and the tooltip."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vgrad.events.verdict import VerdictKind

KINDS: Mapping[VerdictKind, str] = MappingProxyType(
    {
        "starting": "There are too few steps to say anything yet",
        "healthy": "Nothing was found of what is known to keep a run from learning",
        "stalled": "The loss stands still and the gradients do not say why: it may be at the floor of its"
        " noise, held back by its schedule, an equilibrium of two players, or a plateau before it learns on",
        "vanishing": "It does not learn, and the gradient that reaches the first layers, or the first steps"
        " of a sequence, is too small to change that",
        "exploding": "Gradients or steps were so large that they threw the weights off",
        "dead": "Units or layers get no gradient at all, whatever the input",
        "non-finite": "There is NaN or inf in the loss, the gradients or the weights",
    }
)
"""What each `vgrad.events.verdict.Verdict.kind` says."""

TAGS: Mapping[str, str] = MappingProxyType(
    {
        "compensated": "The first layer gets under 1 % of the last one's gradient, yet moves: the optimizer"
        " makes up for it",
        "cold": "Half of the layers move by less than 1e-4 of their weights a step",
        "hot": "A layer moves by more than a tenth of its weights a step",
        "underflow": "Float16 rounds half of the gradient or more to zero in the middle layer",
        "unused": "Some layers have never got a gradient: nothing that was trained goes through them",
        "finished": "The learning rate has come to zero",
        "never-zeroed": "Gradients are sums over all batches so far: zero_grad is missing",
        "overfitting": "The training loss fell on while the validation loss rose",
        "spike": "In the last 100 steps the gradient norm was once over ten times its median",
    }
)
"""Every tag of `vgrad.events.verdict.Verdict`."""

SURE = "How often the rule that found it was right on runs whose ending is known (vgrad-tui verdicts)"
"""What the share beside a verdict is: `vgrad.events.verdict.Verdict.confidence`."""

BASELINE = "The loss of a constant prediction: the best answer that ignores the inputs"
"""What `vgrad.events.run_info.RunInfo.baseline` is."""
