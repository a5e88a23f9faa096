"""The gradient through time of somebody's recurrent layers: right, seldom, and without changing a bit."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils.rnn import pack_padded_sequence

from vgrad.run.watched_loop import watch


class Tagger(nn.Module):
    """A recurrent layer behind an embedding, or on its inputs as they are."""

    def __init__(self, cell: nn.RNNBase, *, embeds: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 3) if embeds else nn.Identity()
        self.cell = cell
        self.answer = nn.Linear(cell.hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        states, _ = self.cell(x)
        time = 1 if self.cell.batch_first else 0
        result: Tensor = self.answer(states.select(time, -1)) + x.sum() * 0.1
        return result


def make(kind: type[nn.RNNBase], *, embeds: bool = True, batch_first: bool = True) -> Tagger:
    torch.manual_seed(0)
    return Tagger(kind(3, 8, num_layers=2, batch_first=batch_first), embeds=embeds)


def train(model: nn.Module, *, watched: bool, steps: int = 3) -> tuple[list[Tensor], object]:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    watched_by = watch(model, optimizer, watch_budget=1.0) if watched else None
    data = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 9, 3, generator=data)).square().mean().backward()
        optimizer.step()
    stats = None
    if watched_by is not None:
        watched_by.records()
        stats = watched_by.parts[0].time_stats()
        watched_by.close()
    return [param.detach().clone() for param in model.parameters()], stats


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("embeds", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_weights_are_bit_identical(kind: type[nn.RNNBase], embeds: bool, batch_first: bool) -> None:
    bare, _ = train(make(kind, embeds=embeds, batch_first=batch_first), watched=False)
    seen, stats = train(make(kind, embeds=embeds, batch_first=batch_first), watched=True)
    assert stats is not None
    assert all(torch.equal(one, two) for one, two in zip(bare, seen, strict=True))


def test_the_norms_are_those_of_the_layers_own_inputs() -> None:
    model = make(nn.GRU)
    inputs = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(1))
    fed = model.embed(inputs).detach().requires_grad_(True)
    states, _ = model.cell(fed)
    (model.answer(states[:, -1]) + model.embed(inputs).detach().sum() * 0.1).square().mean().backward()
    assert fed.grad is not None
    wanted = fed.grad.norm(dim=(0, 2)).numpy()
    _, stats = train(model, watched=True, steps=1)
    np.testing.assert_allclose(stats.norms[0], wanted, rtol=1e-5)  # type: ignore[attr-defined]


class Classifier(Tagger):
    """Answers at the end of each sequence, and packs sequences of several lengths."""

    LENGTHS = (5, 9, 2, 9)

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.embed(x), torch.tensor(self.LENGTHS), batch_first=True, enforce_sorted=False
        )
        _, last = self.cell(packed)
        result: Tensor = self.answer(last[-1])
        return result


@pytest.mark.parametrize("embeds", [True, False])
def test_of_packed_sequences_the_longest_are_looked_at_and_no_bit_changes(embeds: bool) -> None:
    def model() -> Classifier:
        torch.manual_seed(0)
        return Classifier(nn.GRU(3, 8, num_layers=2, batch_first=True), embeds=embeds)

    bare, _ = train(model(), watched=False)
    seen, _ = train(model(), watched=True)
    assert all(torch.equal(one, two) for one, two in zip(bare, seen, strict=True))
    fresh, padded = model(), torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(1))
    fed = fresh.embed(padded).detach().requires_grad_(True)
    ends = [fresh.cell(fed[None, i, :length])[1][-1, 0] for i, length in enumerate(Classifier.LENGTHS)]
    fresh.answer(torch.stack(ends)).square().mean().backward()
    assert fed.grad is not None
    _, stats = train(model(), watched=True, steps=1)
    np.testing.assert_allclose(stats.norms[0], fed.grad[[1, 3]].norm(dim=(0, 2)), rtol=1e-4)  # type: ignore[attr-defined]


def test_a_shut_forget_gate_shows_and_an_open_one_does_not() -> None:
    def slope(bias: float) -> float:
        model = make(nn.LSTM)
        with torch.no_grad():
            for layer in range(2):
                model.cell.get_parameter(f"bias_ih_l{layer}")[8:16] = bias
        _, stats = train(model, watched=True, steps=1)
        found: float = stats.slope  # type: ignore[attr-defined]
        return found

    assert slope(-5.0) < -0.5
    assert slope(6.0) > -0.1


def test_no_hook_is_left_and_evaluation_is_not_touched() -> None:
    model = make(nn.RNN, embeds=False)
    watched = watch(model, torch.optim.SGD(model.parameters(), 0.1))
    assert watched.parts[0].info().recurrent
    seen: list[bool] = []
    model.cell.register_forward_pre_hook(lambda _, args: seen.append(args[0].requires_grad))
    model.eval()
    model(torch.randn(2, 4, 3))
    model.train()
    model(torch.randn(2, 4, 3))
    watched.close()
    model(torch.randn(2, 4, 3))
    assert seen == [False, True, False]
    assert not torch_module._global_forward_pre_hooks


def test_a_watched_model_is_pickled_and_copied_as_a_bare_one() -> None:
    model = make(nn.LSTM)
    train(model, watched=False)
    bare = io.BytesIO()
    torch.save(model, bare)
    watched = watch(model, torch.optim.SGD(model.parameters(), 0.1), watch_budget=1.0)
    assert torch_module._global_forward_pre_hooks, "the next step is measured"
    seen = io.BytesIO()
    torch.save(model, seen)
    copied = copy.deepcopy(model)
    watched.close()
    assert seen.getvalue() == bare.getvalue()
    assert all(vars(each)["_forward_pre_hooks"] == {} for each in copied.modules())


def test_the_hook_goes_after_its_step_and_with_its_model() -> None:
    model = make(nn.GRU)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    watched = watch(model, optimizer, watch_budget=0.02)
    for _ in range(2):
        model(torch.randn(4, 9, 3)).square().mean().backward()
        optimizer.step()
    assert not torch_module._global_forward_pre_hooks
    watched.close()


class Unrolled(nn.Module):
    """A cell that is called once for each time step."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell
        self.answer = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 8)
        for inputs in x.unbind(1):
            state = self.cell(inputs, state)
        result: Tensor = self.answer(state)
        return result


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell])
def test_a_cell_in_a_loop_is_measured_call_by_call(kind: type[nn.RNNCellBase]) -> None:
    def weights(*, watched: bool) -> tuple[list[Tensor], object]:
        torch.manual_seed(0)
        model = Unrolled(kind(3, 8))
        return train(model, watched=watched)

    (bare, _), (seen, stats) = weights(watched=False), weights(watched=True)
    assert all(torch.equal(one, other) for one, other in zip(bare, seen, strict=True))
    assert stats is not None
    assert stats.norms.shape == (1, 9)  # type: ignore[attr-defined]
    assert 0 < stats.ratio < 1  # type: ignore[attr-defined]


def test_the_gradient_of_a_cell_is_that_of_its_inputs() -> None:
    torch.manual_seed(0)
    model = Unrolled(nn.RNNCell(3, 8))
    data = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, 9, 3, generator=data).requires_grad_(True)
    model(inputs).square().mean().backward()
    assert inputs.grad is not None
    expected = inputs.grad.transpose(0, 1).flatten(1).norm(dim=1)
    torch.manual_seed(0)
    _, stats = train(Unrolled(nn.RNNCell(3, 8)), watched=True, steps=1)
    np.testing.assert_allclose(stats.norms[0], expected.numpy(), rtol=1e-5)  # type: ignore[attr-defined]
