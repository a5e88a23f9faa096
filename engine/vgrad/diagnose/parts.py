"""All that a judge remembers of a run, part by part."""

from __future__ import annotations

import math

from vgrad.diagnose.baseline import BaselineWatch
from vgrad.diagnose.beyond_constant import BeyondConstant
from vgrad.diagnose.control_changes import ControlChanges
from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.gradient_ends import GradientEnds
from vgrad.diagnose.gradient_sums import GradientSums
from vgrad.diagnose.growth import Growth
from vgrad.diagnose.held_finding import HeldFinding
from vgrad.diagnose.layer_activity import LayerActivity
from vgrad.diagnose.losses import LossTrend
from vgrad.diagnose.norm_watch import NormWatch
from vgrad.diagnose.overfitting import Overfitting
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.rates import Rates
from vgrad.diagnose.recovery import Recovery
from vgrad.diagnose.skipped_steps import SkippedSteps
from vgrad.diagnose.step_reach import StepReach
from vgrad.events.run_info import RunInfo


class JudgeParts(JudgePart):
    """Each attribute is a part, and its name is the part's key in a captured state.

    Args:
        info: The run, for the sizes of its layers and for what a constant prediction costs.
    """

    def __init__(self, info: RunInfo) -> None:
        baseline = math.nan if info.baseline is None else info.baseline  # no rule fires on NaN
        self.losses = LossTrend()
        self.activity = LayerActivity(len(info.layers))
        self.ends = GradientEnds(info.layer_sizes)
        self.rates = Rates()
        self.sums = GradientSums()
        self.explosions = ExplosionWatch(is_loss_known=info.baseline is not None)
        self.reach = StepReach(info.layer_sizes)
        self.norms = NormWatch()
        self.growth = Growth()
        self.recovery = Recovery()
        self.baseline = BaselineWatch(baseline)
        self.beyond_constant = BeyondConstant()
        self.overfitting = Overfitting(baseline)
        self.skipped_steps = SkippedSteps()
        self.changes = ControlChanges()
        self.held = HeldFinding()
