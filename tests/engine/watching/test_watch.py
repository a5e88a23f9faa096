"""`vgrad.watch` in a loop that knows nothing of it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from functools import partial
from typing import Any

import pytest
import torch
from tests.engine.watching.loops import (
    OPTIMIZERS,
    Loop,
    assert_same_bits,
    batches,
    loss_of,
    make_model,
    plain,
    run_bare,
    run_watched,
    with_closure,
)
from torch import nn

import vgrad
from vgrad.controls.controls import CheckGradients, Command, Pause, Reinit, Set, Stop
from vgrad.events.codec import notice_from_data, notice_to_data
from vgrad.events.notices import CommandApplied, CommandRejected, MetricsLogged, RunEnded
from vgrad.events.verdict import Verdict
from vgrad.watching import guard
from vgrad.watching.safe_point import CommandQueued

SGD = OPTIMIZERS["sgd"]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loop", [plain, with_closure])
def test_a_watched_loop_is_bit_identical_to_a_bare_one(name: str, loop: Loop) -> None:
    bare, losses = run_bare(OPTIMIZERS[name], loop)
    random_state = torch.get_rng_state()
    model, same_losses, watch = run_watched(OPTIMIZERS[name], loop)
    with watch:
        assert same_losses == losses
        assert torch.equal(torch.get_rng_state(), random_state)
        records = watch.records()
    assert_same_bits(model, bare)
    assert [record.step for record in records] == list(range(1, 26))
    assert [record.loss for record in records] == losses
    assert all(record.grad_norm > 0 for record in records)


def test_the_seed_of_a_loop_that_we_did_not_seed_is_not_known() -> None:
    _, _, watch = run_watched(SGD, plain)
    with watch:
        assert watch.parts[0].info().seed is None


def test_lbfgs_is_one_step_however_often_it_evaluates() -> None:
    make = partial(torch.optim.LBFGS, lr=0.1, max_iter=5, line_search_fn="strong_wolfe")
    bare, losses = run_bare(make, with_closure, 6)
    model, _, watch = run_watched(make, with_closure, 6)
    with watch:
        records = watch.records()
    assert_same_bits(model, bare)
    assert [record.loss for record in records] == losses


def test_records_are_all_steps_since_the_last_call() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        assert watch.records() == []
        for count in (1, 3):
            plain(model, optimizer, batches(count))
            assert len(watch.records()) == count
        assert (watch.step, watch.layers) == (4, ("0", "3"))
        assert watch.verdict.kind == "starting"
        record = watch.parts[0].tap.records()
        assert record == []


def test_a_record_is_of_its_step() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        loss = loss_of(model, batches(1)[0])
        loss.backward()
        norms = [
            float(torch.cat([param.grad.flatten() for param in model[index].parameters()]).norm())
            for index in (0, 3)
        ]
        optimizer.step()
        [record] = watch.records()
    assert record.grad_norms.tolist() == pytest.approx(norms, rel=1e-6)
    assert record.grad_norm == record.applied_norm == pytest.approx(sum(n * n for n in norms) ** 0.5)
    assert (record.loss, record.lr, record.skipped, record.part) == (loss.item(), 0.05, False, 0)


def test_clipping_is_torchs_from_the_next_step_on() -> None:
    bare, steered = make_model(), make_model()
    reference, optimizer = SGD(bare.parameters()), SGD(steered.parameters())
    for model in (bare, steered):
        model.eval()
    with vgrad.watch(steered, optimizer) as watch:
        plain(bare, reference, batches(2))
        plain(steered, optimizer, batches(2))
        answer = watch.apply(Set("clip", "norm:0.1"))
        assert isinstance(answer, CommandApplied)
        assert answer.step == 3
        plain(steered, optimizer, batches(3))
        records = watch.records()
    for rows in batches(3):
        reference.zero_grad()
        loss_of(bare, rows).backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 0.1)
        reference.step()
    for mine, theirs in zip(steered.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert [record.applied_norm < record.grad_norm for record in records] == [False] * 2 + [True] * 3
    assert records[-1].applied_norm == pytest.approx(0.1, rel=1e-4)


def test_accumulation_works_in_a_loop_that_knows_nothing_of_it() -> None:
    small, large = make_model().eval(), make_model().eval()
    rows = batches(8)
    one, other = SGD(small.parameters()), SGD(large.parameters())
    with vgrad.watch(small, one, controls=vgrad.Controls()) as watch:
        watch.apply(Set("accumulate", 4))
        plain(small, one, rows)
        records = watch.records()
    plain(large, other, [torch.cat(rows[:4]), torch.cat(rows[4:])])
    assert [record.num_microbatches for record in records] == [4, 4]
    for mine, theirs in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_lbfgs_does_not_accumulate_for_it_evaluates_its_loss_several_times_a_step() -> None:
    model = make_model()
    with vgrad.watch(model, torch.optim.LBFGS(model.parameters())) as watch:
        answer = watch.apply(Set("accumulate", 2))
        assert isinstance(answer, CommandRejected)
        assert "several times in one step" in answer.reason


class EvaluatesTwice(torch.optim.SGD):
    """Takes the second of two gradients, both at the same weights."""

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        closure()
        return super().step(closure)


def test_accumulation_ends_where_an_optimizer_turns_out_to_evaluate_its_loss_twice_a_step() -> None:
    bare, watched = make_model(), make_model()
    torch.manual_seed(1)
    with_closure(bare, EvaluatesTwice(bare.parameters(), lr=0.1), batches(4))
    optimizer = EvaluatesTwice(watched.parameters(), lr=0.1)
    torch.manual_seed(1)
    with vgrad.watch(watched, optimizer) as watch:
        assert isinstance(watch.apply(Set("accumulate", 2)), CommandApplied)
        with_closure(watched, optimizer, batches(4))
        assert watch.controls == vgrad.Controls()
        assert [record.num_microbatches for record in watch.records()] == [1] * 4
        assert isinstance(watch.apply(Set("accumulate", 2)), CommandRejected)
    assert_same_bits(watched, bare)


@pytest.mark.parametrize(
    "command",
    [
        Pause(), Stop(), Reinit("he"), CheckGradients(), Set("optimizer", "sgd"), Set("precision", "bf16"),
        Set("activation", "relu"), Set("omega", "1"), Set("detect", "sam"), Set("clip", "nonsense"),
        Set("", 1), Set("freeze", "nowhere"),
    ],
    ids=str,
)  # fmt: skip
def test_what_needs_vgrads_own_loop_is_refused_and_changes_nothing(command: Command) -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        answer = watch.apply(command)
        assert isinstance(answer, CommandRejected)
        assert answer.reason
        assert watch.controls == vgrad.Controls()


def test_the_number_of_steps_never_falls_though_another_watch_is_given_the_optimizer() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as first:
        plain(model, optimizer, batches(5))
        with vgrad.watch(model, optimizer) as second:
            assert (first.step, second.step) == (5, 0)
            plain(model, optimizer, batches(3))
            assert (first.step, second.step) == (5, 3)
        assert (first.step, second.step) == (5, 3)
        plain(model, optimizer, batches(6))
        assert (first.step, second.step) == (6, 3)
    assert first.step == 6


def test_a_command_of_another_thread_is_answered_by_its_id_at_the_next_step() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        cursor = watch.cursor()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(watch.apply(Set("lr_scale", 0.5))))
        thread.start()
        thread.join()
        [queued] = answers
        assert isinstance(queued, CommandQueued)
        assert watch.controls.lr_scale == 1.0
        plain(model, optimizer, batches(1))
        [answer] = [notice for notice in cursor.take().notices if notice.command_id == queued.command_id]
        assert isinstance(answer.body, CommandApplied)
        assert answer.body.step == 1
        [record] = watch.records()
        assert (record.lr, record.base_lr) == (0.025, 0.05)
        assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_command_from_inside_a_step_waits_for_the_next() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        answers = []
        handle = optimizer.register_step_pre_hook(
            lambda *_: answers.append(watch.apply(Set("clip", "norm:1")))
        )
        plain(model, optimizer, batches(1))
        handle.remove()
        assert isinstance(answers[0], CommandQueued)
        assert watch.controls.clip is None
        plain(model, optimizer, batches(1))
        assert watch.controls.clip is not None


def test_what_is_logged_beats_what_was_caught() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        cursor = watch.cursor()
        for step, rows in enumerate(batches(4)):
            optimizer.zero_grad()
            (loss_of(model, rows) * 1000).backward()
            optimizer.step()
            if step % 2:
                watch.log(loss=torch.tensor(float(step)), accuracy=0.5)
        losses = [record.loss for record in watch.records()]
        logged = [notice.body for notice in cursor.take().notices if isinstance(notice.body, MetricsLogged)]
    assert losses[1::2] == [1.0, 3.0]
    assert all(loss is not None and loss > 1000 for loss in losses[::2])
    assert logged == [MetricsLogged(2, (("accuracy", 0.5),)), MetricsLogged(4, (("accuracy", 0.5),))]


def test_what_is_logged_and_is_no_number_is_left_out_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        cursor = watch.cursor()
        losses = []
        for value in ("three", [1.0], torch.ones(2), 1j, 10**400):
            losses += plain(model, optimizer, batches(1))
            watch.log(loss=value, accuracy=value, epoch=3)  # type: ignore[arg-type]
        assert [record.loss for record in watch.records()] == losses
        logged = [each.body for each in cursor.take().notices if isinstance(each.body, MetricsLogged)]
    assert [each.metrics for each in logged] == [(("epoch", 3.0),)] * 5
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} was logged as 'three', which is no number: it is left out" for name in ("loss", "accuracy")
    ]


def test_names_of_logged_numbers_that_are_no_text_are_kept_as_their_text() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        plain(model, optimizer, batches(1))
        cursor = watch.cursor(from_start=False)
        watch.log_metrics({0: 0.5, 1: 0.25})  # type: ignore[dict-item]
        [logged] = cursor.take().notices
    assert notice_from_data(notice_to_data(logged)) == logged
    assert isinstance(logged.body, MetricsLogged)
    assert logged.body.metrics == (("0", 0.5), ("1", 0.25))


@pytest.mark.filterwarnings("error")
def test_a_loss_with_its_graph_is_logged_without_a_warning() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        loss = loss_of(model, batches(1)[0])
        loss.backward()
        optimizer.step()
        watch.log(loss=loss)
        [record] = watch.records()
        assert record.loss == loss.detach()


def test_a_loss_that_is_not_known_is_none() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        for rows in batches(3):
            optimizer.zero_grad()
            output = model(rows)
            output.backward(torch.ones_like(output))
            optimizer.step()
        assert [record.loss for record in watch.records()] == [None] * 3
        assert watch.verdict.kind == "starting"


def test_a_loss_can_come_from_a_function() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    losses = iter([3.0, None, torch.tensor([2.0])])
    with vgrad.watch(model, optimizer, loss=lambda: next(losses)) as watch:
        plain(model, optimizer, batches(3))
        assert [record.loss for record in watch.records()] == [3.0, None, 2.0]


def test_the_loss_of_another_model_is_not_ours() -> None:
    model, other = make_model(), make_model(1)
    optimizer, bare = SGD(model.parameters()), SGD(other.parameters())
    with vgrad.watch(model, optimizer) as watch:
        losses = []
        for rows in batches(3):
            plain(other, bare, [rows])
            losses += plain(model, optimizer, [rows])
            loss_of(other, rows).backward()
        assert [record.loss for record in watch.records()] == losses


def test_the_loss_of_gradients_that_the_loop_writes_itself_is_that_of_their_pass() -> None:
    """Half-precision weights are trained through copies in float32."""
    model = make_model().bfloat16()
    copies = [param.detach().float().requires_grad_() for param in model.parameters()]
    optimizer = SGD(copies)
    with vgrad.watch(model, optimizer) as watch:
        losses = []
        for rows in batches(4):
            model.zero_grad()
            loss = loss_of(model, rows.bfloat16())
            loss.backward()
            losses.append(loss.item())
            for copied, param in zip(copies, model.parameters(), strict=True):
                assert param.grad is not None
                copied.grad = param.grad.float()
            optimizer.step()
        # Where other threads have trained, whose pass the first one is is not known yet.
        assert [record.loss for record in watch.records()][1:] == losses[1:]


def test_the_loss_of_gradients_that_come_without_a_backward_pass_is_not_known() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        [loss] = plain(model, optimizer, batches(1))
        for rows in batches(2):
            grads = torch.autograd.grad(loss_of(model, rows), list(model.parameters()))
            for param, grad in zip(model.parameters(), grads, strict=True):
                param.grad = grad
            optimizer.step()
        assert [record.loss for record in watch.records()] == [loss, None, None]


def test_losses_of_several_backward_passes_add_up_as_their_gradients_do() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        expected = []
        for _ in range(2):
            optimizer.zero_grad()
            total = 0.0
            for rows in batches(4):
                loss = loss_of(model, rows) / 4
                loss.backward()
                total += loss.item()
            optimizer.step()
            expected.append(total)
        assert [record.loss for record in watch.records()] == pytest.approx(expected, rel=1e-12)


def test_the_verdict_is_told_and_an_error_of_the_callback_stays_out_of_the_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Verdict] = []

    def on_verdict(verdict: Verdict) -> None:
        seen.append(verdict)
        raise ZeroDivisionError("made to fail")

    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer, on_verdict=on_verdict) as watch:
        plain(model, optimizer, batches(2))
        with torch.no_grad():
            model[0].weight.fill_(torch.nan)
        plain(model, optimizer, batches(2))
        assert watch.verdict.kind == "non-finite"
        assert watch.step == 4
    assert [verdict.kind for verdict in seen] == ["non-finite"]
    assert "on_verdict raised an error" in caplog.text


def test_a_run_is_called_by_the_class_of_its_models_without_their_wrappers() -> None:
    model, head = nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 1)

    def name(models: Any, *trained: nn.Module) -> str:
        optimizers = [SGD(each.parameters()) for each in trained]
        with vgrad.watch(models, optimizers, record=False) as watch:
            return watch.name

    assert name(nn.DataParallel(model), model) == "Sequential"
    assert name(torch.compile(head, backend="eager"), head) == "Linear"
    assert name([model, head], model, head) == "Sequential+Linear"
    assert name({"left": head, "right": nn.Linear(4, 1)}, head) == "Linear"


def test_an_error_of_the_loss_function_leaves_the_loss_unknown_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[Any] = [ZeroDivisionError("made to fail"), "words", torch.ones(2), torch.tensor([3.0]), 2]

    def loss() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer, loss=loss, record=False) as watch:
        plain(model, optimizer, batches(5))
        assert [record.loss for record in watch.records()] == [None, None, None, 3.0, 2.0]
    assert caplog.text.count("the function given as loss failed") == 1


def test_an_error_of_ours_ends_watching_and_not_the_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "is_off", False)
    bare, losses = run_bare(SGD, num_steps=8)
    model = make_model()
    optimizer = SGD(model.parameters())
    torch.manual_seed(5)
    watch = vgrad.watch(model, optimizer, controls=vgrad.Controls(lr_scale=0.25))
    cursor = watch.cursor()
    monkeypatch.setattr(watch.parts[0].tap.meter, "read", lambda *_: 1 / 0)
    assert plain(model, optimizer, batches(8)) == losses
    assert_same_bits(model, bare)
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert watch.is_closed
    assert caplog.text.count("ended because of an error inside vgrad") == 1
    [ended] = [notice.body for notice in cursor.take().notices if isinstance(notice.body, RunEnded)]
    assert ended.reason == "failed"
    assert "ZeroDivisionError" in (ended.error or "")


def test_an_error_in_the_last_step_leaves_no_hook_behind_once_the_watch_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "is_off", False)
    model = make_model()
    optimizer = SGD(model.parameters())
    with vgrad.watch(model, optimizer) as watch:
        monkeypatch.setattr(watch.parts[0].tap.meter, "read", lambda *_: 1 / 0)
        plain(model, optimizer, batches(1))
        assert watch.is_closed
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_an_error_within_a_step_leaves_no_hook_behind_right_after_that_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "is_off", False)
    model = make_model()
    optimizer = SGD(model.parameters())
    watch = vgrad.watch(model, optimizer)
    monkeypatch.setattr(watch.parts[0].tap.meter, "read", lambda *_: 1 / 0)
    tracing = sys.gettrace()
    plain(model, optimizer, batches(2))
    assert watch.is_closed and sys.gettrace() is tracing
    assert tracing is not None or not optimizer._optimizer_step_pre_hooks  # else as the watch is closed
    assert tracing is not None or not optimizer._optimizer_step_post_hooks


def test_numbers_that_a_failed_device_keeps_raise_neither_into_the_loop_nor_end_the_record_too_early(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "is_off", False)
    model = make_model()
    optimizer = SGD(model.parameters())
    closed = []
    watch = vgrad.watch(model, optimizer)
    watch.on_close(lambda: 1 / 0)
    watch.on_close(lambda: closed.append(True))
    cursor = watch.cursor()
    plain(model, optimizer, batches(2))
    monkeypatch.setattr(watch.parts[0].tap.meter, "records", lambda **_: 1 / 0)
    watch.close(KeyError())
    assert closed
    assert caplog.text.count("ended because of an error inside vgrad") == 1
    [ended] = [notice.body for notice in cursor.take().notices if isinstance(notice.body, RunEnded)]
    assert (ended.reason, ended.error) == ("failed", "KeyError: "), "the loop's own error is the one to know"
    assert not optimizer._optimizer_step_pre_hooks


def test_many_watches_leave_nothing_behind() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    backward, threads = torch.autograd.backward, threading.active_count()
    gone = []
    for _ in range(100):
        watch = vgrad.watch(model, optimizer)
        plain(model, optimizer, batches(1))
        watch.close()
        gone.append(weakref.ref(watch))
        del watch
    gc.collect()
    assert not any(ref() for ref in gone)
    assert torch.autograd.backward is backward
    assert threading.active_count() == threads
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert all(not vars(module).get("_forward_hooks") for module in model.modules())


def test_a_watch_that_nobody_holds_goes_with_its_optimizer() -> None:
    model = make_model()
    optimizer = SGD(model.parameters())
    gone = weakref.ref(vgrad.watch(model, optimizer))
    plain(model, optimizer, batches(2))
    watch = gone()
    assert watch is not None
    assert watch.step == 2
    watch.close()
    del watch, optimizer
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("first", ["", "import vgrad.watching.watch", "import vgrad.watching.hooks as h"])
def test_the_name_is_the_function_whatever_was_imported(first: str) -> None:
    code = f"import vgrad\n{first}\nassert vgrad.watch.__name__ == 'watch' and callable(vgrad.watch)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_cannot_be_watched_is_refused_with_the_reason() -> None:
    model = make_model()
    with pytest.raises(vgrad.ConfigError, match="not a torch optimizer"):
        vgrad.watch(model, object())
    with pytest.raises(vgrad.ConfigError, match="no optimizer"):
        vgrad.watch(model, [])
    optimizer = SGD(model.parameters())
    with pytest.raises(vgrad.ConfigError, match="given twice"):
        vgrad.watch(model, [optimizer, optimizer])
    with pytest.raises(vgrad.ConfigError, match="name must be text"):
        vgrad.watch(model, optimizer, name=3)  # type: ignore[arg-type]
    with pytest.raises(vgrad.ConfigError, match="must be a torch module"):
        vgrad.watch([3], SGD(model.parameters()))  # type: ignore[list-item]
    with pytest.raises(vgrad.ConfigError, match="needs vgrad's own training loop"):
        vgrad.watch(model, SGD(model.parameters()), controls=vgrad.Controls(activation="relu"))
