"""Who hears of audit entries once the store has them: one list of hooks for a store's commits and its staging."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from gateway.store.store import Value

log: Final = logging.getLogger("gateway.store")

Hook = Callable[[int, Value], None]
"""Gets the sequence of a commit and its audit entry, after the store has both."""


class Hooks:
    def __init__(self) -> None:
        self._hooks: list[Hook] = []

    def add(self, hook: Hook) -> None:
        self._hooks.append(hook)

    def tell(self, sequence: int, audit: Value | None) -> None:
        """A hook that fails undoes nothing: what it is told of holds already."""
        if audit is None:
            return
        for hook in self._hooks:
            try:
                hook(sequence, audit)
            except Exception:
                log.exception("a hook on the audit failed at sequence %d", sequence)
