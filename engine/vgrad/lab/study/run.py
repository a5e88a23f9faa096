"""One run of a study, from its first update to its numbers."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandRejected

if TYPE_CHECKING:
    from vgrad.lab.study.plan import Method, Protocol, Run
    from vgrad.train.trainer import Trainer

_LAST = 50  # updates that the training loss and the gradient norm are taken over, at most


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run. The same run gives the same result bit for bit, on the same machine and torch.

    Attributes:
        updates: Optimizer steps that were made.
        train_loss: Mean training loss of the last tenth of the updates, at most 50; not finite if one is not.
        val_loss: Validation loss at the end.
        metric: The recipe's own second number on the validation data; NaN where it has none.
        first_grad_norm: Median norm of the first layer's gradient, over the updates of ``train_loss``.
        solved_at: Updates, the prefix among them, at the first look at which it was solved, else None.
        verdict: Kind of the last verdict on the run.
        took_s: Seconds it took. Not compared.
    """

    updates: int
    train_loss: float
    val_loss: float
    metric: float
    first_grad_norm: float
    solved_at: int | None
    verdict: str = ""
    took_s: float = field(compare=False, default=math.nan)

    def judged(self, protocol: Protocol) -> float:
        """The number by which runs of ``protocol`` are compared; smaller is better, NaN or inf failed."""
        if protocol.stops:
            return math.inf if self.solved_at is None else float(self.solved_at)
        return self.val_loss


def carry_out(run: Run) -> Result:
    """Train ``run`` to its end.

    Raises:
        ConfigError: If the method cannot be carried out with this recipe; says why.
        VgradError: If the recipe cannot be built.
    """
    from vgrad.run.build import build

    begin = time.perf_counter()
    trainer = build(_config(run))
    try:
        follower = _Follower(trainer, run.protocol)
        follower.train(until=run.protocol.prefix)
        _turn_on(trainer, run.method)
        follower.train(until=None)
        return follower.result(begin)
    finally:
        trainer.close()


def _config(run: Run) -> RunConfig:
    """The run as it begins: what the protocol sets, and of the method what makes another model."""
    settings = [*run.protocol.base, *run.method.options.items()]
    return RunConfig.make(
        recipe=run.protocol.recipe,
        seed=run.seed,
        device="cpu",
        options={name: _scalar(value) for name, value in settings if "." in name},
        **{name: value for name, value in settings if "." not in name},
    )


def _or_nan(value: float | None) -> float:
    """The tables have no other word for what is not there."""
    return math.nan if value is None else value


def _scalar(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _turn_on(trainer: Trainer, method: Method) -> None:
    for command in method.commands:
        answer = trainer.apply(command)
        if isinstance(answer, CommandRejected):
            raise ConfigError(f"{method.name} cannot be tried with {trainer.config.recipe}: {answer.reason}")


class _Follower:
    """Drives a trainer and keeps of its records what the result needs."""

    def __init__(self, trainer: Trainer, protocol: Protocol) -> None:
        self._trainer = trainer
        self._protocol = protocol
        self._num_microbatches = 0
        self._losses: deque[float] = deque(maxlen=_LAST)
        self._first_norms: deque[float] = deque(maxlen=_LAST)
        self._solved_at: int | None = None

    def train(self, until: int | None) -> None:
        """Train up to update number ``until``; None: until the data is used up, or it is solved."""
        trainer, protocol = self._trainer, self._protocol
        while self._num_microbatches < protocol.microbatches and trainer.step != until:
            record = trainer.train_step()
            self._num_microbatches += record.num_microbatches
            self._losses.append(record.loss_or_nan)
            self._first_norms.append(float(record.grad_norms[0]))
            if until is None and self._is_solved() and protocol.stops:
                return

    def _is_solved(self) -> bool:
        """Whether it is by now, as far as the looks that are due have shown."""
        solved, step = self._protocol.solved, self._trainer.step
        if solved is not None and self._solved_at is None and step % self._protocol.look_every == 0:
            task = self._trainer.task
            value = task.validate() if solved.measure == "loss" else task.validate_metric()
            assert (
                value is not None
            )  # every recipe has validation data, and its metric where one is asked for
            if value <= solved.at_most:  # never true of NaN
                self._solved_at = step
        return self._solved_at is not None

    def result(self, begin: float) -> Result:
        """The numbers of the run as it stands."""
        trainer = self._trainer
        num_last = max(1, min(_LAST, trainer.step // 10))
        losses, norms = list(self._losses)[-num_last:], sorted(list(self._first_norms)[-num_last:])
        return Result(
            updates=trainer.step,
            train_loss=math.fsum(losses) / num_last if all(map(math.isfinite, losses)) else math.nan,
            val_loss=_or_nan(trainer.validate()),
            metric=_or_nan(trainer.task.validate_metric()),
            first_grad_norm=norms[num_last // 2] if all(map(math.isfinite, norms)) else math.nan,
            solved_at=self._solved_at,
            verdict=trainer.verdict.kind,
            took_s=time.perf_counter() - begin,
        )
