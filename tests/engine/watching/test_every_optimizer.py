"""Optimizers that nobody has named are watched, whenever they are made, and kept in memory by nobody."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from vgrad.controls.controls import Set
from vgrad.events.notices import LoopNoted
from vgrad.watching import discover, every_optimizer
from vgrad.watching.every_optimizer import EveryOptimizer
from vgrad.watching.watch import Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    init = Optimizer.__init__
    watch = Watch("script")
    EveryOptimizer(watch).begin()
    yield watch
    watch.close()
    assert Optimizer.__init__ is init


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()


def test_every_step_is_seen_with_its_loss(watch: Watch) -> None:
    model = make_model()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    records = watch.records()
    assert [record.step for record in records] == [1, 2, 3, 4, 5]
    assert all(record.loss is not None for record in records)
    assert watch.layers == ("0", "2")


class WithAnother(torch.optim.SGD):
    """Makes its steps by another optimizer of the same groups, which it makes itself."""

    def __init__(self, params: Iterator[nn.Parameter]) -> None:
        super().__init__(params, lr=0.1)
        self.other = torch.optim.SGD(self.param_groups, lr=0.1)
        self.param_groups = self.other.param_groups

    def step(self, closure: None = None) -> None:
        self.other.step()


class OverShards(torch.optim.SGD):
    """Steps an optimizer of its own over a part of the parameters, with the rates of its own groups."""

    def __init__(self, params: Iterator[nn.Parameter]) -> None:
        super().__init__(params, lr=0.1)
        self.optim = torch.optim.SGD(self.param_groups[0]["params"][:2], lr=0.1)

    def step(self, closure: None = None) -> None:
        self.optim.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self.optim.step()
        self.optim.param_groups[0]["lr"] = 0.1


@pytest.mark.parametrize("kind", [WithAnother, OverShards])
def test_an_optimizer_that_steps_by_another_one_is_one_part(
    watch: Watch, kind: type[torch.optim.SGD]
) -> None:
    model = make_model()
    optimizer = kind(model.parameters())
    train(model, optimizer)
    assert [(part.step, part.layers) for part in watch.parts] == [(5, ("0", "2"))]
    watch.apply(Set("lr_scale", 0.5))
    weight = model[0].weight
    before = weight.detach().clone()
    train(model, optimizer, steps=1)
    torch.testing.assert_close(weight.detach(), before - 0.05 * weight.grad, msg="halved once")


def test_a_first_step_with_a_closure_is_seen(watch: Watch) -> None:
    model = make_model()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = model(torch.ones(8, 3)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert [record.step for record in watch.records()] == [1]


def test_an_optimizer_that_was_unpickled_is_seen_at_its_first_step(watch: Watch) -> None:
    model = make_model()
    copied, optimizer = pickle.loads(pickle.dumps((model, torch.optim.SGD(model.parameters(), lr=0.1))))
    train(copied, optimizer)
    assert [record.step for record in watch.records()] == [1, 2, 3, 4, 5]


def test_a_model_that_nobody_holds_any_more_goes_and_its_steps_stay(watch: Watch) -> None:
    gone = []
    for _ in range(3):
        model = make_model()
        optimizer = torch.optim.Adam(model.parameters())
        train(model, optimizer)
        gone.append(weakref.ref(model))
        del model, optimizer
    gc.collect()
    assert [model() for model in gone] == [None, None, None]
    assert len(watch.parts) == 0
    steps = [(record.part, record.step) for record in watch.records()]
    assert steps == [(part, step) for part in range(3) for step in (1, 2, 3, 4, 5)]


def test_an_optimizer_whose_parameters_are_frozen_at_first_is_seen_once_they_are_not(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    pair = nn.ModuleList([make_model(), make_model()])
    optimizers = [torch.optim.Adam(model.parameters()) for model in pair]
    unused = make_model().requires_grad_(False)
    never = torch.optim.Adam(unused.parameters())
    for _ in range(3):
        for model, optimizer in zip(reversed(pair), reversed(optimizers), strict=True):
            pair.requires_grad_(False)  # as Lightning's `toggle_optimizer` does
            model.requires_grad_(True)
            train(model, optimizer, 2)
    steps = dict.fromkeys((0, 1), 0)
    for record in watch.records():
        steps[record.part] += 1
        assert record.loss is not None
    assert steps == {0: 6, 1: 6}
    assert {part.layers for part in watch.parts} == {("0.0", "0.2"), ("1.0", "1.2")}
    never.step()
    unused.requires_grad_(True)
    train(unused, never, 2)
    assert [part.step for part in watch.parts] == [6, 6, 2]
    assert not caplog.records, "nothing was refused on the way"


class OfItsOwn(nn.Module):
    """Calls things of its own by the names of torch's methods, as learners of MAML and ODEs do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = make_model()
        self.modules = self.children = [self.net]
        self.named_parameters = self.named_modules = self.named_children = "of its own"

    def parameters(self) -> list[nn.Parameter]:  # type: ignore[override]
        return [param for layer in self.net if isinstance(layer, nn.Linear) for param in layer.parameters()]

    @property
    def sparse(self) -> bool:
        raise RuntimeError("asked for in training")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.net(inputs)
        return outputs


