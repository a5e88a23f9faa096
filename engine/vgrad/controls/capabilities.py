"""What one run can use, and the reason for everything that it cannot use.

Whoever owns the training loop works this out once: the trainer from its model, a watch from the
gradients that it sees. `vgrad.controls.controls.reduce`, the flags and the screen read the same
answer. Whether two controls go together depends on neither: `vgrad.controls.controls` says that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Control, OneOf, Variant
from vgrad.errors import ConfigError

NEEDS_OWN_LOOP = "needs vgrad's own training loop"
NO_CHECKPOINTS = "needs vgrad's own training loop: a foreign loop has no checkpoints of vgrad's"
NOT_ENDED_BY_COMMAND = (
    "needs vgrad's own training loop: interrupt the script instead, by Q on an attached screen or kill -INT"
)
NEEDS_DENSE = "needs dense gradients: use Embedding(sparse=False)"

_OWN_LOOP_COMMANDS = ("reinit", "undo_reinit", "check_gradients", "pause", "resume", "step_once")
# What people write for the commands whose names are longer.
_SPOKEN = {
    "check_gradients": "check",
    "step_once": "step",
    "undo_reinit": "undo-reinit",
    "resume_run": "resume",
}

# The last two are no commands to a run that is alive, but are done with its record.
_FROM_CHECKPOINTS = ("checkpoint", "rewind", "resume_run", "verify")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a run cannot use.

    Attributes:
        subject: Name of a control, such as ``"clip"``, or of a command, such as ``"check_gradients"``;
            ``"resume_run"`` and ``"verify"`` are what can be done with the record of a run.
        word: The one variant, word or scheme that this is about; empty for all of them.
        reason: Why, as the end of a sentence that begins with the subject.
    """

    subject: str
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one run can use: everything but its refusals.

    The default of a control can always be set: it asks for nothing.

    Attributes:
        refusals: What cannot be used; of two about the same thing the first counts.
    """

    refusals: tuple[Refusal, ...] = ()

    def why_not(self, subject: str, word: str = "") -> str:
        """The reason why ``subject`` cannot be used; empty if it can.

        Args:
            subject: Name of a control or a command.
            word: One variant, word or scheme; without it the question is about the whole subject.
        """
        return next(
            (
                refusal.reason
                for refusal in self.refusals
                if refusal.subject == subject and refusal.word in {"", word}
            ),
            "",
        )

    def without(self, *refusals: Refusal) -> Capabilities:
        """These capabilities with further refusals."""
        return Capabilities((*self.refusals, *refusals))

    def require(self, subject: str, word: str = "") -> None:
        """Check that ``subject`` can be used.

        Raises:
            ConfigError: If it cannot; says why.
        """
        reason = self.why_not(subject, word)
        if reason:
            is_about_word = bool(word) and not self.why_not(subject)
            spoken = _SPOKEN.get(subject, subject)
            raise ConfigError(f"{spoken}{f'={word}' if is_about_word else ''}: {reason}")


EVERYTHING = Capabilities()
"""Nothing is refused."""


def in_any_loop() -> Capabilities:
    """What a watch can use in a training loop that is not vgrad's: the gradients and the learning rate.

    The optimizer and its schedule are the script's own, and so is the order of its steps.
    """
    return Capabilities(
        (
            *(Refusal(control.name, "", NEEDS_OWN_LOOP) for control in CONTROLS.values() if control.own_loop),
            *(
                Refusal(control.name, variant.word, NEEDS_OWN_LOOP)
                for control, variant in _variants()
                if variant.own_loop
            ),
            *(Refusal(command, "", NEEDS_OWN_LOOP) for command in _OWN_LOOP_COMMANDS),
            Refusal("stop", "", NOT_ENDED_BY_COMMAND),
            *(Refusal(subject, "", NO_CHECKPOINTS) for subject in _FROM_CHECKPOINTS),
        )
    )


def without_dense(reason: str = NEEDS_DENSE) -> tuple[Refusal, ...]:
    """Refusals of everything that needs all entries of a gradient, for models with sparse ones."""
    return tuple(
        Refusal(control.name, variant.word, reason)
        for control, variant in _variants()
        if getattr(variant.type, "needs_dense", False)
    )


def _variants() -> Iterator[tuple[Control, Variant]]:
    for control in CONTROLS.values():
        if isinstance(control, OneOf):
            for variant in control.variants.values():
                yield control, variant
