"""What watching costs where a device works beside the host. Measures nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from tests.bench.figures import Figure
from tests.bench.harness import Effort, compare_runs
from tests.bench.models import large_gpt, many_tensors, mlp
from tests.bench.watching import BUDGET, BUDGET_LIMIT, Case, bare, foreach_norms, item_per_parameter, watched

_CASES = (
    Case("gpt-124m", partial(large_gpt, "cuda"), 1.02, Effort(1, 9, 1, steps=20), Effort(1, 3, 1, steps=5)),
    Case("mlp", partial(mlp, "cuda"), 1.06, Effort(2, 9, 2, steps=50), Effort(1, 5, 1, steps=50)),
    Case("10k-tensors", partial(many_tensors, "cuda"), 1.03, Effort(1, 5, 1, 3), Effort(1, 3, 1, 2)),
)


def figures(quick: bool) -> Iterator[Figure]:
    """Ratios of watched to bare steps, by the clock."""
    if not torch.cuda.is_available():
        return
    device = torch.cuda.get_device_name()
    for case in _CASES:
        effort = case.quick if quick else case.full
        subject = case.make()
        variants = {
            "bare": bare(subject),
            "watched": watched(subject, budget=0.0),
            "budgeted": watched(subject, budget=BUDGET),
            "foreach": foreach_norms(subject),
            "item": item_per_parameter(subject),
        }
        result = compare_runs(variants, effort, torch.cuda.synchronize)
        step_ms = result.step_ms("bare")
        limits = {"watched": case.limit, "budgeted": BUDGET_LIMIT}
        for variant in list(variants)[1:]:
            ratio = result.ratio(variant, to="bare")
            yield Figure(
                f"accelerator.{case.name}.{variant}", ratio.median, "x", limits.get(variant),
                low=ratio.low, high=ratio.high, note=f"{device}, bare steps of {step_ms:.2f} ms",
            )  # fmt: skip
