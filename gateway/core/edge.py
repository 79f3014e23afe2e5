"""How an exchange begins and ends, the same for every wire: router, chain, close, observer."""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson

from gateway.core.chain import Chain, close, fail
from gateway.core.errors import REQUEST_PREFIX, TYPE_PREFIX, Problem
from gateway.core.exchange import Exchange, Head, Reply, Wire
from gateway.core.live import LiveCell

log: Final = logging.getLogger("gateway")


def begin(live: LiveCell, head: Head, wire: Wire) -> Exchange:
    """An exchange on the chain that the router finds; `core.chain.run` starts it."""
    router = live.current
    chain, params = router.find(head)
    exchange = Exchange(live.ids(), head, wire, chain, live.clock.monotonic())
    exchange.params = params
    exchange.router = router
    live.due -= 1
    if live.due < 0:
        live.sample(exchange)
    router.enter()
    live.running += 1
    return exchange


def refused(live: LiveCell, wire: Wire, method: bytes = b"-") -> Exchange:
    """The exchange of a message that could not be read: `core.chain.fail` answers it."""
    return Exchange(live.ids(), Head(method, b"-"), wire, _REFUSING, live.clock.monotonic())


def refuse(live: LiveCell, wire: Wire, problem: Exception) -> None:
    """Answers a message that could not be read."""
    fail(refused(live, wire), problem)


def finish(live: LiveCell, exchange: Exchange) -> None:
    """The last byte, the cut or the client's end: closes once, tells the observer, leaves the router. A sink that is
    still there hears that it is over."""
    if exchange.done:
        return
    if exchange.closers is None:
        exchange.done = True
    else:
        close(exchange)
    sink, exchange.sink = exchange.sink, None
    if sink is not None:
        sink.client_gone()
    exchange.ended_at = live.clock.monotonic()
    try:
        live.observe(exchange)
    except Exception:
        log.exception("request %s could not be observed", exchange.id)
    if exchange.router is not None:
        live.running -= 1
        exchange.router.leave()


def problem_details(exchange: Exchange, problem: Problem) -> Reply:
    """RFC 9457, without a frontend: for messages that no endpoint saw. The members are those that frontends write."""
    document: dict[str, Any] = {"type": TYPE_PREFIX + problem.code, "title": problem.title, "status": problem.status}
    if problem.detail:
        document["detail"] = problem.detail
    document |= {"instance": REQUEST_PREFIX + exchange.id, "code": problem.code, "id": exchange.id}
    fields = [(b"Content-Type", b"application/problem+json"), *problem.headers]
    return Reply(problem.status, fields, orjson.dumps(document))


_REFUSING: Final = Chain("", (), problem_details)
