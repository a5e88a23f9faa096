"""When the gradient has thrown a run off, and when the run has found back."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

WINDOW = 100  # steps that medians are taken over
_EVERY = 10  # steps between two looks at the medians; jumps this near to each other belong together
_WARM_UP = 20  # steps in which norms alone say nothing, for they have hardly a past

_NORM_JUMP = 10.0
_LOSS_JUMP = 0.5
_LOSS_BLOW_UP = 100.0
_UNDONE = 0.1  # of what had been learnt: a jump that undoes less is none
_FEW = 3  # of the first steps: fewer high losses than that are the noise of small batches
_LEARNT_AGAIN = 0.35  # of the loss before: what explodes early has learnt nothing to come back to
_LEARNT = 0.9  # of the first loss: no answer that ignores the inputs is so far down


class ExplosionWatch(JudgePart):
    """Compares each step with the run's own calm past.

    A jump of the gradient norm alone is a spike: clipping cuts it, or the next steps forgive it.
    It is an explosion when the loss jumps too, and that lasts until the loss is back where it
    was: weights that were thrown far off have small gradients again, and are no better for it.
    A loss a hundred times as large needs no other sign: one step can throw a run so far off that
    its gradient is no larger than before. Nor does one that stays half as large again as the first
    for twenty steps in a row: layer norm tames the gradient, and a run is thrown off without a jump of
    it, while deep skip connections start high and come down at once.
    Nor does a loss that was so high at three of the first twenty steps, and is no better for it a
    hundred steps later: the first steps of an adaptive optimizer may throw a run up, but one that goes
    on to learn is well below its first loss by then.
    What undoes less than a tenth of what was learnt is no explosion.

    Attributes:
        calm_norm: Median gradient norm of before any explosion; the first step's at first.
        calm_loss: Median loss of before any explosion; the first step's at first.
        evidence: The numbers of the last explosion, in words.
        unhealed_since: Step at which the last explosion began, until the run is back where it was
            before; None again from then on. Outlasts the explosion itself: a run may settle down
            and be worth nothing.
        thrown_off_since: The same of an explosion in the first steps, until a tenth of the first
            loss is left. A first guess may be far worse than an answer that ignores the inputs: a
            wreck that has come to this answer has learnt nothing, and is well below where it began.
    """

    def __init__(self) -> None:
        self.calm_norm = math.nan
        self.calm_loss = math.nan
        self.evidence = ""
        self.unhealed_since: int | None = None
        self.thrown_off_since: int | None = None
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._jumps: deque[int] = deque(maxlen=3)
        self._step = 0
        self._num_seen = 0
        self._since: int | None = None
        self._loss_first = math.nan
        self._loss_healed = math.nan
        self._loss_over = math.nan
        self._num_above = 0  # steps in a row whose loss was far above the first
        self._highs: list[float] = []  # losses far above the first, of the first steps

    @property
    def has_spiked(self) -> bool:
        """Whether the norm has jumped in the last 100 steps."""
        return bool(self._jumps) and self._step - self._jumps[-1] < WINDOW

    def observe(self, step: int, loss: float, grad_norm: float, *, clipped: bool) -> bool:
        """Take one finite step into account; True while the run explodes."""
        if math.isnan(self._loss_first):
            self._loss_first = self.calm_loss = loss
            self.calm_norm = grad_norm
        self._step = step
        self._num_seen += 1
        self._norms.append(grad_norm)
        self._losses.append(loss)
        is_above = loss - self._loss_first > _LOSS_JUMP * abs(self._loss_first)
        self._num_above = self._num_above + 1 if is_above else 0
        if is_above and self._num_seen <= _WARM_UP:
            self._highs.append(loss)
        if self._since is not None:
            if step % _EVERY == 0 and self._is_over(step):
                self._since = None
                self._jumps.clear()
        elif self._begins(step, loss, grad_norm, clipped=clipped):
            self._begin(step)
            self.evidence = self._jump_in_words(step, loss)
        elif self._is_no_better_for_a_blow_up():
            self._begin(step)
            self.evidence = (
                f"the loss rose from {self._loss_first:.3g} to {max(self._highs):.3g} in the first"
                f" {_WARM_UP} steps, and was at {_median(self._losses):.3g} in the next {WINDOW}"
            )
        elif step % _EVERY == 0:
            self.calm_norm = _median(self._norms)
            self.calm_loss = _median(self._losses)
            if self.unhealed_since is not None and self.calm_loss <= self._loss_healed:
                self.unhealed_since = None
            if self._loss_first - self.calm_loss >= _LEARNT * abs(self._loss_first):
                self.thrown_off_since = None
        return self._since is not None

    def _begins(self, step: int, loss: float, grad_norm: float, *, clipped: bool) -> bool:
        if grad_norm > _NORM_JUMP * self.calm_norm:
            self._jumps.append(step)
        num_recent = sum(step - jump < _EVERY for jump in self._jumps)
        if (num_recent and self._is_high(loss)) or self._is_blown_up(loss) or self._num_above >= _WARM_UP:
            return True
        # Norms also jump when a run leaves a plateau, but then the loss falls.
        keeps_jumping = num_recent == self._jumps.maxlen and self._num_seen > _WARM_UP
        return keeps_jumping and not clipped and loss > self.calm_loss

    def _is_no_better_for_a_blow_up(self) -> bool:
        is_time = self._num_seen == _WARM_UP + WINDOW and len(self._highs) >= _FEW
        return is_time and self._loss_first - _median(self._losses) < _LEARNT_AGAIN * abs(self._loss_first)

    def _begin(self, step: int) -> None:
        if self.unhealed_since is None:
            self._loss_healed, self._loss_over = self.calm_loss, self._loss_first
            if self._num_seen <= _WARM_UP + WINDOW:
                self.thrown_off_since = step
                lowest = min(self._losses)
                self._loss_healed = lowest - _LEARNT_AGAIN * abs(lowest)
            if self._num_seen - self._num_above <= _WARM_UP or len(self._highs) >= _FEW:
                self._loss_over -= _LEARNT_AGAIN * abs(self._loss_first)
        self._since = self.unhealed_since = step

    def _jump_in_words(self, step: int, loss: float) -> str:
        norm = max(list(self._norms)[-_EVERY:])
        is_norm_high = 0 < _NORM_JUMP * self.calm_norm < norm
        signs = (
            f"‖g‖ was {norm / self.calm_norm:,.0f}× its median and the loss"
            if is_norm_high
            else "the loss was"
        )
        before = min(self.calm_loss, self._loss_first)
        return f"at step {step:,} {signs} {loss:.3g} against {before:.3g}"

    def _is_over(self, step: int) -> bool:
        assert self._since is not None
        median = _median(self._losses)
        return step - self._since >= WINDOW and median <= self._loss_over and not self._is_high(median)

    def _is_high(self, loss: float) -> bool:
        # A loss may be negative; and where next to nothing is left of it, a large multiple is still little.
        undone = _UNDONE * (self._loss_first - self.calm_loss)
        return loss - self.calm_loss > max(_LOSS_JUMP * abs(self.calm_loss), undone)

    def _is_blown_up(self, loss: float) -> bool:
        # Next to nothing may grow a hundredfold and still be next to nothing: compare with the first, too.
        return loss > self._loss_first and loss - self.calm_loss > _LOSS_BLOW_UP * abs(self.calm_loss) > 0


def _median(values: deque[float]) -> float:
    """The upper median. For so few numbers sorting a list is several times faster than numpy."""
    return sorted(values)[len(values) // 2]
