"""Re-initialising the weights in mid-run, and undoing it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError
from vgrad.train.current_optimizer import Memory
from vgrad.train.init_weights import reinit_
from vgrad.train.model_state import put_tensors_, tensors_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from vgrad.train.current_optimizer import CurrentOptimizer

MOST_UNDONE = 4  # each keeps a copy of all weights and of the optimizer's state


@dataclass(frozen=True, slots=True, eq=False)
class _Replaced:
    """What a re-initialisation replaced.

    Attributes:
        tensors: Every parameter and buffer of the model, by name: modules also reset what they count, such as
            the statistics of batch norm, and parameters that are not trained.
        memory: What the optimizer remembered.
    """

    tensors: dict[str, Tensor]
    memory: Memory


class Reinits:
    """Re-initialises the weights; each undo goes one re-initialisation back.

    Args:
        model: Whose weights they are.
        optimizer: Whose memory belongs to the weights, and is cleared and brought back with them.
        seed: Seed of the run: together with the step it decides what is drawn.
    """

    def __init__(self, model: nn.Module, optimizer: CurrentOptimizer, *, seed: int) -> None:
        self._model = model
        self._optimizer = optimizer
        self._seed = seed
        self._replaced: deque[_Replaced] = deque(maxlen=MOST_UNDONE)
        self._num_forgotten = 0

    def reinit_(self, scheme: str, *, step: int) -> None:
        """Draw new weights by ``scheme``, after step number ``step``, and clear the optimizer's memory.

        Raises:
            ConfigError: If the model has nothing that the scheme could draw, or one of its modules fails to
                draw its weights; nothing is changed then.
        """
        tensors = {name: tensor.clone() for name, tensor in tensors_of(self._model).items()}
        try:
            reinit_(self._model, scheme, seed=self._seed + step)
        except Exception as error:
            put_tensors_(self._model, tensors)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"this model cannot be re-initialised: {type(error).__name__}: {error}"
            ) from error
        self._num_forgotten += len(self._replaced) == MOST_UNDONE
        self._replaced.append(_Replaced(tensors, self._optimizer.memory()))
        self._optimizer.forget()

    def undo_(self) -> None:
        """Bring back what the last re-initialisation replaced that has not been undone.

        Raises:
            ConfigError: If there is none, or it was too many re-initialisations ago.
        """
        if not self._replaced:
            if self._num_forgotten:
                raise ConfigError(f"only the last {MOST_UNDONE} re-initialisations can be undone")
            raise ConfigError("there is no re-initialisation to undo")
        replaced = self._replaced.pop()
        put_tensors_(self._model, replaced.tensors)
        self._optimizer.remember(replaced.memory)

    def capture(self) -> dict[str, Any]:
        """Return the seed and what can be undone, oldest first; tensors are not copied."""
        return {
            "seed": self._seed,
            "num_forgotten": self._num_forgotten,
            "replaced": [
                {"tensors": each.tensors, "choice": each.memory.choice, "memory": each.memory.state}
                for each in self._replaced
            ],
        }

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned, and keep its tensors."""
        self._seed, self._num_forgotten = captured["seed"], captured["num_forgotten"]
        replaced = [
            _Replaced(each["tensors"], Memory(each["choice"], each["memory"]))
            for each in captured["replaced"]
        ]
        self._replaced = deque(replaced, maxlen=MOST_UNDONE)
