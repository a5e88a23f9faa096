"""What watching costs: a watched step over a bare one, and over the cheapest ways to look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tests.bench.figures import Figure
from tests.bench.harness import Comparison, Effort, Variant, compare
from tests.bench.models import Subject, gpt, many_tensors, mlp

import vgrad
from vgrad.controls.controls import Controls
from vgrad.diagnose.judge import Judge
from vgrad.events.run_info import RunInfo
from vgrad.methods.centralize import CentralizeGrads
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.noise import AddGradNoise
from vgrad.methods.skip_non_finite import SkipNonFinite
from vgrad.train.trainer import KEEP_S
from vgrad.watching.loss_at_backward import LossAtBackward
from vgrad.watching.optimizer_tap import OptimizerTap

BUDGET = 0.02
BUDGET_LIMIT = 1.0 + BUDGET + 0.01

# A long chain: a check, a projection, a rescaling, a random draw, and the norm after each.
_CHAIN = Controls(
    skip_non_finite=SkipNonFinite(), centralize=CentralizeGrads(), clip=ClipGradNorm(), noise=AddGradNoise()
)


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the limit of its watching."""

    name: str
    make: Callable[[], Subject]
    limit: float
    full: Effort
    quick: Effort


CASES = (
    Case("gpt", gpt, 1.02, Effort(3, 12, 4), Effort(1, 5, 1)),
    Case("mlp", mlp, 1.06, Effort(10, 15, 8, steps=10), Effort(4, 7, 2, steps=10)),
    Case("10k-tensors", many_tensors, 1.03, Effort(2, 12, 2), Effort(1, 2, 1)),
)


def figures(quick: bool) -> Iterator[Figure]:
    """Ratios of watched to bare steps."""
    for case in CASES:
        subject = case.make()
        variants = {
            "bare": bare(subject),
            "watched": watched(subject, budget=0.0),
            "budgeted": watched(subject, budget=BUDGET),
            "chain": watched(subject, budget=0.0, controls=_CHAIN),
            "foreign": in_a_foreign_loop(subject),
            "foreach": foreach_norms(subject),
            "item": item_per_parameter(subject),
            "floor": plain_read(subject),
        }
        yield from _figures(case, compare(variants, case.quick if quick else case.full))


def _figures(case: Case, result: Comparison) -> Iterator[Figure]:
    step_ms = result.step_ms("bare")
    notes = {
        "watched": "all norms, ratios, verdicts, every step",
        "budgeted": f"and the expensive statistics within {BUDGET:.0%} of the step time",
        "chain": "watched and steered: skip non-finite, centralise, clip by norm, noise",
        "foreign": "through vgrad.watch, in a loop that knows nothing of it",
        "foreach": "for comparison: the norms alone, torch._foreach_norm and one read",
        "item": "for comparison: .item() per parameter",
    }
    limits = {"watched": case.limit, "budgeted": BUDGET_LIMIT, "foreign": case.limit}
    for variant, note in notes.items():
        ratio = result.ratio(variant, to="bare")
        yield Figure(
            f"watching.{case.name}.{variant}", ratio.median, "x", limits.get(variant),
            low=ratio.low, high=ratio.high, note=note,
        )  # fmt: skip
    yield Figure(f"watching.{case.name}.step", step_ms, "ms", note="a bare step, processor time")
    yield Figure(
        f"watching.{case.name}.floor", 1.0 + result.step_ms("floor") / step_ms, "x",
        note="one plain read of as many bytes as the gradients have, from one buffer",
    )  # fmt: skip


def bare(subject: Subject) -> Variant:
    """A step that nobody watches."""

    def step() -> None:
        subject.backward()
        subject.optimizer.step()

    return Variant(step)


def watched(subject: Subject, *, budget: float, controls: Controls | None = None) -> Variant:
    """A step with everything that a session does with it, but the hand-off to a screen."""
    tap = OptimizerTap(
        subject.model, subject.optimizer, watch_budget=budget, controls=controls, keep_s=KEEP_S
    )
    tap.remove()
    layers = tap.layers
    judge = Judge(RunInfo("bench", "", 0, "cpu", layers.names, layers.sizes, "samples", None, tap.controls))

    def step() -> None:
        tap.meter.begin()
        loss = subject.backward()
        tap.microbatch(loss)
        subject.optimizer.step()
        for record in tap.records():
            judge.observe(record, tap.meter.judged_at(record.step), tap.controls)

    return Variant(step, lambda: tap.move_to(subject.optimizer), tap.remove)


def in_a_foreign_loop(subject: Subject) -> Variant:
    """A bare step, under `vgrad.watch`: the loss is caught, and all is reported to a hub."""
    watch = vgrad.watch(subject.model, subject.optimizer, watch_budget=0.0, record=False)
    [part] = watch.parts
    losses = part.losses
    assert isinstance(losses, LossAtBackward)

    def attach() -> None:
        losses.open()
        assert isinstance(part.tap, OptimizerTap)
        part.tap.move_to(subject.optimizer)
        part.tap.meter.begin()

    def detach() -> None:
        part.tap.remove()
        losses.close()

    detach()
    return Variant(bare(subject).step, attach, detach)


def foreach_norms(subject: Subject) -> Variant:
    """The norms alone, read at once."""

    def step() -> None:
        subject.backward()
        grads = [param.grad for param in subject.model.parameters() if param.grad is not None]
        torch.stack(torch._foreach_norm(grads)).tolist()
        subject.optimizer.step()

    return Variant(step)


def item_per_parameter(subject: Subject) -> Variant:
    """The norms alone, as most scripts read them."""

    def step() -> None:
        subject.backward()
        for param in subject.model.parameters():
            if param.grad is not None:
                param.grad.norm().item()
        subject.optimizer.step()

    return Variant(step)


def plain_read(subject: Subject) -> Variant:
    """One pass over as many bytes as the gradients have."""
    subject.backward()
    buffer = torch.cat(
        [param.grad.flatten() for param in subject.model.parameters() if param.grad is not None]
    )

    def step() -> None:
        buffer.sum()

    return Variant(step)
