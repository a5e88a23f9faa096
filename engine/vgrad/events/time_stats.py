"""The gradient through time of a recurrent model, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32s = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TimeStats:
    """The gradient through time of a recurrent model, as measured last.

    Attributes:
        step: Step after which it was measured.
        norms: ‖dE/dh_t‖ per recurrent layer and time step, L2 over batch and units, float32 of shape
            ``(num_layers, seq_len)``; time step 0 reads the first input. In a loop that is not vgrad's,
            ‖dE/dx_t‖ at the inputs of the recurrent layer where it fades most.
        slope: Slope of its log10 per step backwards, in the last layer; NaN: undetermined.
        ratio: That of the first time step over that of the last; NaN: undetermined.
        spectral_radius: Largest |eigenvalue| of the recurrent matrices; NaN: not known.
        names: Names of the recurrent matrices.
    """

    step: int
    norms: Float32s
    slope: float
    ratio: float
    spectral_radius: float
    names: tuple[str, ...]
