"""Whatever the gradients are, an accepted control is carried out, or switched off with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vgrad
from vgrad.controls.capabilities import in_any_loop
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf
from vgrad.controls.controls import Controls
from vgrad.events.notices import CommandRejected
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.watching.optimizer_tap import OptimizerTap

VARIANTS = [
    (name, variant.word)
    for name, control in CONTROLS.items()
    if isinstance(control, OneOf)
    for variant in control.variants.values()
    if not in_any_loop().why_not(name, variant.word) and name != "freeze"
]


def params(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    real = [torch.randn((*shape, 2), generator=generator, dtype=torch.float64) for shape in shapes]
    values = [torch.view_as_complex(x) if dtype.is_complex else x[..., 0] for x in real]
    return [nn.Parameter(value.to(dtype)) for value in values]


class Square(nn.Module):
    """Half the squared size of every parameter; of a sparse embedding, of three rows."""

    def __init__(self, parts: list[nn.Parameter], *, sparse: bool = False) -> None:
        super().__init__()
        self.parts = nn.ParameterList(parts)
        if sparse:
            with torch.random.fork_rng(devices=[]):
                self.embed = nn.Embedding(7, 3, sparse=True)

    def forward(self) -> Tensor:
        squares = [part.abs().double().square().sum() for part in self.parts]
        if hasattr(self, "embed"):
            squares.append(self.embed(torch.tensor([1, 4, 4])).double().square().sum())
        return torch.stack(squares).sum() / 2


SHAPES = ((), (3,), (4, 3), (2, 3, 2), (1, 5), (0,), (0, 3), (3, 0))
MODELS: dict[str, Callable[[], Square]] = {
    "float32": lambda: Square(params(*SHAPES)),
    "float16": lambda: Square(params(*SHAPES, dtype=torch.float16)),
    "bfloat16": lambda: Square(params(*SHAPES, dtype=torch.bfloat16)),
    "float64": lambda: Square(params(*SHAPES, dtype=torch.float64)),
    "0-d": lambda: Square(params(())),
    "complex": lambda: Square(params(*SHAPES, dtype=torch.complex64)),
    "mixed": lambda: Square(
        [
            *params((3, 2), ()),
            *params((2, 2), dtype=torch.float16),
            *params((2, 3), dtype=torch.float64),
            *params((3,), dtype=torch.bfloat16),
            *params((2, 2), dtype=torch.complex128),
        ]
    ),
    "sparse": lambda: Square(params((3, 2)), sparse=True),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("name", "word"), VARIANTS)
def test_an_accepted_control_never_ends_the_training(name: str, word: str, kind: str) -> None:
    model = MODELS[kind]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dropped: dict[str, str] = {}
    control = CONTROLS[name]
    assert isinstance(control, OneOf)
    chosen: dict[str, Any] = {name: control.variants[word].value()}
    with OptimizerTap(model, optimizer, controls=Controls(**chosen)) as tap:
        tap.on_control_dropped = dropped.__setitem__
        for _ in range(4):
            optimizer.zero_grad()
            loss = model()
            loss.backward()
            tap.microbatch(loss)
            optimizer.step()
        assert len(tap.records(wait=True)) == 4
        needs_dense = getattr(control.variants[word].type, "needs_dense", False)
        if name == "accumulate" and word in ("mean", "sum"):  # one microbatch asks for nothing
            needs_dense = False
        assert set(dropped) == ({name} if needs_dense and kind in ("sparse", "complex", "mixed") else set())
        for reason in dropped.values():
            assert "dense" in reason or "complex" in reason
        assert (getattr(tap.controls, name) == getattr(Controls(), name)) == bool(
            dropped or word in ("off", "mean")
        )


@pytest.mark.parametrize("word", ["mean", "sum"])
@pytest.mark.parametrize("kind", MODELS)
def test_several_microbatches_of_any_gradient_make_a_step_or_are_dropped(word: str, kind: str) -> None:
    model = MODELS[kind]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with OptimizerTap(model, optimizer, controls=Controls(accumulate=f"{word}:2")) as tap:  # type: ignore[arg-type]
        for _ in range(4):
            optimizer.zero_grad()
            loss = model()
            loss.backward()
            tap.microbatch(loss)
            optimizer.step()
        assert len(tap.records(wait=True)) in (2, 4)


def test_the_mean_that_is_taken_out_of_a_complex_gradient_is_a_complex_one() -> None:
    model = Square(params((4, 3), dtype=torch.complex64))
    [weight] = model.parameters()
    before = weight.detach().clone()
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with OptimizerTap(model, optimizer, controls=Controls(centralize="on")):  # type: ignore[arg-type]
        model().backward()
        assert weight.grad is not None
        expected = weight.grad - weight.grad.mean(1, keepdim=True)
        optimizer.step()
    torch.testing.assert_close(before - weight.detach(), expected)


def test_a_gradient_that_cannot_be_written_to_switches_the_control_off_and_watching_goes_on() -> None:
    model = Square(params((4, 3), (8,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, record=False, controls=Controls(clip=ClipGradNorm(1e-3))) as watch:
        cursor = watch.cursor()
        for _ in range(3):
            optimizer.zero_grad()
            model().backward()
            model.parts[1].grad = torch.ones(1).expand(8)  # its entries share one place in memory
            optimizer.step()
        assert len(watch.records()) == 3
        assert watch.controls == Controls()
        [refused] = [each.body for each in cursor.take().notices if isinstance(each.body, CommandRejected)]
    assert refused.reason.startswith("clip norm 0.001: ")


@pytest.mark.parametrize("is_always_there", [True, False])
def test_microbatches_of_a_gradient_that_cannot_be_written_to_are_averaged(is_always_there: bool) -> None:
    model = Square(params((4, 3), (8,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, record=False, controls=Controls(accumulate=MeanOver(2))) as watch:
        before = model.parts[1].detach().clone()
        for microbatch in range(4):
            optimizer.zero_grad()
            model().backward()
            is_there = is_always_there or microbatch % 2
            model.parts[1].grad = torch.tensor([microbatch + 1.0]).expand(8) if is_there else None
            optimizer.step()
        assert len(watch.records()) == 2
        assert watch.controls == Controls(accumulate=MeanOver(2))
    means = 1.5 + 3.5 if is_always_there else 1.0 + 2.0
    torch.testing.assert_close(before - model.parts[1].detach(), torch.full((8,), 0.1 * means))


@pytest.mark.parametrize("scale", [1e-39, 3e38])
def test_norms_that_are_no_float32_do_not_end_watching_where_numpy_is_told_to_raise(scale: float) -> None:
    model = Square(params((4, 3), (8,)))
    for part in model.parts:
        part.data = part.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    controls = Controls(clip=ClipGradNorm(1e30))
    with np.errstate(all="raise"), vgrad.watch(model, optimizer, record=False, controls=controls) as watch:
        for _ in range(3):
            for part in model.parts:
                part.grad = torch.full_like(part, scale)
            optimizer.step()
        records = watch.records()
        assert not watch.is_closed
    assert [record.grad_norm for record in records] == pytest.approx([scale * math.sqrt(20)] * 3, rel=1e-6)


@pytest.mark.parametrize("how", ["inference", "single entries"])
def test_gradients_of_unusual_kinds_are_read_and_end_nothing(how: str) -> None:
    model = Square(params((4, 3), (8, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def grad_of(part: Tensor) -> Tensor:
        if how == "inference":
            with torch.inference_mode():
                return torch.ones_like(part)
        places = torch.arange(2).expand(2, 2)
        return torch.sparse_coo_tensor(places, torch.ones(2), part.shape, check_invariants=True)

    with vgrad.watch(model, optimizer, record=False) as watch:
        cursor = watch.cursor()
        assert isinstance(watch.apply(vgrad.Set("centralize", "on")), vgrad.CommandApplied)
        for _ in range(3):
            for part in model.parts:
                part.grad = grad_of(part)
            optimizer.step()
        norm = math.sqrt(28 if how == "inference" else 4)
        assert [record.grad_norm for record in watch.records()] == pytest.approx([norm] * 3)
        assert watch.controls == Controls()
        [refused] = [each.body for each in cursor.take().notices if isinstance(each.body, CommandRejected)]
    assert refused.reason.startswith("centralise: ")


@pytest.mark.parametrize(("name", "word"), VARIANTS)
def test_a_default_device_that_the_script_has_set_changes_nothing(name: str, word: str) -> None:
    """Whatever vgrad makes of a gradient lies where the gradient does."""
    control = CONTROLS[name]
    assert isinstance(control, OneOf)
    controls = Controls(**{name: control.variants[word].value()})  # type: ignore[arg-type]

    def train(device: str) -> list[Tensor]:
        model = Square([*params(*SHAPES), *params(*[(4, 4)] * 20)])  # many small ones are read together
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        with torch.device(device), vgrad.watch(model, optimizer, record=False, controls=controls) as watch:
            for _ in range(40):
                optimizer.zero_grad()
                model().backward()
                optimizer.step()
            assert watch.controls == controls and len(watch.records()) == 40
        return [param.detach() for param in model.parameters()]

    for here, elsewhere in zip(train("cpu"), train("meta"), strict=True):
        assert torch.equal(here, elsewhere)