def test_a_model_may_have_methods_of_its_own_by_the_names_of_torchs(watch: Watch) -> None:
    model = OfItsOwn()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert [record.step for record in watch.records()] == [1, 2, 3, 4, 5]
    assert watch.layers == ("net.0", "net.2")


def numbers_of_collections() -> list[int]:
    return [generation["collections"] for generation in gc.get_stats()]


def test_many_small_models_one_after_the_other_are_neither_kept_nor_looked_for_everywhere(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    find = discover.find_models
    monkeypatch.setattr(every_optimizer, "find_models", lambda params: (looks.append(1), find(params))[1])
    gone = []

    def fit() -> None:
        net = make_model()
        model = nn.Module()
        model.net = net
        train(net, torch.optim.SGD(model.parameters(), lr=0.1), 2)
        gone.append(weakref.ref(net))

    before = numbers_of_collections()[2]
    gc.disable()
    try:
        for _ in range(96):
            fit()
        num_alive = sum(model() is not None for model in gone)
    finally:
        gc.enable()
    assert numbers_of_collections()[2] - before <= 16 + 5
    assert num_alive <= 16
    assert len(looks) == 16
    records = watch.records()
    assert [(record.part, record.step) for record in records] == [
        (part, n) for part in range(96) for n in (1, 2)
    ]


def test_optimizers_are_parts_in_the_order_in_which_they_were_made(watch: Watch) -> None:
    models = [make_model() for _ in range(4)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1 * n) for n, model in enumerate(models, 1)]
    for model, optimizer in reversed([*zip(models, optimizers, strict=True)]):
        train(model, optimizer, 1)
    rates = {record.part: record.lr for record in watch.records()}
    assert rates == pytest.approx({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4})


