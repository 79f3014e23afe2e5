"""What a decision service is told of a request.

    {"request": {"id", "method", "path", "query", "host", "scheme", "client", "headers": {name: value}},
     "identity": {"subject", "method", "application", "plan", "credential", "scopes", "roles", "claims"} or null,
     "api", "version", "operation", "endpoint"}

Of headers and claims those that the step names; of credentials their id alone. A credential that an authenticating step
has taken out of the query is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.core.exchange import Exchange
from gateway.core.headers import finder
from gateway.core.identity import Identity
from gateway.core.kinds import Site


def asker(names: tuple[str, ...], claims: tuple[str, ...], site: Site) -> Callable[[Exchange], bytes]:
    find = [(name.lower(), finder(name.lower().encode())) for name in names]
    component, version = site.component, site.version

    def question(exchange: Exchange) -> bytes:
        facts = exchange.chain.facts
        return orjson.dumps(
            {
                "request": _request(exchange, find),
                "identity": _identity(exchange.identity, claims),
                "api": component,
                "version": version,
                "operation": facts.get("operation", ""),
                "endpoint": facts.get("endpoint", ""),
            },
            default=str,
        )

    return question


def _request(exchange: Exchange, find: list[tuple[str, Callable[[bytes], list[bytes]]]]) -> dict[str, Any]:
    head, edits = exchange.head, exchange.edited
    query = head.query if edits is None or edits.query is None else edits.query
    told = {name: b", ".join(values) for name, values in ((name, each(head.block)) for name, each in find) if values}
    return {
        "id": exchange.id,
        "method": _text(head.method),
        "path": _text(head.path),
        "query": _text(query),
        "host": _text(head.host),
        "scheme": head.peer.scheme,
        "client": head.peer.client,
        "headers": {name: _text(value) for name, value in told.items()},
    }


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _identity(identity: Identity | None, claims: tuple[str, ...]) -> dict[str, Any] | None:
    if identity is None:
        return None
    chosen = {name: identity.claims[name] for name in claims if name in identity.claims}
    return {**identity.told(), "claims": chosen}
