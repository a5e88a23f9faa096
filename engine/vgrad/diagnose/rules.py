"""The rules: what is wrong with a run that has stalled, and what is worth knowing of one that has not.

A run that learns is healthy whatever its gradients look like: an adaptive optimizer makes up for a
gradient that has all but vanished, and a default LSTM starts with one of 3e-11 through time. So each
of these rules asks for a stall first, and each names the numbers that it rests on.

A stall alone is no sickness: a loss may be at the floor of its noise, held back by its schedule, or an
equilibrium of two players. Vanishing, dead and exploding are said only where the gradient itself shows it.
Where it is known what a constant prediction costs, that helps: a run that is no better has learnt nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vgrad.diagnose.finding import Finding, FindingRule
from vgrad.diagnose.one_digit import one_digit
from vgrad.diagnose.symptoms import (
    COLD,
    LITTLE,
    NOTHING_LEARNT,
    RATIO_HOPELESS,
    RATIO_VANISHING,
    UNDERFLOW_SHARE,
    Symptoms,
)  # fmt: skip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_UPDATE_VANISHING = 5e-5
_MEDIAN_UPDATE_VANISHING = 1e-5
_FADED_NORM = (
    1e-20  # a gradient that fades out to zero passes through such norms; one that is cut off does not
)
_INPUTS_ARE_ZERO = 0.75  # of a layer's gradient: then its weights get nothing, and its biases something
_SLOPE_VANISHING = -0.1
_TIME_RATIO_VANISHING = 1e-2
_SLOPE_EXPLODING = 0.1
_TIME_RATIO_EXPLODING = 1e4
_STUCK = 0.07  # where no other number stands out; text models that learn what is easy in 40 steps come near
_LEARNT_AT_ONCE = 0.9  # of the first loss: a run that lost so much of it did so in its first steps
_LEARNT_BLIND = 0.75  # the same where it is not known what a constant prediction costs
_OVERSHOT = 1.03  # of the baseline: no model that has come to rest is so far above
_LONG_STEPS, _LONG_STEPS_IN_TIME = 1e-2, 5e-3  # of the weights; recurrent weights are used at every time step
_LONG_STEPS_BLIND = 5e-2  # the same where it is not known what a constant prediction costs
_HOT = 0.1
_BEYOND_NOISE = 3.0  # standard errors
_PLATEAU = 240  # steps: tasks over time are learnt after plateaus that look like the end
_FAINT = 1e-3  # of what the batches' own differences make of the loss
_SETTLES = 2e-3  # of the weights a step: shorter ones can settle


OVER_TIME: tuple[FindingRule, ...] = ("time", "time-growth")


def find(symptoms: Symptoms) -> Finding | None:
    """Return why a run that has stalled does not learn, or None if the gradients do not tell.

    What the gradient itself shows comes first: a gradient that is lost, on its way through the layers or back
    in time, before what the loss shows of too long steps. A model that has nothing to learn from stands as
    high above a constant prediction as its steps make it tremble.
    """
    for rule in (find_underflow, find_dead, _time, _overshoot, _saturated, _depth, _faint, _still, _stuck):
        finding = rule(symptoms)
        if finding is not None:
            return finding
    return None


def tags(symptoms: Symptoms) -> tuple[str, ...]:
    """What is worth knowing of a run that is not sick."""
    updates = symptoms.updates[np.isfinite(symptoms.updates)]
    found = []
    if symptoms.ratio < RATIO_VANISHING and symptoms.updates[symptoms.first] >= COLD:
        found.append("compensated")
    if updates.size and np.median(updates) < COLD:
        found.append("cold")
    if updates.size and updates.max() > _HOT:
        found.append("hot")
    if symptoms.is_lost_to_underflow:
        found.append("underflow")
    return tuple(found)


def find_underflow(s: Symptoms) -> Finding | None:
    """Claims that float16 loses the gradient.

    Evidence: it rounds half of the entries of most layers to zero, or nine in ten of the first layer's. This
    needs no stall: what is left of the gradient may make the loss wander.
    """
    if not s.is_lost_to_underflow:
        return None
    layers = np.flatnonzero(s.underflow_shares >= UNDERFLOW_SHARE)
    worst = int(np.nanargmax(s.underflow_shares))
    return Finding(
        "vanishing",
        "underflow",
        f"float16 rounds {s.underflow_shares[worst] * 100:.0f} % of the gradient of {s.names[worst]} to zero;"
        f" {s.stall}",
        tuple(layers.tolist()),
    )


def find_dead(s: Symptoms) -> Finding | None:
    """Claims that a layer lets nothing through: what is below it gets exactly nothing, at once.

    Evidence: the gradient of the first layers has been exactly zero for 100 steps, up to some layer, and the
    layer above them gets a gradient for its biases alone, as its inputs are zero; or at least half of all
    layers are silent in a run that learnt nothing, or no more than a uniform guess. A silent layer above one
    that gets a gradient is a branch beside the way: it is not used, or no longer. Where the gradient had all
    but vanished before it went out, its vanishing is the cause. Layers that got a gradient before, in a run
    that made steps of a tenth of its weights, were killed by these steps.
    """
    num_layers = len(s.names)
    num_silent = num_layers if s.silent.all() else int(np.argmin(s.silent))
    was_alive = bool(s.ever[:num_silent].any())
    if num_silent == num_layers:
        # What had a gradient and has none at all now has nothing left to learn, or `_faint` finds it.
        nothing = Finding("dead", "dead", f"no layer has ever got a gradient but zeros; {s.stall}")
        return None if was_alive else nothing
    if not num_silent or not _is_blocked(s, num_silent) or _has_faded(s, was_alive=was_alive):
        return None
    layers = tuple(range(num_silent))
    evidence = f"{num_silent} of {num_layers} layers get a gradient of zeros, up to {s.names[layers[-1]]}"
    if not was_alive:
        return Finding("dead", "dead", f"{evidence}; {s.stall}", layers)
    if s.has_thrown:
        evidence += ", and got some at first: steps that are too long have closed their units"
        return Finding("exploding", "killed", f"{evidence}; {s.stall}", layers)
    return Finding("dead", "dead", f"{evidence}, and got some at first; {s.stall}", layers)


def _is_blocked(s: Symptoms, num_silent: int) -> bool:
    """Whether the silent layers are silent as nothing passes the last of them."""
    if s.zero_shares[num_silent] >= _INPUTS_ARE_ZERO:
        return True
    learnt_nothing = s.learnt < NOTHING_LEARNT and (s.learnt_in_all < 0.5 or s.is_a_guess)
    return 2 * num_silent >= len(s.names) and learnt_nothing


def _has_faded(s: Symptoms, *, was_alive: bool) -> bool:
    """Whether the gradient of the silent layers had all but vanished before it was zero."""
    return s.has_faded or _fades(s.norms) or (was_alive and 0 < s.ratio_early < RATIO_VANISHING)


def _fades(norms: Floats) -> bool:
    """Whether the norms run down to zero, as in a stack so deep that float32 has no smaller numbers."""
    alive = norms[norms > 0]
    return bool(alive.size and alive.min() < _FADED_NORM)


def _overshoot(s: Symptoms) -> Finding | None:
    """Claims that steps are too long to settle on anything.

    Evidence: the loss stands above that of a constant prediction, or, where that is not known, of a uniform
    guess, over both halves of the last 100 steps, for it may have been high for a while as the data became
    harder; and weights move, or the first steps have thrown them off. A gradient that had vanished at the
    first step did not do that: its run still learns the best constant prediction, for which the last biases
    are enough.
    """
    limit, what = (s.baseline, "constant prediction") if s.knows_baseline else (s.uniform, "uniform guess")
    was_thrown = s.has_thrown and not s.ratio_first < RATIO_HOPELESS
    moves = s.typical_update >= _SETTLES or (not s.knows_baseline and was_thrown)
    if not min(s.loss, s.lower_loss) > _OVERSHOT * limit or not moves or s.is_held_back:
        return None
    return Finding(
        "exploding",
        "overshoot",
        f"the loss stands at {s.loss:.3g}, and a {what} would cost {limit:.3g}:"
        f" weights move by {one_digit(s.typical_update)} a step, too far to settle; {s.stall}",
    )


def _depth(s: Symptoms) -> Finding | None:
    """Claims that the first layer gets next to nothing.

    Evidence: its gradient is less than a hundredth of the last layer's. A run that has learnt something and
    now stands still may have reached its end: then the first layer must stand still, too, and nobody may have
    asked for that. In one that never learnt, large updates of a small gradient, as adaptive optimizers make
    them, did not make up for it. A layer that got an ordinary gradient and gets exactly none at once is
    frozen or no longer used: a gradient that vanishes becomes small before. A gradient that became small
    after the run had begun to stand still is not why it does where the layer moves all the same: weights that
    have nothing to learn decay. Where it is not known what a constant prediction costs, a run that has lost
    nine tenths of its first loss may have learnt what there is: then only a gradient of less than a hundred
    thousandth is evidence.
    """
    if s.norms[s.first] == 0 and not _has_faded(s, was_alive=True):
        return None
    first = float(s.updates[s.first])
    is_older = s.ratio_stalled >= RATIO_VANISHING and first >= _UPDATE_VANISHING  # the stall
    if is_older or (_has_learnt_at_once(s) and s.first_ratio >= RATIO_HOPELESS):
        return None
    is_still = first < _UPDATE_VANISHING and not s.is_held_back
    is_starved = s.first_ratio < RATIO_VANISHING and (
        s.never_learnt or is_still or s.first_ratio < RATIO_HOPELESS
    )
    if not is_starved or (math.isnan(first) and (s.has_updates or s.is_held_back)):
        return None
    moves = (
        "its updates are not measured"
        if math.isnan(first)
        else f"moves by {one_digit(first)} of its weights a step"
    )
    return Finding(
        "vanishing",
        "depth",
        f"{s.names[s.first]} gets {one_digit(s.ratio)} of the gradient of {s.names[s.last]} and {moves};"
        f" {s.stall}",
        (s.first,),
    )


def _saturated(s: Symptoms) -> Finding | None:
    """Claims that the units of the first layers are saturated: raw inputs hold them at their ends.

    Evidence: the gradient of these layers was measured, and has been exactly zero for 100 steps; the layer
    above them gets one for its weights, so that their outputs are not zero, as those of dead units are; and a
    uniform guess would be as good. A run that learns is not meant: its first layers may be unused or frozen.
    """
    num_silent = len(s.names) if s.silent.all() else int(np.argmin(s.silent))
    if not 0 < num_silent < len(s.names) or not s.is_a_guess:
        return None
    if s.stalled_for < _PLATEAU or not (s.zero_shares[:num_silent] == 1).all():
        return None
    below, above = s.names[num_silent - 1], s.names[num_silent]
    return Finding(
        "vanishing",
        "saturated",
        f"{below} gets a gradient of exactly zero, and {above} one of its weights: the units between them are"
        f" at the ends of their range, as raw inputs hold them; {s.stall}",
        tuple(range(num_silent)),
    )


def _faint(s: Symptoms) -> Finding | None:
    """Claims that the gradient as a whole is too small: saturated outputs, say, let nothing through.

    Evidence: losses differ from batch to batch, and the gradient says that no change of the weights could
    do a thousandth of that. At a floor of noise each batch's gradient is as large as ever, and only their
    mean is small.
    """
    if not s.reach < _FAINT or s.learnt_in_all >= _LEARNT_AT_ONCE:
        return None
    return Finding(
        "vanishing",
        "faint",
        f"losses differ from batch to batch by {one_digit(1 / s.reach)} times what the gradient can do to"
        f" them; {s.stall}"
        if s.reach > 0
        else f"the gradient is zero, and losses differ from batch to batch; {s.stall}",
        (s.first,),
    )


def _still(s: Symptoms) -> Finding | None:
    """Claims that a gradient which is small in all layers alike moves nothing.

    Evidence: half of the layers move by less than a hundred thousandth of their weights, nobody asked for
    that, and a constant prediction or a uniform guess would be as good.
    """
    is_no_better = s.loss > LITTLE * s.baseline or s.is_a_guess
    if s.is_held_back or not s.typical_update < _MEDIAN_UPDATE_VANISHING or not is_no_better:
        return None
    return Finding(
        "vanishing",
        "still",
        f"half of the layers move by less than {one_digit(s.typical_update)} of their weights a step;"
        f" {s.stall}",
        (s.first,),
    )


def _time(s: Symptoms) -> Finding | None:
    """Claims that the gradient vanishes, or explodes, on its way back in time.

    Evidence of vanishing: it falls by a tenth of a decade a step, to less than a hundredth, in a run that has
    learnt nothing for 240 steps. A model may need no long memory, and have learnt what there is: where it is
    not known what a constant prediction costs, the loss must be that of a uniform guess, or above it. To be
    below is to have learnt something, if only how frequent each answer is. Where that is not known either,
    nothing at all must have been learnt since the first steps, and less than nine tenths of the first loss be
    gone, for a mean far from zero is learnt at once; and the loss must not be known to be below what any
    constant prediction costs for the same targets. A run that is asked for what its inputs do not say looks
    the same, and is called vanishing, too. So is one whose loss function does not show its targets, where it
    learns within its first steps what the last inputs say, and stands at a floor of noise from then on.

    Evidence of exploding: it grows by as much a step, to ten thousand times the last step's, in a run that
    stands still for as long and is no better than the best that is known to need no inputs.
    """
    grows = s.time_slope > _SLOPE_EXPLODING and s.time_ratio > _TIME_RATIO_EXPLODING
    if grows and s.stalled_for >= _PLATEAU and not (s.knows_baseline or _may_have_learnt(s)):
        return Finding(
            "exploding",
            "time-growth",
            f"the gradient grows by {s.time_slope:.2f} decades a step back in time,"
            f" {one_digit(s.time_ratio)}-fold; {s.stall}",
        )
    is_fading = s.time_slope < _SLOPE_VANISHING and s.time_ratio < _TIME_RATIO_VANISHING
    if s.stalled_for < _PLATEAU or not is_fading or (not s.knows_baseline and _may_have_learnt(s)):
        return None
    return Finding(
        "vanishing",
        "time",
        f"the gradient falls by {-s.time_slope:.2f} decades a step back in time,"
        f" to {one_digit(s.time_ratio)}; {s.stall}",
    )


def _may_have_learnt(s: Symptoms) -> bool:
    """Whether a run over time whose baseline is not known may have learnt what can be learnt."""
    if not math.isnan(s.uniform):
        return not s.is_a_guess
    return s.beats_constant or s.progress > _BEYOND_NOISE or _has_learnt_at_once(s)


def _has_learnt_at_once(s: Symptoms) -> bool:
    """Whether most of the first loss is gone, where it is not known that this means nothing."""
    return s.learnt_in_all >= _LEARNT_AT_ONCE and not (s.knows_baseline or s.is_a_guess)


def _stuck(s: Symptoms) -> Finding | None:
    """Claims that weights which move by enough to learn have led nowhere, though no layer stands out.

    Evidence: nothing was learnt since the first steps, and the loss is no better than that of a constant
    prediction. A vanishing gradient is by far the most frequent reason, for an adaptive optimizer makes up
    for its size and not for its lost direction. Where it reaches everywhere, and steps are long, they are
    too long. Where it is not known what a constant prediction costs, only steps of a twentieth of the
    weights are evidence, and only of weights that were thrown: some step moved a layer by a tenth, or the
    first steps raised loss and norm. Below a tenth the loss must also be no lower than the very first one:
    anything else may be a floor of noise, which simple models, and optimizers that search along a line, come
    to within the first steps; and small weights tremble by much beside themselves where noise is all there
    is. For the same reason a run that has lost three quarters of its first loss is not meant,
    unless it is known that a uniform guess would be as good.
    """
    may_learn_yet = s.stalled_for < _PLATEAU or s.is_held_back
    has_learnt_at_once = s.learnt_in_all >= (_LEARNT_AT_ONCE if s.knows_baseline else _LEARNT_BLIND)
    if not s.has_moved or may_learn_yet or s.learnt >= _STUCK or (has_learnt_at_once and not s.is_a_guess):
        return None
    evidence = (
        f"weights move by {one_digit(s.typical_update)} a step, and nothing was learnt since the first steps"
    )
    long = _LONG_STEPS if math.isnan(s.time_ratio) else _LONG_STEPS_IN_TIME
    if not s.knows_baseline and s.learnt_in_all >= _STUCK and s.typical_update < _HOT:
        return None
    is_long = s.typical_update >= (long if s.knows_baseline else _LONG_STEPS_BLIND)
    if is_long and s.reaches_everywhere and (s.knows_baseline or s.has_thrown):
        return Finding("exploding", "overshoot", f"{evidence}; {s.stall}")
    if not s.knows_baseline:
        return None
    return Finding("vanishing", "stuck", f"{evidence}; {s.stall}")
