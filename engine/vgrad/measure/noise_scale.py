"""The gradient noise scale: the batch size up to which more samples per step are worth their cost."""

from __future__ import annotations

import math

from vgrad.validation import decay_rate

MIN_OBSERVATIONS = 20
"""Steps before a value is given. Each alone is so noisy that it may come out negative."""


class NoiseScale:
    """Estimates ``B_simple = tr(Σ) / |G|²`` from the microbatches of accumulation windows.

    ``G`` is the true gradient and ``Σ`` the covariance of one sample's. Squared norms of means
    over few and over many samples differ by the noise alone, which separates the two. Numerator
    and denominator are averaged over steps, each by itself: the mean of their ratios is biased.

    Batches far below the noise scale are mostly noise, and doubling them nearly halves the steps
    needed; far above it, more samples bring next to nothing. It grows while the loss falls.

    Args:
        decay: Share of the averages that a new step keeps, in [0, 1); .99 looks back some 100 steps.

    Attributes:
        num_observations: Steps taken into account.

    Raises:
        ConfigError: If ``decay`` is out of range.

    Source:
        McCandlish, Kaplan, Amodei et al. 2018, arXiv:1812.06162, eq. 2.9 and appendix A.1.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.num_observations = 0
        self._decay = decay_rate("decay", decay)
        # Exponential averages that started at 0; the same correction is due to both.
        self._gradient_sq = 0.0
        self._trace = 0.0

    @property
    def gradient_sq(self) -> float:
        """Estimate of ``|G|²``; NaN before the first observation, and possibly negative: it is noisy."""
        return self._corrected(self._gradient_sq)

    @property
    def trace(self) -> float:
        """Estimate of ``tr(Σ)``, of one sample; NaN before the first observation."""
        return self._corrected(self._trace)

    def observe(
        self, micro_sq_mean: float, mean_sq: float, num_microbatches: int, samples_per_microbatch: int
    ) -> None:
        """Take the gradients of one optimizer step into account, before any transform.

        A single microbatch says nothing about noise, and non-finite norms say nothing at all:
        such steps are left out.

        Args:
            micro_sq_mean: Mean over the microbatches of their gradients' squared norm.
            mean_sq: Squared norm of the mean of these gradients.
            num_microbatches: ``k``; microbatches in the step, of equal size.
            samples_per_microbatch: ``b``; independent samples in each.
        """
        if num_microbatches < 2 or not (math.isfinite(micro_sq_mean) and math.isfinite(mean_sq)):
            return
        # E|g_b|² = |G|² + tr(Σ)/b, for b samples and for k b: two equations, solved.
        k, b = num_microbatches, samples_per_microbatch
        gradient_sq = (k * mean_sq - micro_sq_mean) / (k - 1)
        trace = (micro_sq_mean - mean_sq) * b * k / (k - 1)
        self.num_observations += 1
        self._gradient_sq += (1.0 - self._decay) * (gradient_sq - self._gradient_sq)
        self._trace += (1.0 - self._decay) * (trace - self._trace)

    def value(self) -> float:
        """Return the noise scale in samples; NaN while it is undetermined.

        That is after fewer than `MIN_OBSERVATIONS` observations, and where an estimate of ``|G|²``
        or ``tr(Σ)`` is not positive: the noise then drowns the gradient, and more steps or more
        microbatches are needed.
        """
        if self.num_observations < MIN_OBSERVATIONS or self._gradient_sq <= 0 or self._trace <= 0:
            return math.nan
        return self._trace / self._gradient_sq

    def _corrected(self, average: float) -> float:
        if not self.num_observations:
            return math.nan
        return average / (1.0 - self._decay**self.num_observations)
