"""Keys that are pressed while the run is still being prepared are carried out when its training begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad_tui.app.view_actions import ViewActions
from vgrad_tui.keys import KEYS, STEERING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.actions import ActionParseResult
    from textual.dom import DOMNode

_WORDS = {key.action: key.words for key in KEYS}


class TypeAhead(ViewActions):
    """Keeps the actions that need a run until there is one.

    The action is kept, not its command: what a key asks for depends on the controls that the run begins with.
    """

    _waiting: tuple[str, ...] = ()

    @property
    def _is_preparing(self) -> bool:
        return self.state.info is None and self.state.ended is None

    def needs_run(self, action: str | ActionParseResult) -> bool:
        """Whether an action can do nothing before the run has begun."""
        return action in STEERING

    def act(self, action: str) -> None:
        """Do what a key with this action does."""
        self.run_worker(self.run_action(action))

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what a key or a click asks for, or keep it until the run has begun."""
        if not (self._is_preparing and isinstance(action, str) and self.needs_run(action)):
            return await super().run_action(action, default_namespace, namespaces)
        self._waiting += (action,)
        self.notify(f"{_WORDS[action]}: as soon as training begins", timeout=4)
        return True

    def do_what_waited(self) -> None:
        """Do, in their order, what was asked for before the run had begun, if it has by now."""
        if self._is_preparing:
            return
        actions, self._waiting = self._waiting, ()
        for action in actions:
            self.act(action)
