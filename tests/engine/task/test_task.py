"""A person's own model, optimizer, data and loss, and what is said of those that do not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import vgrad
from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandRejected, RunEnded, Validated
from vgrad.run.session import Session
from vgrad.task import Microbatch, Task, mean_squared_error
from vgrad.train.trainer import Trainer

ROWS = torch.linspace(-1, 1, 48).view(12, 4)
PAIRS = [(rows, rows.sum(1, keepdim=True)) for rows in ROWS.split(4)]


def task(**changes: Any) -> Task:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = changes.pop("model", None) or nn.Linear(4, 1)
    values: dict[str, Any] = {"data": PAIRS, "loss": mean_squared_error, **changes}
    optimizer = values.pop("optimizer", None) or torch.optim.SGD(model.parameters(), lr=0.1)
    return Task(model=model, optimizer=optimizer, **values)


def trainer(of: Task, **settings: Any) -> Trainer:
    return Trainer(of, RunConfig.make(recipe="mine", **settings))


def test_a_task_trains_as_a_plain_loop_does() -> None:
    mine, bare = trainer(task()), task()
    for step in range(7):  # twice through the data, and once more
        record = mine.train_step()
        inputs, targets = PAIRS[step % len(PAIRS)]
        bare.optimizer.zero_grad()
        loss = F.mse_loss(bare.model(inputs), targets)
        loss.backward()
        bare.optimizer.step()
        assert record.loss == loss.item()
        assert (record.num_samples, record.num_tokens) == (4, 0)
    for one, other in zip(mine.task.model.parameters(), bare.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_a_task_lacks_is_absent() -> None:
    mine = trainer(task())
    assert mine.validate() is None
    assert mine.task.validate_metric() is None
    session = Session(trainer(task(), steps=3, eval_every=1))
    session.start()
    assert session.join(30)
    notices = [notice.body for notice in session.drain().notices]
    assert not [notice for notice in notices if isinstance(notice, Validated)]
    [ended] = [notice for notice in notices if isinstance(notice, RunEnded)]
    assert (ended.reason, ended.step, ended.val_loss) == ("done", 3, None)


class Structured(nn.Module):
    """Reads a dict with a tuple in it, and answers with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        rows, shift = inputs["both"]
        return {"sums": self.linear(rows) + shift}


def test_inputs_and_targets_may_be_nested() -> None:
    pairs = [({"both": (rows, torch.zeros(1)), "name": "x"}, [sums]) for rows, sums in PAIRS]
    nested = task(
        model=Structured(),
        data=pairs,
        loss=lambda outputs, targets: mean_squared_error(outputs["sums"], targets[0]),
        validation=pairs,
        unit="tokens",
    )
    record = trainer(nested).train_step()
    assert (record.num_samples, record.num_tokens) == (4, 4)
    assert nested.validate() is not None