def clip_by_hand() -> None:
    watch = Watch("script", watch_budget=1.0)
    EveryOptimizer(watch).begin()
    model = make_model()
    norms = []
    for step in range(8):
        if step == 4:
            answer = watch.apply(Set("clip", "norm:0.001"))
            assert answer.step == 5
        model.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        norms.append(float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
        with torch.no_grad():
            for param in model.parameters():
                param -= 0.01 * param.grad
    records = watch.records()
    assert [record.step for record in records] == list(range(1, 9))
    assert [record.applied_norm for record in records] == pytest.approx(norms, rel=1e-5)
    assert all(record.loss is not None for record in records)
    assert min(norms[:4]) > 0.001 and norms[4:] == pytest.approx([0.001] * 4, rel=1e-3)
    refused = watch.apply(Set("lr_scale", 0.5))
    assert "by hand" in refused.reason
    stats = watch.parts[0].stats()
    assert (stats.measured_step > 0).any() and np.isnan(stats.update_ratio).all(), "not known, and not 0"


def judged_by_hand() -> None:
    watch = Watch("script", watch_budget=1.0)
    EveryOptimizer(watch).begin()
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 3, generator=generator)
    for _ in range(240):
        model.zero_grad()
        (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        with torch.no_grad():
            for param in model.parameters():
                param -= 0.02 * param.grad
    part = watch.parts[0]
    watch.records()
    stats, _ = part.judged_at(part.step)
    assert stats is not None and np.isnan(stats.update_ratio).all(), "not known, and not 0"
    assert part.judged_at(part.step)[0] is stats, "the judge sees by this that nothing is new"
    verdict = watch.verdict
    assert verdict.kind == "healthy" and "move" not in verdict.evidence and "cold" not in verdict.tags, (
        verdict
    )


def test_what_is_updated_by_hand_is_judged_without_its_updates() -> None:
    process = multiprocessing.get_context("spawn").Process(target=judged_by_hand)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_what_is_updated_by_hand_is_clipped_at_backward() -> None:
    # In a process of its own: what other tests have left in this one would be taken for the script's.
    process = multiprocessing.get_context("spawn").Process(target=clip_by_hand)
    process.start()
    process.join()
    assert process.exitcode == 0


def train_loose_tensors() -> None:
    inputs = torch.randn(64, 6)
    weight = torch.randn(6, 4, requires_grad=True)
    rest = {"out": torch.randn(4, 1, requires_grad=True), "bias": torch.zeros(1, requires_grad=True)}
    trained = [weight, *rest.values()]
    watch = Watch("script")
    EveryOptimizer(watch).begin()
    for _ in range(10):
        made_again = torch.zeros(1, requires_grad=True)
        (inputs @ weight @ rest["out"] + rest["bias"] + made_again - 1).square().mean().backward()
        with torch.no_grad():
            for param in trained:
                assert param.grad is not None
                param -= 0.001 * param.grad
                param.grad = None
    records = watch.records()
    layers = watch.layers
    watch.close()
    assert sorted(layers) == ["rest.bias", "rest.out", "weight"]
    # The passes 1 and 2 show which tensors stay.
    assert [record.step for record in records] == list(range(1, 10))
    assert all(record.loss is not None and record.grad_norm > 0 for record in records)


def test_tensors_that_no_module_holds_are_watched_by_the_names_of_their_variables() -> None:
    process = multiprocessing.get_context("spawn").Process(target=train_loose_tensors)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def fit(model: nn.Module, kind: type[torch.optim.Optimizer] = torch.optim.SGD, steps: int = 5) -> None:
    """Train with an optimizer of its own, as a function that is called once per epoch does."""
    train(model, kind(model.parameters(), lr=0.01), steps)  # type: ignore[call-arg]


@pytest.mark.parametrize("is_collected", [False, True])
def test_a_new_optimizer_of_the_same_parameters_goes_on_with_their_part(
    watch: Watch, is_collected: bool
) -> None:
    model = make_model()
    for _ in range(6):
        fit(model)
        if is_collected:
            gc.collect()
    records = watch.records()
    assert [(record.part, record.step) for record in records] == [(0, step) for step in range(1, 31)]
    assert watch.step == 30
    assert watch.verdict.kind != "starting"


def test_it_goes_on_with_one_of_another_kind_and_says_so(watch: Watch) -> None:
    model = make_model()
    first = torch.optim.SGD(model.parameters(), lr=0.01)  # which the script keeps
    train(model, first)
    cursor = watch.cursor()
    watch.apply(Set("clip", "norm:0.5"))
    fit(model, torch.optim.Adam)
    [part] = watch.parts
    assert part.controls.clip is not None and part.step == 10
    assert [type(each) for each in part.optimizers] == [torch.optim.Adam]
    said = [notice.body.text for notice in cursor.take().notices if isinstance(notice.body, LoopNoted)]
    assert said == ["from here on: Adam in a training loop that is not vgrad's"]
    assert not first._optimizer_step_pre_hooks


def test_weights_that_are_written_between_begin_a_training_of_their_own(watch: Watch) -> None:
    model = make_model()
    fit(model)
    for module in model:
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    fit(model, steps=3)
    assert [(record.part, record.step) for record in watch.records()] == [
        *((0, step) for step in range(1, 6)), *((1, step) for step in range(1, 4))
    ]  # fmt: skip


def test_optimizers_that_step_in_turns_are_parts_of_their_own(watch: Watch) -> None:
    model = make_model()
    outer = torch.optim.SGD(model.parameters(), lr=0.01)
    train(model, outer, 2)
    for _ in range(3):
        fit(model, torch.optim.Adam, 4)
        train(model, outer, 1)
    train(model, outer, 2)
    records = watch.records()
    assert len(records) == 2 + 3 * (4 + 1) + 2
    for part in {record.part for record in records}:
        steps = [record.step for record in records if record.part == part]
        assert steps == list(range(1, len(steps) + 1))
    assert len(watch.parts) <= 4


def test_any_number_of_optimizers_may_go_on_with_one_part(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every_optimizer, "_MOST_PARTS", 2)
    model = make_model()
    for _ in range(9):
        fit(model, steps=1)
    assert [record.step for record in watch.records()] == list(range(1, 10))


def test_what_a_part_leaves_behind_keeps_no_model_in_memory(watch: Watch) -> None:
    model = make_model()
    fit(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    fit(make_model(), steps=2)
    assert [(record.part, record.step) for record in watch.records()][-2:] == [(1, 1), (1, 2)]
