"""Decisions that are kept for a short time, by the parts of a request that they depend on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.core.exchange import Exchange
from gateway.core.headers import finder, line
from gateway.core.identity import Identity
from gateway.policy.decisions.answer import Decision

Part = Callable[[Exchange], Any]
HEADER: Final = "header:"


def _of_identity(read: Callable[[Identity], Any]) -> Part:
    return lambda exchange: None if exchange.identity is None else read(exchange.identity)


_PARTS: Final[Mapping[str, Part]] = {
    "method": lambda exchange: exchange.head.method,
    "path": lambda exchange: exchange.head.path,
    "query": lambda exchange: exchange.head.query,
    "client": lambda exchange: exchange.head.peer.client,
    "subject": _of_identity(lambda identity: (identity.method, identity.subject)),
    "application": _of_identity(lambda identity: identity.application),
    "plan": _of_identity(lambda identity: identity.plan),
    "credential": _of_identity(lambda identity: identity.credential),
    "scopes": _of_identity(lambda identity: identity.scopes),
    "roles": _of_identity(lambda identity: identity.roles),
}


def known_parts(by: tuple[str, ...]) -> None:
    """ValueError names one that is no part of a request."""
    for each in by:
        if each.startswith(HEADER):
            line(each.removeprefix(HEADER).encode("ascii", "replace"), b"")
        elif each not in _PARTS:
            raise ValueError(
                f"`{each}` is nothing to tell answers apart by; there are {', '.join(_PARTS)}, header:NAME"
            )


def key_reader(by: tuple[str, ...]) -> Part:
    """What tells answers apart: these parts, and always the endpoint and the operation that runs."""
    parts = [_header(each.removeprefix(HEADER)) if each.startswith(HEADER) else _PARTS[each] for each in by]

    def key(exchange: Exchange) -> Any:
        facts = exchange.chain.facts
        return (facts.get("endpoint"), facts.get("operation"), *(part(exchange) for part in parts))

    return key


def _header(name: str) -> Part:
    find = finder(name.lower().encode())
    return lambda exchange: tuple(find(exchange.head.block))


class Cache:
    """At most `most`, each for `ttl` seconds; the one that was kept longest ago makes room."""

    def __init__(self, ttl: float, most: int, now: Callable[[], float]) -> None:
        self._ttl, self._most, self._now = ttl, most, now
        self._kept: OrderedDict[Any, tuple[float, Decision]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Any) -> Decision | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._now() < kept[0]:
            return kept[1]
        del self._kept[key]
        return None

    def keep(self, key: Any, decision: Decision) -> None:
        self._kept[key] = self._now() + self._ttl, decision
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
