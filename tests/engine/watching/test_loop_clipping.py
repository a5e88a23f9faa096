"""What a loop clips itself is seen: the norm before it, the norm applied, and calls that change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext

import pytest
import torch
from tests.engine.watching.loops import batches, loss_of, make_model
from torch import Tensor, nn
from torch.nn.utils import clip_grad, clip_grad_norm_, clip_grad_value_

import vgrad
from vgrad.events.notices import LoopNoted
from vgrad.watching import guard
from vgrad.watching.clip_calls import inner_cell
from vgrad.watching.loop_clipping import LoopClipping
from vgrad.watching.watch import Watch

Clip = Callable[[list[nn.Parameter]], object]


def each_alone(params: list[nn.Parameter]) -> None:
    for param in params:
        clip_grad_norm_(param, 0.05)


def with_own_norm(params: list[nn.Parameter]) -> None:
    norm = nn.utils.get_total_norm([param.grad for param in params if param.grad is not None])
    nn.utils.clip_grads_with_norm_(params, 0.3, norm)


CLIPS: dict[str, Clip] = {
    "norm": lambda params: clip_grad_norm_(params, 0.3),
    "norm, generator": lambda params: clip_grad_norm_((param for param in params), 0.3),
    "norm, no foreach": lambda params: nn.utils.clip_grad_norm_(params, 0.3, foreach=False),
    "largest entry": lambda params: clip_grad_norm_(params, 0.05, norm_type=math.inf),
    "two calls": lambda params: (clip_grad_norm_(params, 0.5), clip_grad_norm_(params, 0.2)),
    "loose": lambda params: clip_grad_norm_(params, 1e6),
    "value": lambda params: clip_grad_value_(params, 0.02),
    "some": lambda params: clip_grad_norm_(params[:2], 0.1),
    "each alone": each_alone,
    "norm, then value": lambda params: (clip_grad_norm_(params, 0.3), clip_grad_value_(params, 0.02)),
    "given norm": with_own_norm,
}


def norm_of(params: Iterable[nn.Parameter]) -> float:
    return float(torch.cat([p.grad.double().flatten() for p in params if p.grad is not None]).norm())


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, clip: Clip, steps: int = 12
) -> list[tuple[float, float]]:
    """A loop that clips; returns the norms before and after."""
    params, norms = list(model.parameters()), []
    for rows in batches(steps):
        optimizer.zero_grad()
        loss_of(model, rows).backward()
        before = norm_of(params)
        clip(params)
        norms.append((before, norm_of(params)))
        optimizer.step()
    return norms


def weights(model: nn.Module) -> Tensor:
    return torch.cat([param.detach().flatten() for param in model.parameters()])


def remarks(watch: Watch) -> list[str]:
    return [n.body.text for n in watch.cursor().take().notices if isinstance(n.body, LoopNoted)]


@pytest.mark.parametrize("name", CLIPS)
def test_norms_are_those_before_and_after_the_loops_own_clipping(name: str) -> None:
    bare, model = make_model(), make_model()
    torch.manual_seed(0)
    train(bare, torch.optim.SGD(bare.parameters(), lr=0.1), CLIPS[name])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(0)
    with vgrad.watch(model, optimizer, record=False) as watch:
        norms = train(model, optimizer, CLIPS[name])
        records = watch.records()
    assert torch.equal(weights(bare), weights(model))
    assert [(r.grad_norm, r.applied_norm) for r in records] == [
        pytest.approx(pair, rel=1e-4) for pair in norms
    ]
    assert all(record.links[0].control == "loop_clip" for record in records)
    assert [r.norm_left_by_loop for r in records] == pytest.approx([after for _, after in norms], rel=1e-4)
    assert any(after < before for before, after in norms) is (name != "loose")
    is_whole = name not in {"value", "some", "each alone", "norm, then value"}
    for record in records if is_whole else ():
        assert float(record.grad_norms @ record.grad_norms) ** 0.5 == pytest.approx(
            record.grad_norm, rel=1e-4
        )


def test_a_control_acts_on_what_the_loop_has_left_and_both_are_links() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controls = vgrad.Controls(clip=vgrad.ClipGradNorm(0.1))
    with vgrad.watch(model, optimizer, controls=controls, record=False) as watch:
        norms = train(model, optimizer, CLIPS["norm"])
        records = watch.records()
        [twice] = [text for text in remarks(watch) if "twice" in text]
    assert twice == "clipped twice: by the loop (clip_grad_norm_ 0.3), then by clip norm 0.1"
    assert [link.label for link in records[0].links] == ["loop: clip_grad_norm_ 0.3", "clip norm 0.1"]
    for record, (before, after) in zip(records, norms, strict=True):
        assert record.grad_norm == pytest.approx(before, rel=1e-4)
        assert record.link_norms == pytest.approx([after, min(after, 0.1)], rel=1e-4)


def test_a_loss_scale_changes_none_of_it() -> None:
    records = {}
    for scale in (None, 1024.0):
        model = make_model()
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        with vgrad.watch(model, optimizer, record=False) as watch:
            for rows in batches(8):
                optimizer.zero_grad()
                scaler.scale(loss_of(model, rows)).backward()
                scaler.unscale_(optimizer)
                clip_grad_norm_(model.parameters(), 0.3)
                scaler.step(optimizer)
                scaler.update()
            records[scale] = [(r.grad_norm, r.applied_norm) for r in watch.records()]
    assert records[1024.0] == [pytest.approx(pair, rel=1e-4) for pair in records[None]]
    assert all(applied <= 0.3001 for _, applied in records[None])


def test_norms_are_right_where_the_loop_clips_before_it_unscales() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    norms = []
    with vgrad.watch(model, optimizer, record=False) as watch:
        for rows in batches(8):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, rows)).backward()
            before = norm_of(model.parameters()) / 1024
            clip_grad_norm_(model.parameters(), 0.3)
            norms.append((before, norm_of(model.parameters()) / 1024))
            scaler.step(optimizer)
            scaler.update()
        records = watch.records()
    assert [(r.grad_norm, r.applied_norm) for r in records] == [
        pytest.approx(pair, rel=1e-4) for pair in norms
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, where it compiles
def test_a_compiled_step_that_clips_has_the_same_weights() -> None:
    results = []
    for is_watched in (False, True):
        torch.manual_seed(0)
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        @torch.compile(backend="eager")
        def step(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()

        with vgrad.watch(model, optimizer, record=False) if is_watched else nullcontext():
            for rows in batches(5):
                optimizer.zero_grad()
                loss_of(model, rows).backward()
                step()
        results.append(weights(model))
    assert torch.equal(*results)


def after_step(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor) -> None:
    optimizer.zero_grad()
    loss_of(model, rows).backward()
    optimizer.step()
    clip_grad_norm_(model.parameters(), 0.01)


def before_backward(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor) -> None:
    optimizer.zero_grad()
    clip_grad_norm_(model.parameters(), 0.01)
    loss_of(model, rows).backward()
    optimizer.step()


def exhausted(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor) -> None:
    params = model.parameters()
    list(params)
    optimizer.zero_grad()
    loss_of(model, rows).backward()
    with pytest.warns(UserWarning, match="empty generator"):
        clip_grad_norm_(params, 0.01)
    optimizer.step()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (after_step, "backward() gives other gradients before optimizer.step() uses those that it changed"),
        (before_backward, "no parameter has a gradient at that time: backward() comes later"),
        (exhausted, "a generator such as model.parameters() is empty once it has been used"),
    ],
)
def test_clipping_that_never_changes_what_a_step_applies_is_said(
    step: Callable[[nn.Module, torch.optim.Optimizer, Tensor], None], words: str
) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, record=False) as watch:
        for rows in batches(15):
            step(model, optimizer, rows)
        records = watch.records()
        [remark] = remarks(watch)
    assert remark.startswith("the loop's own clipping (clip_grad_norm_") and remark.endswith(words)
    assert all(not record.links and record.grad_norm == record.applied_norm > 0.01 for record in records)


def test_clipping_each_microbatch_is_not_called_idle() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms = []
    with vgrad.watch(model, optimizer, record=False) as watch:
        for number, rows in enumerate(batches(40), start=1):
            loss_of(model, rows).backward()
            before = norm_of(model.parameters())
            clip_grad_norm_(model.parameters(), 0.3)
            if number % 2 == 0:
                norms.append((before, norm_of(model.parameters())))
                optimizer.step()
                optimizer.zero_grad()
        records = watch.records()
        assert not any("changes nothing" in text for text in remarks(watch))
    assert [(r.grad_norm, r.applied_norm) for r in records] == [
        pytest.approx(pair, rel=1e-4) for pair in norms
    ]


def test_accumulating_twice_is_said_with_the_product() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controls = vgrad.Controls(accumulate="mean:4")
    with vgrad.watch(model, optimizer, controls=controls, record=False) as watch:
        for number, rows in enumerate(batches(16), start=1):
            (loss_of(model, rows) / 2).backward()
            if number % 2 == 0:
                clip_grad_norm_(model.parameters(), 0.3)
                optimizer.step()
                optimizer.zero_grad()
        assert len(watch.records()) == 2
        [twice] = [text for text in remarks(watch) if "accumulated twice" in text]
    assert "sums 2 backward passes" in twice and "of 8 backward passes" in twice


@pytest.mark.parametrize("clip", ["norm", "value"])
def test_one_infinite_layer_whose_clipping_zeroes_the_others_is_non_finite_and_not_dead(clip: str) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, record=False) as watch:
        train(model, optimizer, CLIPS["norm"], steps=30)
        optimizer.zero_grad()
        loss_of(model, batches(1)[0]).backward()
        model[3].weight.grad[0, 0] = math.inf
        CLIPS[clip](list(model.parameters()))
        assert model[0].weight.grad.abs().max() <= 0.02
        optimizer.step()
        record = watch.records()[-1]
        kind, evidence = watch.verdict.kind, watch.verdict.evidence
    if clip == "value":  # every entry was finite again: nothing is lost
        assert (record.grad_norm, kind) == (record.applied_norm, "healthy")
    else:
        assert record.grad_norm == math.inf and kind == "non-finite"
        assert "the gradient of 1 of 2 layers is not finite" in evidence and "the last layer, 3" in evidence


def test_two_optimizers_are_told_apart() -> None:
    models = [make_model(), make_model(1)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    with vgrad.watch(models, optimizers, record=False) as watch:
        for rows in batches(5):
            for model, optimizer in zip(models, optimizers, strict=True):
                optimizer.zero_grad()
                loss_of(model, rows).backward()
            clip_grad_norm_(models[1].parameters(), 0.1)
            for optimizer in optimizers:
                optimizer.step()
        links = {(record.part, bool(record.links)) for record in watch.records()}
    assert links == {(0, False), (1, True)}


def test_an_error_of_ours_ends_watching_and_not_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "is_off", False)
    monkeypatch.setattr(LoopClipping, "before_clipping", lambda *_: 1 / 0)
    bare, model = make_model(), make_model()
    torch.manual_seed(0)
    train(bare, torch.optim.SGD(bare.parameters(), lr=0.1), CLIPS["norm"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(0)
    watch = vgrad.watch(model, optimizer, record=False)
    train(model, optimizer, CLIPS["norm"])
    assert watch.is_closed and "ZeroDivisionError" in caplog.text
    assert torch.equal(weights(bare), weights(model))


def test_torch_holds_its_clipping_functions_as_we_expect() -> None:
    for function in (clip_grad._clip_grads_with_norm_, clip_grad.clip_grad_value_):
        cell = inner_cell(function)
        assert cell is not None and cell.cell_contents.__name__ == function.__name__
