"""`?dry_run=true`: a write is checked as always, and nothing is written. What it would do is told instead.

A trial belongs to one request (a context variable): commits of the service's store are looked at and not made, and
what is published is compiled and not proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, cast

from gateway.store.memory import conflict
from gateway.store.store import (
    APPLICATIONS,
    CREDENTIALS,
    KEYS,
    SIGNING_KEYS,
    SUBSCRIPTIONS,
    TOKENS,
    Store,
    Value,
    Write,
)

KIND_OF: Final = {
    APPLICATIONS: "Application",
    SUBSCRIPTIONS: "Subscription",
    KEYS: "Key",
    CREDENTIALS: "Credential",
    TOKENS: "Token",
    SIGNING_KEYS: "SigningKey",
}
_UNNAMED: Final = {KEYS, TOKENS, SIGNING_KEYS}  # a new one's id comes with its secret, of which there is none yet


@dataclass
class Trial:
    """`told` is what publishing tells, or `items` are what commits would have done."""

    items: list[dict[str, str]] = field(default_factory=list)
    told: dict[str, Any] | None = None

    def answer(self) -> dict[str, Any]:
        nothing: dict[str, Any] = {"breaking": [], "touched": [], "sequence": None, "snapshot": None, "live": []}
        return self.told or {"items": self.items, **nothing}


_trial: Final[ContextVar[Trial | None]] = ContextVar("trial", default=None)


def trial() -> Trial | None:
    """That of the request that is answered here; None: it is meant."""
    return _trial.get()


@contextmanager
def trying() -> Iterator[Trial]:
    made = Trial()
    token = _trial.set(made)
    try:
        yield made
    finally:
        _trial.reset(token)


class _Tried:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[Write], audit: Value | None = None) -> int:
        """As that of the store; in a trial the expectations are looked at, and nothing is written."""
        now = _trial.get()
        if now is None:
            return await self._store.commit(writes, audit)
        for write in writes:
            record = await self._store.get(write.table, write.key)
            found = record.version if record else 0
            if write.expect is not None and write.expect != found:
                raise conflict(write, found)
            if write.table in KIND_OF:
                now.items.append(_item(write, found))
        return await self._store.sequence()


def _item(write: Write, found: int) -> dict[str, str]:
    action = "delete" if write.value is None else "update" if found else "create"
    name = "" if action == "create" and write.table in _UNNAMED else write.key
    return {"kind": KIND_OF[write.table], "name": name, "action": action, "detail": ""}


def tried(store: Store) -> Store:
    """The store, with commits that a trial only looks at."""
    return cast(Store, _Tried(store))
