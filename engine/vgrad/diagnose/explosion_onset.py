"""When an explosion begins: what sets the loss and the gradient norm apart from the run's own calm past."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from vgrad.diagnose.first_steps import NUM_FIRST, FirstSteps
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.step_reach import StepReach

WINDOW = 100  # steps that medians are taken over
EVERY = 10  # steps between two looks at the medians; jumps this near to each other belong together
SHORT = 40  # steps after which an explosion may be over, and whose losses say so
FEW_HIGHS = 3  # of the first steps: fewer high losses than that are the noise of small batches
LEARNT_AGAIN = 0.35  # of the loss before: what explodes before it has learnt so much must learn it then
MUCH_HIGHER = 1.5  # times the leap of the loss that came before any long step

_NORM_JUMP = 10.0
_BEYOND_NOISE = 2.0  # times the largest norm of the last 100 steps
_ELEVATED = 3.0  # times the median norm: a step before an explosion may be such a one
_LOSS_JUMP = 0.5
_LOSS_BLOW_UP = 100.0
_BEYOND_RANGE = 10.0  # times the range of the losses so far
_BELOW_ZERO = 0.01  # of the first loss: less is rounding
_UNDONE = 0.1  # of what had been learnt: a jump that undoes less is none
_NUM_HIGH = 3  # high losses among ten: a single one is a bad batch
_OFTEN = 0.5  # of their share among the first: high losses that come as often later belong to the data
_BACK = 0.9  # of the first loss: a run that is below is back, where only its loss was high at first


class ExplosionOnset(JudgePart):
    """Compares each step with the run's own calm past, and says where an explosion begins.

    A jump of the gradient norm alone is a spike: clipping cuts it, or the next steps forgive it. A jump is
    ten times the median, and twice the largest of the last 100 steps: with small batches norms jump anyway.
    An explosion begins when the loss jumps too, beyond all losses of the last 100 steps, at three steps of
    ten. What undoes less than a tenth of what was learnt is no explosion.

    Three findings need no jump of the norm: a loss a hundred times as large, for one step can throw a run so
    far off that its gradient is no larger than before; one that stays half as large again as the first
    for twenty steps in a row, for layer norm tames the gradient, and deep skip connections start high and
    come down at once; and one that was so high at three of the first twenty steps and is no better for it
    a hundred steps later, for the first steps of an adaptive optimizer may throw a run up, but one that
    goes on to learn is well below its first loss by then. These three are about the loss alone. Where
    nobody knows what a constant prediction costs, a loss may rise for many reasons (harder data, another
    player, a target that moves), so there they count only with evidence that the weights were thrown: a
    step that moved a layer by a tenth, or a norm that at least doubled.

    Nor is a jump evidence in the first twenty steps of a run whose losses are not all above zero: there is
    hardly a past yet, and beside a loss around zero every other one is many times as large.

    Nor is a single loss evidence there, or one of two: weights that were thrown make all the next losses
    high, and losses that are high by turns with others belong to other data. So three of four must be high,
    and so must be the loss that follows one which was a hundred times as large.

    For the same reason a loss that was as high before any long step was made is not the gradient's doing: the
    data became harder, or the loss is another one. And high losses among the first that come as often later
    are the data's. What is said of twenty losses in a row compares them, after the first steps, with the
    median of the first three: one may be low by luck.

    A loss that has been below zero is no error: that of a policy gradient is an advantage times a logarithm,
    summed over an episode, and grows with the episode's length. No multiple of such a loss says anything, nor
    does its level. Where nobody knows what a constant prediction costs, it is high only beyond ten times the
    range of the last 100 losses.

    Args:
        is_loss_known: Whether the loss can be compared with that of a constant prediction.

    Attributes:
        calm_norm: Median gradient norm of before any explosion; the first step's at first.
        calm_loss: Median loss of before any explosion; the first step's at first.
    """

    def __init__(self, *, is_loss_known: bool) -> None:
        self.is_loss_known = is_loss_known
        self.calm_norm = math.nan
        self.calm_loss = math.nan
        self._calm_norm_high = math.nan
        self._calm_loss_high = math.nan
        self._calm_loss_low = math.nan
        self._calm_loss_upper = math.nan  # quartile
        self._lowest = math.inf
        self._highest = -math.inf
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._jumps: deque[int] = deque(maxlen=3)
        self._high_steps: deque[int] = deque(maxlen=_NUM_HIGH)
        self._onset_loss = math.nan  # of the first of the high losses that belong together
        self._is_onset_sudden = False
        self._was_blown_up = False  # at the step before
        self._first = FirstSteps(is_loss_known=is_loss_known)
        self._is_first_a_level = True  # whether later losses can be compared with the first one
        self._uniform = math.nan
        self._step = 0
        self._num_seen = 0

    @property
    def has_no_floor(self) -> bool:
        """Whether a loss, which nobody can compare with a constant prediction's, has been below zero."""
        return not self.is_loss_known and self._lowest < -_BELOW_ZERO * abs(self._first.loss)

    @property
    def has_spiked(self) -> bool:
        """Whether the norm has jumped in the last 100 steps."""
        return bool(self._jumps) and self._step - self._jumps[-1] < WINDOW

    @property
    def recent_norm(self) -> float:
        """Largest gradient norm of the last ten steps with a loss that is known; NaN if there were none."""
        return max(list(self._norms)[-EVERY:], default=math.nan)

    @property
    def mean_norm(self) -> float:
        """Mean gradient norm of the last 100 steps with a loss that is known; NaN if there were none."""
        return sum(self._norms) / len(self._norms) if self._norms else math.nan

    @property
    def has_thrown(self) -> bool:
        """Whether a step moved a layer by a tenth of its weights, or the first steps raised norm and loss."""
        return self._first.has_thrown

    def _remember(
        self,
        step: int,
        loss: float,
        grad_norm: float,
        *,
        update: float,
        reach: StepReach | None,
        uniform: float,
        is_exploding: bool,
    ) -> None:
        """Take one finite step into account; high losses and jumps count while nothing has exploded yet."""
        if not self._num_seen:
            self.calm_loss = self._calm_loss_high = self._calm_loss_low = self._calm_loss_upper = loss
            self.calm_norm = self._calm_norm_high = grad_norm
        self._first.observe(loss, grad_norm, update)
        self._step, self._uniform = step, uniform
        is_comparable = reach is None or reach.is_first_a_level
        self._is_first_a_level = self.is_loss_known or (is_comparable and not self.has_no_floor)
        self._num_seen += 1
        if not is_exploding:
            self._look_for_signs(step, loss, grad_norm)
        self._norms.append(grad_norm)
        self._losses.append(loss)

    def _take_as_calm(self) -> None:
        """No explosion is going on: compare the next steps with the last 100."""
        self.calm_norm, self._calm_norm_high = _median(self._norms), max(self._norms)
        losses = sorted(self._losses)
        self.calm_loss = losses[len(losses) // 2]
        self._calm_loss_low, self._calm_loss_high = losses[0], losses[-1]
        self._calm_loss_upper = losses[3 * len(losses) // 4]

    def _forget_signs(self) -> None:
        self._jumps.clear()
        self._high_steps.clear()

    def _forget_the_level_before(self) -> None:
        for values in (self._norms, self._losses):
            newest = list(values)[-SHORT:]
            values.clear()
            values.extend(newest)

    def _onset(self, step: int, loss: float, *, clipped: bool) -> tuple[str, bool] | None:
        """The explosion that begins at this step, if one does.

        Returns:
            Its numbers, in words, and whether nothing but the loss, against the first, shows it; else None.
        """
        if (is_jump := self._jumps_up(step, loss, clipped=clipped)) or self._stays_above():
            return self._jump_in_words(step, loss), not is_jump and not self.is_loss_known
        if self._is_no_better_for_a_blow_up():
            return self._blow_up_in_words(), not self.is_loss_known
        return None

    def _look_for_signs(self, step: int, loss: float, grad_norm: float) -> None:
        """Note a high loss or a jump of the norm at this step."""
        had_jumped = bool(self._jumps) and step - self._jumps[-1] < EVERY
        if grad_norm > max(_NORM_JUMP * self.calm_norm, _BEYOND_NOISE * self._calm_norm_high) > 0:
            self._jumps.append(step)  # nothing is compared with a norm of zero: batches may have no gradient
        if not self._is_high(loss):
            return
        before = self._norms[-1] if self._norms else math.inf
        is_calm_before = not had_jumped and before <= _ELEVATED * self.calm_norm
        is_first = not self._is_recently_high(step)
        if is_first or (is_calm_before and self._is_beyond_onset(loss, MUCH_HIGHER)):
            self._onset_loss = loss
            self._is_onset_sudden = is_calm_before and self._num_seen > NUM_FIRST
        self._high_steps.append(step)

    def _jumps_up(self, step: int, loss: float, *, clipped: bool) -> bool:
        """Whether the loss has jumped, with the norm or so far that it needs none."""
        num_recent = sum(step - jump < EVERY for jump in self._jumps) if self._jumps else 0
        if not self.is_loss_known and self._num_seen <= NUM_FIRST and not self._lowest > 0:
            return False
        if num_recent and self._stays_high(step):
            return True
        is_thrown = self.is_loss_known or num_recent > 0 or self.has_thrown or self._has_doubled()
        is_blown_up = is_thrown and self._is_blown_up(loss)
        was_blown_up, self._was_blown_up = self._was_blown_up, is_blown_up
        if (is_blown_up and self.is_loss_known) or (was_blown_up and self._is_high(loss)):
            return True
        # Norms also jump when a run leaves a plateau, but then the loss falls.
        keeps_jumping = num_recent == self._jumps.maxlen and self._num_seen > NUM_FIRST
        if not keeps_jumping or self.has_no_floor or self._is_another_level(step):
            return False
        undone = _UNDONE * (self._first.loss - self.calm_loss)
        return not clipped and loss - self.calm_loss > max(undone, 0.0)

    def _stays_above(self) -> bool:
        """Whether the loss has been far above the first for twenty steps in a row."""
        return (
            self._first.num_above >= NUM_FIRST
            and self._is_first_a_level
            and (self.is_loss_known or self._first.is_thrown_early(self._uniform))
        )

    def _is_no_better_for_a_blow_up(self) -> bool:
        """Whether the first steps threw the loss up, and the hundred after them have not mended that."""
        first = self._first
        is_time = self._num_seen == NUM_FIRST + WINDOW and len(first.highs) >= FEW_HIGHS
        if not is_time or not self._is_first_a_level:
            return False
        if not self.is_loss_known:
            is_of_data = first.num_late_highs / WINDOW >= _OFTEN * len(first.highs) / NUM_FIRST
            would_be_over = self._recent_loss() <= self._loss_when_back()
            if not first.is_thrown_early(self._uniform) or is_of_data or would_be_over:
                return False
        return first.loss - _median(self._losses) < LEARNT_AGAIN * abs(first.loss)

    def _has_doubled(self) -> bool:
        return self._norms[-1] > _BEYOND_NOISE * self._calm_norm_high

    def _stays_high(self, step: int) -> bool:
        """Whether enough of the last losses were high, and not as high before any long step."""
        within = EVERY if self.is_loss_known else _NUM_HIGH + 1
        if len(self._high_steps) < _NUM_HIGH or step - self._high_steps[0] >= within:
            return False
        return not self._is_another_level(step)

    def _is_another_level(self, step: int) -> bool:
        """Whether the loss is high and was as high before any long step: then the data have changed."""
        if not self._has_leapt(step):
            return False
        return not self._is_beyond_onset(_median(list(self._losses)[-_NUM_HIGH:]), MUCH_HIGHER)

    def _has_leapt(self, step: int) -> bool:
        """Whether the loss has become high at a calm step, where nobody knows how high it may be."""
        return not self.is_loss_known and self._is_onset_sudden and self._is_recently_high(step)

    def _is_recently_high(self, step: int) -> bool:
        return bool(self._high_steps) and step - self._high_steps[-1] < EVERY

    def _is_beyond_onset(self, loss: float, times: float) -> bool:
        """Whether the loss is higher by so many times what the first of the high losses was higher by."""
        return loss - self.calm_loss > times * (self._onset_loss - self.calm_loss)

    def _is_high(self, loss: float) -> bool:
        # A loss may be negative; and where next to nothing is left of it, a large multiple is still little.
        calm = self.calm_loss
        if self.has_no_floor:
            return loss - calm > _BEYOND_RANGE * (self._calm_loss_high - self._calm_loss_low)
        undone = _UNDONE * (self._first.loss - calm)
        return loss - calm > max(_LOSS_JUMP * abs(calm), undone, self._calm_loss_high - calm)

    def _is_blown_up(self, loss: float) -> bool:
        # Next to nothing may grow a hundredfold and still be next to nothing: compare with the first, too.
        rise = loss - self.calm_loss
        if not (loss > self._first.loss and rise > _LOSS_BLOW_UP * abs(self.calm_loss) > 0):
            return False
        return self.is_loss_known or rise > _BEYOND_RANGE * (self._highest - self._lowest)

    def _recent_loss(self) -> float:
        """Median of the last forty losses."""
        return _median(list(self._losses)[-SHORT:])

    def _loss_when_back(self) -> float:
        """Below it a run is back, where only its loss was high at first."""
        return self._first.loss - (1 - _BACK) * abs(self._first.loss)

    def _jump_in_words(self, step: int, loss: float) -> str:
        norm = self.recent_norm
        is_norm_high = 0 < _NORM_JUMP * self.calm_norm < norm
        signs = (
            f"‖g‖ was {norm / self.calm_norm:,.0f}× its median and the loss"
            if is_norm_high
            else "the loss was"
        )
        before = min(self.calm_loss, self._first.loss)
        return f"at step {step:,} {signs} {loss:.3g} against {before:.3g}"

    def _blow_up_in_words(self) -> str:
        return (
            f"the loss rose from {self._first.loss:.3g} to {max(self._first.highs):.3g} in the first"
            f" {NUM_FIRST} steps, and was at {_median(self._losses):.3g} in the next {WINDOW}"
        )


def _median(values: Sequence[float]) -> float:
    """The upper median. For so few numbers sorting a list is several times faster than numpy."""
    return sorted(values)[len(values) // 2]
