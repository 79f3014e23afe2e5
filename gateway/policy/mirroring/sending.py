"""Where copies of requests go: a URL, a backend of the version, another version of the component or its canary.

A URL and a backend get what the original's backend got: the request as the steps left it. A version gets the request as
it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from gateway.core import headers
from gateway.core.chain import Chain
from gateway.core.discarding import Discarding
from gateway.core.errors import Problem
from gateway.core.exchange import Edits, Exchange, Head, Reply
from gateway.policy.mirroring.copy import Copy, Send
from gateway.policy.mirroring.mark import MARK
from gateway.relay import hygiene
from gateway.relay.outside import Outside

_FAILED: Final = object()  # key of a note: a backend gave no answer at all


def to_url(outside: Outside, url: str) -> Send:
    """The request as the backend got it, to another one."""
    before = url.rstrip("/")

    def send(copy: Copy, exchange: Exchange, body: bytes) -> None:
        mirroring, edits = copy.mirroring, exchange.edited
        path = exchange.head.path if edits is None or edits.path is None else edits.path
        query = mirroring.onward.query(exchange, _query(exchange))
        target = before + (path + (b"?" + query if query else b"")).decode("latin-1")
        raw = hygiene.request_head(exchange, b"/", b"", len(body))
        fields = mirroring.onward.fields(exchange, headers.parse(raw[raw.index(b"\r\n") : -4]))
        fields.append((MARK, mirroring.marker.value()))
        task = asyncio.get_running_loop().create_task(
            _fetch(copy, outside, exchange.head.method.decode(), target, fields, body)
        )
        mirroring.running.add(task)
        task.add_done_callback(mirroring.running.discard)

    return send


def _query(exchange: Exchange) -> bytes:
    edits = exchange.edited
    return exchange.head.query if edits is None or edits.query is None else edits.query


async def _fetch(copy: Copy, outside: Outside, method: str, target: str, fields: headers.Fields, body: bytes) -> None:
    mirroring = copy.mirroring
    begun = mirroring.clock.monotonic()
    try:
        found = await outside.discard(method, target, fields=fields, body=body, timeout=mirroring.timeout)
    except Problem:
        copy.dropped("failed")
    except BaseException:
        copy.dropped("failed")
        raise
    else:
        copy.compared(found.status, found.at - begun)
        copy.release()


Found = tuple[Chain, tuple[bytes, ...]]


def to_backend(connection: Any) -> Send:
    """To a backend of the version, by the relay's own way there: a relay's copy at the path that its backend got, that
    of a call at the client's path."""

    def send(copy: Copy, exchange: Exchange, body: bytes) -> None:
        original, onward = exchange.chain, copy.mirroring.onward
        chain = Chain(
            f"{original.name} mirror",
            (connection.relay(*original.relayed, False),),
            _failing,
            conceals=original.conceals,
            facts=original.facts,
        )
        edits = _edits(copy, exchange)
        head = exchange.head.with_block(headers.block(onward.fields(exchange, exchange.head.fields)), len(body))
        _soon(copy, exchange, lambda: _run(copy, exchange, head, body, (chain, exchange.params), edits))

    return send


def _edits(copy: Copy, exchange: Exchange) -> Edits:
    given, onward, edits = exchange.edited, copy.mirroring.onward, Edits()
    if given is not None:
        edits.drop, edits.path = given.drop, given.path
        edits.add = headers.block(onward.fields(exchange, headers.parse(given.add)))
    edits.add += copy.mirroring.marker.line()
    edits.query = onward.query(exchange, _query(exchange))
    return edits


def _failing(exchange: Exchange, _problem: Problem) -> Reply:
    """The backend could not be asked: that is no answer which could be compared."""
    exchange.note(_FAILED, True)
    return Reply(502)


def to_version(name: str) -> Send:
    """The request as it came, through the chain of another version, or of the canary."""

    def send(copy: Copy, exchange: Exchange, body: bytes) -> None:
        if exchange.replaced:
            copy.dropped("changed")  # the other version's chain would change it once more
            return
        found = _find(name, exchange)
        drop = headers.dropper(copy.mirroring.onward.names(exchange))
        line = copy.mirroring.marker.line()
        edits = Edits()
        edits.add = line  # what clients say of copies reaches no backend
        head = exchange.head.with_block(drop(exchange.head.block) + line, len(body))

        def go() -> None:
            if found is None:
                copy.dropped("not_found")
            elif found[0].facts.get("revision") == exchange.chain.facts.get("revision"):
                copy.release()  # the canary's own requests
            else:
                _run(copy, exchange, head, body, found, edits)

        _soon(copy, exchange, go)

    return send


def _find(name: str, exchange: Exchange) -> Found | None:
    router: Any = exchange.router
    identity = exchange.identity
    found: Found | None = router.copy(name, exchange.head, None if identity is None else identity.plan)
    return found


def _soon(copy: Copy, exchange: Exchange, go: Callable[[], None]) -> None:
    """Behind the client's reply. The router is held until then: the original's own end may be the last on it."""
    router = exchange.router
    if router is not None:
        router.enter()

    def leaving() -> None:
        try:
            go()
        finally:
            if router is not None:
                router.leave()

    asyncio.get_running_loop().call_soon(leaving)


def _run(copy: Copy, exchange: Exchange, head: Head, body: bytes, found: Found, edits: Edits) -> None:
    mirroring = copy.mirroring
    told: list[int] = []
    begun = mirroring.clock.monotonic()

    def answered(status: int) -> None:
        told.append(status)
        if not wire.has(_FAILED):
            copy.compared(status, mirroring.clock.monotonic() - begun)

    def ended() -> None:
        mirroring.running.discard(wire)
        if not told:
            copy.dropped("late")
        elif wire.has(_FAILED):
            copy.dropped("failed")
        else:
            copy.release()

    wire = Discarding(answered, ended)
    mirroring.running.add(wire)
    wire.go(exchange, head, body, found, exchange.identity, mirroring.timeout, edits)
