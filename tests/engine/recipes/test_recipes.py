"""What holds for every recipe, and that each one shows what its summary says."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recipes.building import CPU, build, every_recipe, same, same_batch, train, weights_of
from tests.engine.waiting import no_waiting
from torch import nn

import vgrad
from vgrad.config import RunConfig
from vgrad.errors import ConfigError, MissingExtra
from vgrad.lab.accuracy.cases import BASELINE
from vgrad.measure.hidden_gradients import hidden_gradients, ratio
from vgrad.recipes.data.streams import EpochStream, WindowStream
from vgrad.recipes.models.deep_stacks import DeepConv, DeepStack
from vgrad.recipes.registry import RECIPES, build_task
from vgrad.task import Task, constant_loss, mean_cross_entropy, mean_squared_error
from vgrad.train.init_weights import init_weights_

# What holds for every recipe.


@every_recipe
def test_a_seed_gives_bit_identical_training(name: str) -> None:
    one, two, other = build(name, seed=7), build(name, seed=7), build(name, seed=8)
    assert same(weights_of(one), weights_of(two))
    assert not same(weights_of(one), weights_of(other))
    assert train(one, 3) == train(two, 3)
    assert same(weights_of(one), weights_of(two))


@every_recipe
def test_building_and_training_leave_every_global_generator_alone(name: str) -> None:
    def states() -> tuple[Any, ...]:
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002  # the global one is the point
        return random.getstate(), torch.get_rng_state().tolist(), kind, keys.tolist(), rest

    before = states()
    train(build(name), 2)
    assert states() == before


@every_recipe
def test_weights_do_not_depend_on_the_global_generator(name: str) -> None:
    torch.manual_seed(1)
    one = build(name)
    torch.manual_seed(2)
    assert same(weights_of(one), weights_of(build(name)))


@every_recipe
@pytest.mark.parametrize("training", [True, False])
def test_validating_changes_nothing(name: str, training: bool) -> None:
    task = build(name)
    train(task, 1)
    task.model.train(training)
    weights, rng = weights_of(task), torch.get_rng_state()
    grads = [param.grad.clone() for param in task.model.parameters() if param.grad is not None]
    position = task.stream.state_dict()
    upcoming = task.stream.next()
    task.stream.load_state_dict(position)

    first = task.validate()

    assert task.validate() == first
    assert task.model.training is training
    assert same(weights_of(task), weights)
    assert same([param.grad for param in task.model.parameters() if param.grad is not None], grads)
    assert torch.equal(torch.get_rng_state(), rng)
    assert same_batch(task.stream.next(), upcoming)


def test_validating_restores_the_mode_even_when_the_model_raises() -> None:
    task = build("article-net")
    task.model.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task.validate()
    assert task.model.training


@every_recipe
def test_a_restored_stream_draws_the_same_again(name: str) -> None:
    stream = build(name).stream
    for _ in range(21):  # the digits' first epoch has 23 microbatches: cross into the second
        stream.next()
    state = stream.state_dict()
    drawn = [stream.next() for _ in range(5)]
    stream.load_state_dict(state)
    again = [stream.next() for _ in range(5)]
    assert all(same_batch(a, b) for a, b in zip(drawn, again, strict=True))


@every_recipe
def test_a_stream_position_can_move_to_another_build(name: str) -> None:
    one, two = build(name, seed=1), build(name, seed=1)
    train(one, 3)
    two.stream.load_state_dict(one.stream.state_dict())
    assert same_batch(one.stream.next(), two.stream.next())


@every_recipe
def test_microbatches_count_what_they_hold(name: str) -> None:
    task = build(name, batch_size=3)
    batch = task.stream.next()
    assert batch.num_samples == len(batch.inputs) == 3
    assert batch.num_tokens == (batch.targets.numel() if task.unit == "tokens" else 0)
    assert task.loss_of(batch).shape == ()


# What each summary says.


def test_the_rnn_explodes_and_clipping_by_norm_cures_it() -> None:
    losses = train(build("charlm-rnn"), 100)
    assert not max(losses) < 2 * losses[0]  # NaN would count as exploded, too

    task = build("charlm-rnn")
    clipped = train(task, 400, max_norm=1.0)
    assert max(clipped) < 2 * clipped[0]
    assert task.validate() < 2.2


@pytest.mark.parametrize("name", ["charlm-lstm", "charlm-gru"])
def test_gates_stay_stable_without_clipping(name: str) -> None:
    task = build(name, options={"hidden": 64})
    train(task, 200)
    assert task.validate() < 3.0


def test_the_transformer_learns() -> None:
    task = build("charlm-transformer")
    losses = train(task, 60)
    assert np.mean(losses[-5:]) < losses[0] - 1.5
    assert task.validate() < 3.0


@pytest.mark.parametrize("name", ["depth-sigmoid", "depth-tanh"])
def test_depth_vanishes_and_a_skip_connection_cures_it(name: str) -> None:
    stuck = build(name)
    train(stuck, 100)
    first, last = next(stuck.model.parameters()), stuck.model.get_parameter("head.weight")
    assert first.grad is not None
    assert last.grad is not None
    assert first.grad.norm() < 1e-5 * last.grad.norm()
    assert stuck.validate() > 2.2  # guessing among ten classes costs ln 10 = 2.303

    cured = build(name, options={"skip": True})
    train(cured, 100)
    assert cured.validate() < 1.0


def test_plain_convolutions_vanish_and_a_skip_connection_cures_them() -> None:
    stuck = build("digits-conv")
    losses = train(stuck, 150)
    first, last = next(stuck.model.parameters()), stuck.model.get_parameter("head.weight")
    assert first.grad is not None
    assert last.grad is not None
    assert first.grad.norm() < 2e-2 * last.grad.norm()
    assert np.mean(losses[-20:]) > 2.28

    cured = build("digits-conv", options={"skip": True})
    train(cured, 150)
    assert cured.validate() < 1.0


def test_convolutions_are_torchs_and_keep_the_images_size() -> None:
    task = build("digits-conv", options={"depth": 4, "channels": 3, "activation": "tanh"})
    assert isinstance(task.model, DeepConv)
    images = task.validation.inputs
    assert images.shape[1:] == (1, 8, 8)
    reference = nn.Sequential(
        *(part for layer in task.model.layers for part in (layer, nn.Tanh())), nn.Flatten(), task.model.head
    )
    assert torch.equal(task.model(images), reference(images))
    assert [layer.in_channels for layer in task.model.layers] == [1, 3, 3]


@pytest.mark.parametrize("name", ["depth-sigmoid", "digits-conv"])
def test_layer_norm_is_over_all_features_of_a_sample(name: str) -> None:
    task = build(name, options={"depth": 2, "layer_norm": True, "activation": "tanh"})
    inputs = task.validation.inputs[:5]
    assert isinstance(task.model, DeepStack)
    before = task.model.layers[0](inputs).flatten(1)
    centered = before - before.mean(1, keepdim=True)
    normal = centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(task.model(inputs), task.model.head(normal.tanh()))


def test_tanh_cures_the_deep_sigmoid_net() -> None:
    task = build("depth-sigmoid", options={"activation": "tanh"})
    train(task, 100)
    assert task.validate() < 1.0


def test_the_article_net_repeats_its_published_losses() -> None:
    losses = train(build("article-net"), 10)
    assert losses[0] == pytest.approx(2.3150, abs=5e-4)
    assert losses[-1] == pytest.approx(2.1232, abs=5e-4)


# Data.


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_reach_a_cuda_device_without_waiting_and_are_the_same_there() -> None:
    tokens, rows = torch.arange(500, dtype=torch.int32), torch.arange(40)
    on_cpu, on_cuda = (
        (
            WindowStream(tokens, seq_len=7, batch_size=4, seed=0, device=device),
            EpochStream(rows.to(device), rows.to(device), batch_size=16, seed=0),
        )
        for device in (CPU, torch.device("cuda"))
    )
    for there, here in zip(on_cuda, on_cpu, strict=True):
        with no_waiting():
            batches = [there.next() for _ in range(4)]
        for batch in batches:
            expected = here.next()
            assert torch.equal(batch.inputs.cpu(), expected.inputs)
            assert torch.equal(batch.targets.cpu(), expected.targets)


@given(num_rows=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_an_epoch_shows_every_row_once_and_may_end_short(num_rows: int, batch_size: int) -> None:
    rows = torch.arange(num_rows)
    stream = EpochStream(rows.float(), rows, batch_size=batch_size, seed=3)
    orders = []
    for _ in range(2):
        seen: list[int] = []
        while len(seen) < num_rows:
            batch = stream.next()
            assert torch.equal(batch.inputs.long(), batch.targets)
            assert batch.num_samples == min(batch_size, num_rows - len(seen))
            seen += batch.targets.tolist()
            assert batch.ends_epoch == (len(seen) == num_rows)
        assert sorted(seen) == rows.tolist()
        orders.append(seen)
    if num_rows > 20:
        assert orders[0] != orders[1]


def test_the_digits_end_each_epoch_with_29_rows() -> None:
    stream = build("depth-sigmoid").stream
    sizes = [stream.next().num_samples for _ in range(24)]
    assert sizes == [64] * 22 + [29, 64]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("charlm-lstm", "text"),
        ("depth-tanh", "digits"),
        ("adding-gates", "adding"),
        ("temporal-order", "order"),
        ("fp16-underflow", "pixels"),
    ],
)
def test_the_baseline_is_the_loss_of_a_constant_prediction(name: str, task: str) -> None:
    assert build(name).baseline == pytest.approx(BASELINE[task], rel=0.02)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60), st.lists(st.floats(-3, 3), min_size=5, max_size=5)
)
def test_no_constant_answer_beats_the_baseline(classes: list[int], logits: list[float]) -> None:
    targets = torch.tensor(classes)
    other = torch.tensor(logits).expand(len(classes), -1)
    assert constant_loss(targets) <= float(mean_cross_entropy(other, targets)) + 1e-5


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(-100, 100))
def test_no_constant_number_beats_the_baseline(numbers: list[float], other: float) -> None:
    targets = torch.tensor(numbers, dtype=torch.float64)[:, None]
    assert constant_loss(targets, mean_squared_error) <= float((targets - other).square().mean()) + 1e-9


def test_a_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match="pip install 'vgrad-tui\\[demos\\]'"):
        build_task(RunConfig.make(recipe="depth-sigmoid"), CPU)


# Shape and options of the models.


@pytest.mark.parametrize("init", ["torch", "xavier", "he", "orthogonal"])
@pytest.mark.parametrize("name", ["charlm-rnn", "charlm-lstm", "depth-sigmoid"])
def test_every_initialisation_trains(name: str, init: str) -> None:
    task = build(name, options={"init": init})
    assert np.isfinite(train(task, 1)).all()


def test_initialisations_follow_their_formulas() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(400, 200)
    kept = layer.weight.detach().clone()
    init_weights_(layer, "torch")
    assert torch.equal(layer.weight, kept)
    init_weights_(layer, "xavier")
    assert layer.weight.abs().max() <= (6 / 600) ** 0.5
    assert not layer.bias.any()
    init_weights_(layer, "he")
    assert layer.weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    init_weights_(layer, "orthogonal")
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(200), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="no initialisation is called 'luck'"):
        init_weights_(layer, "luck")


def test_sizes_are_what_was_asked_for() -> None:
    rnn = build("charlm-rnn", options={"hidden": 8, "layers": 2, "embed": 4, "seq_len": 16})
    assert rnn.model.get_parameter("rnn.weight_hh_l1").shape == (8, 8)
    assert rnn.stream.next().inputs.shape == (16, 16)
    deep = build("depth-sigmoid", options={"depth": 3, "width": 8})
    names = [name for name, module in deep.model.named_modules() if isinstance(module, nn.Linear)]
    assert names == ["layers.0", "layers.1", "head"]
    former = build("charlm-transformer", options={"width": 8, "layers": 2, "heads": 2, "seq_len": 16})
    assert "blocks.1.attn.qkv" in dict(former.model.named_modules())


def test_a_single_layer_is_a_linear_classifier() -> None:
    task = build("depth-sigmoid", options={"depth": 1, "skip": True})
    assert train(task, 50)[-1] < 1.0


def test_the_transformer_sees_no_future() -> None:
    task = build("charlm-transformer")
    tokens = task.stream.next().inputs
    changed = tokens.clone()
    changed[:, 40:] = 0
    with torch.no_grad():
        before, after = task.model(tokens), task.model(changed)
    torch.testing.assert_close(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])


def test_listing_recipes_loads_no_torch() -> None:
    code = "import sys, vgrad.recipes.registry; print(*{'torch', 'numpy', 'sklearn'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@every_recipe
def test_a_summary_is_one_line_that_fits_beside_its_name(name: str) -> None:
    assert 0 < len(RECIPES[name].summary) <= 100
    assert "\n" not in RECIPES[name].summary


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_cell_is_an_option_and_a_name(cell: str) -> None:
    chosen = build("charlm-rnn", options={"model.cell": cell, "init": "torch", "hidden": 8})
    named = build(f"charlm-{cell}", options={"hidden": 8})
    for one, other in zip(chosen.model.parameters(), named.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match=f"activation=relu needs model.cell=rnn.*{cell}"):
        build("charlm-rnn", options={"cell": cell, "activation": "relu"})


@every_recipe
def test_every_recipe_says_how_long_it_takes(name: str) -> None:
    recipe = RECIPES[name]
    assert re.match(rf"{recipe.steps} steps, (under )?\d+ s", recipe.takes)


def test_the_error_rate_is_the_share_of_wrong_answers() -> None:
    task = build("temporal-order")
    with torch.no_grad():
        answers = task.model(task.validation.inputs).argmax(-1)
    wrong = (answers != task.validation.targets).float().mean()
    assert task.validate_metric() == pytest.approx(wrong.item())
    assert task.metric is not None
    assert task.metric.name == "error rate"


def test_without_a_metric_it_is_nan_and_never_zero() -> None:
    assert build("adding-gates").validate_metric() is None


def test_the_autoencoders_metric_is_its_loss_a_thousand_times() -> None:
    task = build("fp16-underflow")
    assert task.validate_metric() == pytest.approx(1000 * task.validate(), rel=1e-5)


def share_of_zeros(task: Task, scale: float) -> float:
    batch = task.stream.next()
    task.optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = task.loss_of(batch)
    (loss * scale).backward()
    grads = [param.grad for param in task.model.parameters() if param.grad is not None]
    return sum(int((grad == 0).sum()) for grad in grads) / sum(grad.numel() for grad in grads)


def test_small_gradients_underflow_in_half_precision_until_the_loss_is_scaled() -> None:
    task = build("fp16-underflow", batch_size=1024)
    assert share_of_zeros(task, 1.0) > 0.8
    assert share_of_zeros(task, 65536.0) < 0.1


def test_one_digit_a_step_is_too_noisy_and_sixteen_are_not() -> None:
    def run(per_step: int, lr_scale: float) -> float:
        task = build("tiny-batch")
        task.optimizer.param_groups[0]["lr"] *= lr_scale
        for _ in range(1600 // per_step):
            task.optimizer.zero_grad()
            for _ in range(per_step):
                (task.loss_of(task.stream.next()) / per_step).backward()
            task.optimizer.step()
        return task.validate()

    noisy, accumulated, slow = run(1, 1.0), run(16, 1.0), run(1, 1 / 16)
    assert noisy > 4
    assert accumulated < 2.4
    assert slow < 2.4


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_gradients_vanish_over_fifty_steps_in_every_new_cell(cell: str) -> None:
    task = build("adding-gates", options={"cell": cell})
    assert ratio(hidden_gradients(task, task.stream.next())) < 1e-8


def test_gates_learn_to_add_what_a_plain_network_forgets() -> None:
    def run(cell: str) -> float:
        task = build("adding-gates", batch_size=20, options={"cell": cell, "seq_len": 20})
        for _ in range(300):
            task.optimizer.zero_grad()
            task.loss_of(task.stream.next()).backward()
            task.optimizer.step()
        return task.validate()

    assert run("rnn") > 0.15  # always answering 1 costs 0.167
    assert run("gru") < 0.01


def test_a_gradient_that_vanishes_over_sixty_layers_is_still_told_apart_from_none() -> None:
    record = vgrad.build("depth-sigmoid", device="cpu", options={"depth": 60}).train_step()
    first, last = record.grad_norms[0], record.grad_norms[-1]
    assert 0 < first < 1e-23 < last  # the square of the first is no float32
    assert (record.grad_norms > 0).all()
