"""The chain of what happens to the gradients of a step, link by link, with the norm after each.

They act in the order of `vgrad.controls.catalog.CONTROLS`: finite check -> freeze -> detection ->
accumulation as printed -> centralise -> normalise -> Ω -> clip -> noise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.controls.capabilities import NEEDS_DENSE
from vgrad.controls.catalog import CONTROLS, label
from vgrad.events.step_record import ChainLink
from vgrad.methods.freeze import Freeze
from vgrad.methods.omega import Omega
from vgrad.methods.precision import Float16
from vgrad.methods.skip_non_finite import SkipNonFinite
from vgrad.methods.transform import GradTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from vgrad.controls.controls import Controls
    from vgrad.gradients.grads import Grads
    from vgrad.gradients.layers import Layers
    from vgrad.gradients.norms import NormPlan


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain.

    Attributes:
        control: Name of the control that put it there.
        label: What it is called: ``"clip norm 1"``.
        value: The control's value.
    """

    control: str
    label: str
    value: object


def find_links(controls: Controls) -> tuple[Link, ...]:
    """The links that ``controls`` ask for, in the order in which they act."""
    links = []
    for name in CONTROLS:
        value = getattr(controls, name)
        if name == "skip_non_finite" and isinstance(controls.precision, Float16):
            value = value or SkipNonFinite()  # an overflow is how a loss scale shows that it is too large
        # All else that a control may hold is carried out elsewhere, such as in the accumulation window.
        if isinstance(value, GradTransform | Freeze | Omega | SkipNonFinite):
            links.append(Link(name, label(name, value), value))
    return tuple(links)


class Chain:
    """Runs the links on a step's gradients.

    Args:
        layers: The model's layers, for the names that `Freeze` matches.
        seed: Seed of the run; each random link draws from a generator of its own.

    Attributes:
        links: What is in force.
        names: The same, as step records name it.
        watch_s: Seconds that reading the norms between the links took in the last run.
        skipped: Whether the last run dropped its step.
        set_aside: Parameters whose ``grad`` the last run set to None, each with the gradient.
        dropped: Controls whose link the last run could not carry out and left out, each with the reason.
    """

    def __init__(self, layers: Layers, seed: int) -> None:
        self.links: tuple[Link, ...] = ()
        self.names: tuple[ChainLink, ...] = ()
        self.watch_s = 0.0
        self.skipped = False
        self.set_aside: list[tuple[nn.Parameter, Tensor | None]] = []
        self.dropped: list[tuple[str, str]] = []
        self._layers = layers
        self._seed = seed
        self._frozen: frozenset[nn.Parameter] = frozenset()
        # Whose gradients were left, and the plan that reads them: made once, used every step.
        self._free: tuple[list[int], NormPlan | None] = ([], None)
        # By control, with the class that it belongs to: a changed threshold keeps it.
        self._memories: dict[str, tuple[type, Any]] = {}

    def set(self, controls: Controls) -> None:
        """Put the links of ``controls`` in force.

        Raises:
            ConfigError: If a frozen layer does not exist, or all would be frozen.
        """
        frozen: frozenset[nn.Parameter] = frozenset()
        if controls.freeze is not None:
            indices = controls.freeze.matching(self._layers.names)
            frozen = frozenset(param for index in indices for param in self._layers.params_of(index))
        self._frozen = frozen
        self._free = [], None
        self.links = find_links(controls)
        self.names = tuple(ChainLink(link.control, link.label) for link in self.links)
        kept = {link.control: type(link.value) for link in self.links}
        self._memories = {
            name: (kind, memory) for name, (kind, memory) in self._memories.items() if kept.get(name) is kind
        }

    def capture(self) -> dict[str, Any]:
        """Return the seed and what every link has learned, by control; tensors are not copied."""
        return {
            "seed": self._seed,
            "memories": {
                link.control: link.value.capture(self._memories[link.control][1])
                for link in self.links
                if isinstance(link.value, GradTransform) and link.control in self._memories
            },
        }

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned. The same controls must have been `set`.

        Raises:
            ValueError: If a memory is not one of the link that is in force.
        """
        transforms = {link.control: link.value for link in self.links}
        device = self._layers.params[0].device
        memories: dict[str, tuple[type, Any]] = {}
        for control, memory in captured["memories"].items():
            transform = transforms.get(control)
            if not isinstance(transform, GradTransform):
                raise ValueError(f"there is a memory for {control}, which is not in force")  # noqa: TRY004
            memories[control] = type(transform), transform.restore(memory, device=device)
        self._seed, self._memories = captured["seed"], memories

    def run_(self, grads: Grads, *, step: int) -> list[Tensor]:
        """Change ``grads`` in place and in ``p.grad``.

        Returns:
            Joint norm after each link, 0-d, on the gradients' device. A step that is dropped ends
            with a norm of 0, and so do the links after it.
        """
        self.watch_s = 0.0
        self.skipped = False
        self.set_aside = []
        norms: list[Tensor] = []
        for link in self.links:
            if not self.skipped:
                grads = self._apply_(link, grads, step)
            begin = time.perf_counter()
            norm = grads.norm()
            norms.append(norm.new_zeros(()) if self.skipped else norm)
            self.watch_s += time.perf_counter() - begin
        return norms

    def _apply_(self, link: Link, grads: Grads, step: int) -> Grads:
        match link.value:
            case SkipNonFinite():
                if not bool(grads.all_finite()):
                    self.skipped = True
                    self._set_aside_(grads.params)  # and the optimizer does nothing at all
            case Freeze():
                return self._without_frozen(grads)
            case Omega(alpha=alpha):
                grads.add_extras_(alpha)
            case GradTransform() as transform:
                if grads.has_sparse and transform.needs_dense:
                    self.dropped.append((link.control, f"{link.label}: {why_not_dense(grads.params)}"))
                    return grads
                try:
                    transform.apply_(grads, self._memory(link, transform, grads), step=step)
                except Exception as error:  # noqa: BLE001  # an accepted control must not end a run
                    # As torch raises for gradients that cannot be written to, such as expanded ones.
                    self.dropped.append((link.control, f"{link.label}: {error}"))
                    grads.forget_norms()
        return grads

    def put_back_(self) -> None:
        """Give the parameters the gradients again that were set aside for the step."""
        for param, grad in self.set_aside:
            if param.grad is None:
                param.grad = grad
        self.set_aside = []

    def _set_aside_(self, params: Iterable[nn.Parameter]) -> None:
        for param in params:
            if param.grad is not None:
                self.set_aside.append((param, param.grad))
                param.grad = None

    def _memory(self, link: Link, transform: GradTransform, grads: Grads) -> Any:
        if link.control not in self._memories:
            memory = transform.start(grads, seed=self._seed)
            self._memories[link.control] = (type(transform), memory)
        return self._memories[link.control][1]

    def _without_frozen(self, grads: Grads) -> Grads:
        keep = [index for index, param in enumerate(grads.params) if param not in self._frozen]
        self._set_aside_(param for param in grads.params if param in self._frozen)
        free = [id(grads.params[index]) for index in keep]
        known, plan = self._free
        rest, plan = grads.subset(keep, plan if free == known else None)
        self._free = free, plan
        return rest


def why_not_dense(params: Iterable[nn.Parameter]) -> str:
    """Why a method that needs all entries of a dense gradient cannot be used on ``params``."""
    is_complex = any(param.is_complex() for param in params)
    return "cannot be used on complex parameters" if is_complex else NEEDS_DENSE
