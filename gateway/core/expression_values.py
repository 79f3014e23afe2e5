"""What an expression sees of an exchange: only what it names is made for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from gateway.core.conditions import decoded
from gateway.core.exchange import Exchange
from gateway.core.identity import ANONYMOUS, Identity


def reader(names: list[str], text: str) -> Callable[[Exchange], dict[str, Any]]:
    """Only what the expression names is made for it."""
    parts = {name: _PARTS[name] for name in names if name in _PARTS}
    if "request" in parts:
        parts["request"] = _request_reader(text)

    def read(exchange: Exchange) -> dict[str, Any]:
        return {name: part(exchange) for name, part in parts.items()}

    return read


def mark_reader(names: Sequence[str], text: str) -> Callable[[Exchange], tuple[Any, ...]] | None:
    """What tells two exchanges apart for an expression; None where that may be anything, or a secret: header fields,
    queries, arguments. An identity is told by its `id`, which is its own for as long as somebody keeps it."""
    fields = [name for name in _REQUEST if "request" in names and name in text]
    if "arguments" in names or not _SHORT.keys() >= set(fields):
        return None
    read: Callable[[Exchange], Any] = attrgetter(*(_SHORT[name] for name in fields)) if fields else lambda _exchange: ()
    if "operation" in names:
        return lambda exchange: (read(exchange), id(exchange.identity), exchange.chain.facts.get("operation"))
    return lambda exchange: (read(exchange), id(exchange.identity))


def _request_reader(text: str) -> Callable[[Exchange], dict[str, Any]]:
    fields = {name: part for name, part in _REQUEST.items() if name in text}
    return lambda exchange: {name: part(exchange) for name, part in fields.items()}


def _headers(exchange: Exchange) -> dict[str, str]:
    """Repeated ones joined as RFC 9110 section 5.3 says."""
    found: dict[str, str] = {}
    for name, value in exchange.head.fields:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _query(exchange: Exchange) -> dict[str, list[str]]:
    """BadRequest for a query that cannot be decoded."""
    found: dict[str, list[str]] = {}
    for pair in exchange.head.query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            found.setdefault(decoded(name), []).append(decoded(value))
    return found


def _identity(exchange: Exchange) -> dict[str, Any]:
    identity: Identity = exchange.identity or ANONYMOUS
    return {**identity.told(), "claims": plain(identity.claims)}


def _arguments(exchange: Exchange) -> Any:
    if exchange.call is None:
        raise RuntimeError("a step that asks for arguments runs before the call is decoded")
    return plain(exchange.call.input)


def plain(value: Any) -> Any:
    """A canonical value (`schema/types.py`) as CEL has it: dates, times and identifiers as their text."""
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_REQUEST: Final[Mapping[str, Callable[[Exchange], Any]]] = {
    "method": lambda exchange: exchange.head.method.decode("latin-1"),
    "path": lambda exchange: exchange.head.path.decode("latin-1"),
    "host": lambda exchange: exchange.head.host.decode("latin-1"),
    "query": _query,
    "headers": _headers,
    "scheme": lambda exchange: exchange.head.peer.scheme,
    "client": lambda exchange: exchange.head.peer.client,
}

_SHORT: Final[Mapping[str, str]] = {
    "method": "head.method",
    "path": "head.path",
    "host": "head.host",
    "scheme": "head.peer.scheme",
    "client": "head.peer.client",
}

_PARTS: Final[Mapping[str, Callable[[Exchange], Any]]] = {
    "request": _request_reader(" ".join(_REQUEST)),
    "identity": _identity,
    "operation": lambda exchange: exchange.chain.facts.get("operation", ""),
    "arguments": _arguments,
}