def test_forward_says_how_the_model_is_called() -> None:
    class Named(nn.Linear):
        def forward(self, *, rows: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(rows)

    def call(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        outputs: Tensor = model(**inputs)
        return outputs

    named = task(
        model=Named(4, 1),
        data=[({"rows": rows}, sums) for rows, sums in PAIRS],
        validation=({"rows": ROWS}, ROWS.sum(1, keepdim=True)),
        forward=call,
    )
    mine = trainer(named)
    mine.train_step()
    assert mine.validate() is not None
    assert mine.check_gradients().layers


@pytest.mark.parametrize("sizes", [(4, 4, 4), (1, 2, 9), (12,)])
def test_validation_is_the_mean_over_samples_however_they_are_cut(sizes: tuple[int, ...]) -> None:
    pairs = [(rows, rows.sum(1, keepdim=True)) for rows in ROWS.split(list(sizes))]
    whole = (ROWS, ROWS.sum(1, keepdim=True))
    assert task(validation=pairs).validate() == pytest.approx(task(validation=whole).validate(), rel=1e-6)


def test_validating_with_a_loader_draws_nothing_and_trains_nothing() -> None:
    loader = DataLoader(TensorDataset(ROWS, ROWS.sum(1, keepdim=True)), batch_size=5, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    mine = task(model=model, validation=loader)
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    mine.validate()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training


def refused(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def other_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([*model.parameters(), *nn.Linear(2, 2).parameters()], lr=0.1)


def test_validating_leaves_every_module_in_its_own_mode() -> None:
    frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(0.5)))
    model = nn.Sequential(frozen, nn.Dropout(0.5), nn.Linear(4, 1))
    frozen.eval()
    frozen[2].train()
    before = {name: module.training for name, module in model.named_modules()}
    mine = task(model=model, validation=PAIRS)
    seen = []
    model[-1].register_forward_hook(lambda *_: seen.append({m.training for m in model.modules()}))
    assert mine.validate() is not None
    assert seen and all(modes == {False} for modes in seen)
    assert {name: module.training for name, module in model.named_modules()} == before


def test_what_does_not_go_together_is_refused_with_the_reason() -> None:
    frozen = nn.Linear(4, 1).requires_grad_(False)
    model = nn.Linear(4, 1)
    refused("no trainable parameters: its parameters have requires_grad=False",
            lambda: task(model=frozen, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))  # fmt: skip
    refused("no trainable parameters: it has no parameters",
            lambda: task(model=nn.Tanh(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))  # fmt: skip
    refused("model must be a torch.nn.Module, got an object of type function",
            lambda: task(model=refused, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))  # fmt: skip
    refused("2 of the optimizer's 4 parameters are not the model's",
            lambda: task(model=model, optimizer=other_optimizer(model)))  # fmt: skip
    refused(r"leaves out trainable parameters \(bias\): give them to it, or freeze them",
            lambda: task(model=model, optimizer=torch.optim.SGD([model.weight], lr=0.1)))  # fmt: skip
    refused("one torch.optim.Optimizer, got a list of 2: .*can be watched by vgrad.watch",
            lambda: task(optimizer=[torch.optim.SGD(model.parameters(), lr=0.1)] * 2))  # fmt: skip
    refused(r"a ModuleList has no forward\(\)", lambda: task(model=nn.ModuleList([model])))
    refused("lazy layers", lambda: task(model=nn.LazyLinear(1)))
    refused("LBFGS", lambda: task(model=model, optimizer=torch.optim.LBFGS(model.parameters())))
    refused('unit must be "samples" or "tokens"', lambda: task(unit="images"))
    for baseline in (float("nan"), "0.7", torch.ones(2)):
        refused("baseline must be a finite number", lambda baseline=baseline: task(baseline=baseline))  # type: ignore[misc]
    refused("metric must be a function, got an object of type str", lambda: task(metric="accuracy"))
    refused("loss must be a function, got a tensor", lambda: task(loss=torch.zeros(())))


def test_data_that_is_no_supply_of_pairs_is_refused() -> None:
    sums = ROWS.sum(1, keepdim=True)
    refused("data is a dataset of single samples: give torch.utils.data.DataLoader",
            lambda: task(data=TensorDataset(ROWS, sums)))  # fmt: skip
    refused(r"it is a tensor of shape \(12, 4\)", lambda: task(data=ROWS))
    refused("it is an object of type int", lambda: task(data=3))
    refused("data is empty", lambda: task(data=[]))
    refused("validation is empty", lambda: task(validation=[]))
    refused("validation can be read only once", lambda: task(validation=iter(PAIRS)))
    refused(r"it yielded a tuple of 3", lambda: task(validation=(ROWS, sums, sums)))
    for item, words in (
        ((ROWS, sums, sums), "a tuple of 3"),
        (ROWS, r"a tensor of shape \(12, 4\)"),
        ({"x": ROWS}, "a dict of 1"),
        ((ROWS.numpy(), sums), r"a numpy array of shape \(12, 4\): use torch.from_numpy"),
    ):
        refused(f"it yielded {words}", lambda item=item: trainer(task(data=[item])).train_step())


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda outputs, _: outputs.square(), r"a tensor of shape \(4, 1\)"),
        (lambda outputs, _: outputs.mean().item(), "an object of type float"),
        (lambda outputs, _: outputs.argmax(), "torch.int64"),
        (lambda outputs, _: outputs.detach().mean(), "the loss has no gradient"),
        (lambda outputs, _: (outputs.mean(), outputs), "a tuple of 2"),
    ],
    ids=["not reduced", "float", "integer", "detached", "two values"],
)
def test_a_loss_that_is_none_is_refused_at_the_first_step(loss: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trainer(task(loss=loss)).train_step()


def test_an_empty_iterable_is_refused_and_not_started_for_ever() -> None:
    class Nothing:
        def __iter__(self) -> Iterator[object]:
            return iter(())

    refused("the data is empty", lambda: trainer(task(data=Nothing())).train_step())


def test_a_generator_ends_the_run_when_it_ends() -> None:
    session = Session(trainer(task(data=iter(PAIRS)), steps=100))
    session.start()
    assert session.join(30)
    bodies = [notice.body for notice in session.drain().notices]
    [ended] = [body for body in bodies if isinstance(body, RunEnded)]
    assert (ended.reason, ended.step) == ("done", 3)
    assert "the training data ended" in str(ended.message)
    refused("the data is empty", lambda: trainer(task(data=iter(()))).train_step())


def test_what_needs_a_built_in_model_is_refused_on_another() -> None:
    mine = trainer(task())
    before = [param.detach().clone() for param in mine.task.model.parameters()]
    for control, value in (
        ("activation", "tanh"), ("skip", "on"), ("layer_norm", "on"), ("omega", "4"), ("detect", "formula"),
    ):  # fmt: skip
        answer = mine.apply(vgrad.Set(control, value))
        assert isinstance(answer, CommandRejected), control
        assert answer.reason
    mine.apply(vgrad.Reinit("xavier"))
    assert not torch.equal(before[0], mine.task.model.weight)
    mine.apply(vgrad.UndoReinit())
    assert all(torch.equal(a, b) for a, b in zip(before, mine.task.model.parameters(), strict=True))


def test_a_microbatch_is_kept_as_validation() -> None:
    batch = Microbatch(*PAIRS[0], num_tokens=0, num_samples=4)
    assert task(validation=batch).validate() == task(validation=PAIRS[0]).validate()


def test_a_task_that_knows_no_baseline_is_compared_with_a_uniform_guess() -> None:
    """Each row has both answers, so nothing is better than log 2, and long steps are far worse."""
    rows = ROWS[:4]
    data = [(rows, torch.full((4,), kind)) for kind in (0, 1)]

    def trained(num_steps: int, lr: float, **more: Any) -> Trainer:
        model = nn.Linear(4, 2)
        for param in model.parameters():
            nn.init.constant_(param, 0.3)  # a guess: from other weights a jump may be found first
        optimizer = torch.optim.SGD(model.parameters(), lr)
        mine = trainer(task(data=data, loss=F.cross_entropy, model=model, optimizer=optimizer, **more))
        for _ in range(num_steps):
            mine.train_step()
        return mine

    assert trained(1, 0.01).guesses.uniform == pytest.approx(0.6931, abs=1e-4)
    assert np.isnan(trained(1, 0.01, baseline=0.7).guesses.uniform)
    assert trained(300, 0.01).verdict.kind in ("healthy", "stalled")
    verdict = trained(300, 0.1).verdict
    assert verdict.kind == "exploding"
    assert "a uniform guess would cost 0.693" in verdict.evidence


class WithoutRate(torch.optim.Optimizer):
    """Has no learning rate, or works it out itself, as Adafactor of transformers does."""

    def __init__(self, params: Any, **defaults: Any) -> None:
        super().__init__(params, defaults)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for param in self.param_groups[0]["params"]:
            param.data.add_(param.grad, alpha=-0.1)


@pytest.mark.parametrize("defaults", [{}, {"lr": None}], ids=["none", "lr=None"])
def test_an_optimizer_without_a_learning_rate_can_be_replaced_and_not_scaled(
    defaults: dict[str, Any],
) -> None:
    def make() -> Task:
        model = nn.Linear(4, 1)
        return task(model=model, optimizer=WithoutRate(model.parameters(), **defaults))

    mine = trainer(make())
    assert np.isnan(mine.train_step().lr)
    answer = mine.apply(vgrad.Set("lr_scale", 0.5))
    assert isinstance(answer, CommandRejected)
    assert "no learning rate" in answer.reason
    mine.apply(vgrad.Set("optimizer", "sgd"))
    assert mine.train_step().lr == 0.01
    mine.apply(vgrad.Set("optimizer", "recipe"))
    assert np.isnan(mine.train_step().lr)
    other = trainer(make())
    other.restore_(mine.capture())
    assert other.train_step().loss == mine.train_step().loss
    refused("lr_scale: the optimizer has no learning rate", lambda: trainer(make(), lr_scale=0.5))
