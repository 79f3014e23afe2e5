"""A reply on its way out of a chain in which an after reads the whole body: such an after may wait.

The body is decoded first, then the afters run in their order, each when the one before is done; what may wait is
`Built.after` of a kind whose `reply_stage` is BODY. A chain without such steps never comes here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.core import bodies
from gateway.core.coding import CodingRefused
from gateway.core.errors import InternalError, Problem, Unavailable
from gateway.core.exchange import Exchange, Reply
from gateway.core.framing_send import bodyless

log: Final = logging.getLogger("gateway")


def render(exchange: Exchange, error: Exception) -> Reply:
    """The reply of a problem; afters find the problem in `Exchange.problem`."""
    if not isinstance(error, Problem):
        log.error("request %s failed in %s", exchange.id, exchange.chain.name, exc_info=error)
        error = InternalError(f"The gateway failed. Its log tells more under the id {exchange.id}.")
    exchange.note(Problem, error)
    try:
        return exchange.chain.render(exchange, error)
    except Exception:
        log.exception("request %s: the renderer of %s failed", exchange.id, exchange.chain.name)
        return Reply(error.status)


def reads(exchange: Exchange) -> bool:
    """Whether an after of this exchange's chain reads the reply's body whole: one whose step was not skipped."""
    chain = exchange.chain
    return chain.collect is not None and bool(chain.readers & ~exchange.skipped)


def reading(exchange: Exchange, reply: Reply) -> bool:
    """The same, of a reply. One that has no body, by its status or to HEAD, is read by nobody; as there would be one
    for another method, what it says of it is weakened."""
    if not reads(exchange):
        return False
    if bodyless(exchange.head.method, reply.status) or reply.body is None:
        exchange.skipped |= exchange.chain.readers
        bodies.disclaim(reply)
        return False
    return bool(exchange.chain.readers & ~exchange.skipped & ((1 << exchange.at) - 1))


class Outgoing:
    """The afters of one exchange, until the reply is `send`."""

    __slots__ = ("_at", "_exchange", "_reply", "_send", "_waiting")

    def __init__(self, exchange: Exchange, reply: Reply, send: Callable[[Exchange, Reply], None]) -> None:
        self._exchange = exchange
        self._reply = reply
        self._send = send
        self._at = 0
        self._waiting: asyncio.Future[Any] | None = None

    def go(self) -> None:
        """Begins."""
        exchange = self._exchange
        try:
            later = bodies.decode_reply(exchange, self._reply, exchange.chain.collect or 0)
        except Problem as problem:
            self._reply = render(exchange, problem)
        else:
            if later is not None:
                self._wait(later, self._decoded)
                return
        self._run()

    def refuse(self, error: Exception) -> None:
        """The exchange fails while an after waits: the problem takes the reply's place."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._reply = render(self._exchange, error)
        self._run()

    def _run(self) -> None:
        exchange = self._exchange
        afters, passed, skipped = exchange.chain.afters, exchange.at, exchange.skipped
        while self._at < len(afters):
            index, after = afters[self._at]
            self._at += 1
            if index < passed and not skipped >> index & 1:
                try:
                    waiting = after(exchange, self._reply)
                except Exception as error:
                    self._reply = render(exchange, error)
                    continue
                if waiting is not None:
                    self._wait(waiting, _nothing)
                    return
        if exchange.notes is not None:
            exchange.notes.pop(Outgoing, None)
        exchange.started = True
        exchange.status = self._reply.status
        self._send(exchange, self._reply)

    def _wait(self, waiting: Awaitable[Any], then: Callable[[Any], None]) -> None:
        exchange = self._exchange
        self._waiting = future = asyncio.ensure_future(waiting)
        if exchange.notes is None or Outgoing not in exchange.notes:
            exchange.note(Outgoing, self)
            exchange.on_close(_forget)
        future.add_done_callback(lambda done: self._resumed(done, then))

    def _resumed(self, done: asyncio.Future[Any], then: Callable[[Any], None]) -> None:
        error = _error(done)
        if done is not self._waiting or self._exchange.done:
            return
        self._waiting = None
        if error is None:
            then(done.result())
        else:
            self._reply = render(self._exchange, error)
        self._run()

    def _decoded(self, body: bytes) -> None:
        bodies.replace_reply(self._reply, body, None)

    def close(self) -> None:
        """The client has gone."""
        if self._waiting is not None:
            self._waiting.cancel()


def _error(done: asyncio.Future[Any]) -> Exception | None:
    """What became of a wait; asked always, as an error that nobody asks for is logged."""
    if done.cancelled():
        return Unavailable("The work was cancelled before it ended.")
    error = done.exception()
    if isinstance(error, CodingRefused):
        return bodies.reply_problem(error)
    return error if error is None or isinstance(error, Exception) else InternalError(type(error).__name__)


def _nothing(_result: Any) -> None:
    """An after has done its work on the reply itself."""


def _forget(exchange: Exchange) -> None:
    outgoing = exchange.notes.pop(Outgoing, None) if exchange.notes is not None else None
    if outgoing is not None:
        outgoing.close()
