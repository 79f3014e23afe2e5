"""The chain and its loop: the ordered steps of one endpoint, run over an exchange.

Two function types carry the data plane: `Step` on the way in, `After` on the way out. The last step is the relay or
the call. Afters of the steps that passed run once, reversed, on refusals too, so that CORS reaches a 401.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.errors import InternalError, Problem, Unavailable
from gateway.core.exchange import (
    ANSWERING,
    UNDELIVERED,
    After,
    Exchange,
    Renderer,
    Reply,
    Step,
    StepResult,
    Switch,
    Tap,
    Wait,
)
from gateway.core.framing_send import Unsendable
from gateway.core.outgoing import Outgoing, reading, render
from gateway.core.tunnel import End, Tunnel

log: Final = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Chain:
    """Compiled and frozen. `afters` are (step index, after) in the order in which they run. `facts` name the endpoint
    for logs, metrics and conditions: component, version, endpoint, protocol."""

    name: str
    steps: tuple[Step, ...]
    render: Renderer
    afters: tuple[tuple[int, After], ...] = ()
    request_taps: tuple[Tap, ...] = ()
    response_taps: tuple[Tap, ...] = ()
    collect: int | None = None  # an after needs the reply's body: the relay collects up to so many bytes
    readers: int = 0  # a bit per step whose after it is
    conceals: frozenset[bytes] = frozenset()  # request fields that no backend sees, whatever the steps did
    credentials: frozenset[bytes] = frozenset()  # request fields that credentials stand in
    relayed: tuple[str | None, tuple[str, ...]] = (None, ())  # of a relay: the path's template, and its parameters
    facts: Mapping[str, str] = field(default_factory=dict)
    plans: Mapping[str, Chain] = field(default_factory=dict)  # the same chain with a plan's steps
    plan: str | None = None  # whose variant this is
    names: tuple[str, ...] = ()  # of the steps, for metrics and traces
    once: tuple[tuple[int, Step], ...] = ()  # steps that are not run for a copy, and what runs in their place
    dispatches: bool = False  # the last step puts another chain in this one's place


_tasks: set[asyncio.Task[None]] = set()


def run(exchange: Exchange) -> None:
    """Runs or resumes an exchange until it waits or is answered."""
    exchange.resume = _resumed
    trace = exchange.trace
    steps = exchange.chain.steps if trace is None else trace.steps(exchange.chain)
    at = exchange.at
    try:
        while at < len(steps):
            result = steps[at](exchange)
            if result is not None:
                if result is ANSWERING or not _settle(exchange, result):
                    return
                trace = exchange.trace  # a Switch, also one at the end of a Wait, changes the chain, or begins a trace
                steps = exchange.chain.steps if trace is None else trace.steps(exchange.chain)
            exchange.at = at = at + 1
    except Exception as error:
        fail(exchange, error)
        return
    fail(exchange, InternalError("The endpoint's chain ended without a reply."))


def _settle(exchange: Exchange, result: Any) -> bool:
    """Deals with what a step returned; True when the loop goes on behind the step."""
    while isinstance(result, Wait):
        if result.value is UNDELIVERED:
            result.armed = True
            return False
        result = result.then(exchange, result.value)
    if result is ANSWERING:
        return False
    if result is None or isinstance(result, Switch):
        return True
    if isinstance(result, Reply):
        answer(exchange, result)
        return False
    if asyncio.iscoroutine(result):
        task = asyncio.get_running_loop().create_task(_await(exchange, result))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        exchange.on_close(lambda _exchange: None if task.done() else _cancel(task))
        return False
    result.add_done_callback(lambda future: _continue(exchange, lambda: _result(future)))
    return False


def _result(future: asyncio.Future[Any]) -> Any:
    if future.cancelled():
        raise Unavailable("What the request waited for was cancelled.")
    return future.result()


def _cancel(task: asyncio.Task[None]) -> None:
    if task is not asyncio.current_task():
        task.cancel()


async def _await(exchange: Exchange, waiting: Any) -> None:
    try:
        value = await waiting
    except asyncio.CancelledError:
        if not exchange.done:
            fail(exchange, Unavailable("The work was cancelled before it ended."))
        raise
    except Exception as error:
        if not exchange.done:
            fail(exchange, error)
        return
    _continue(exchange, lambda: value)


def _resumed(wait: Wait) -> None:
    """What a step waited for is there: go on behind it."""
    exchange = wait.exchange
    try:
        result = wait.then(exchange, wait.value)
        if result is not None and not _settle(exchange, result):
            return
    except Exception as error:
        fail(exchange, error)
        return
    exchange.at += 1
    run(exchange)


def _continue(exchange: Exchange, result: Callable[[], StepResult]) -> None:
    """The step that waited has its result: go on behind it."""
    if exchange.done:
        return
    try:
        if not _settle(exchange, result()):
            return
    except Exception as error:
        fail(exchange, error)
        return
    exchange.at += 1
    run(exchange)


def finish_head(exchange: Exchange, reply: Reply) -> Reply:
    """Runs the afters of the steps that passed, once, and marks the reply's head as on its way."""
    passed, skipped = exchange.at, exchange.skipped
    for index, after in exchange.chain.afters:
        if index < passed and not skipped >> index & 1:
            try:
                after(exchange, reply)
            except Exception as error:
                reply = render(exchange, error)
    exchange.started = True
    exchange.status = reply.status
    return reply


def answer(exchange: Exchange, reply: Reply) -> None:
    """Sends a whole reply, at once unless an after that reads its body waits."""
    if exchange.chain.collect is not None and reading(exchange, reply):
        Outgoing(exchange, reply, send).go()
        return
    reply = finish_head(exchange, reply)
    try:
        exchange.wire.send(exchange, reply)
    except Unsendable as error:
        send_instead(exchange, error)


def send(exchange: Exchange, reply: Reply) -> None:
    """Hands a whole reply, with which the afters are done, to the wire."""
    try:
        exchange.wire.send(exchange, reply)
    except Unsendable as error:
        send_instead(exchange, error)


def start(exchange: Exchange, reply: Reply, length: int | None) -> None:
    """Sends the head of a streamed reply; `wire.write` and `wire.end` follow. Where an after fails, its problem is the
    whole reply, and the exchange is over. Nobody reads the body of what is streamed."""
    if exchange.chain.collect is not None:
        reading(exchange, reply)
    told = finish_head(exchange, reply)
    try:
        if told is reply:
            exchange.wire.start(exchange, reply, length)
        else:
            exchange.wire.send(exchange, told)
    except Unsendable as error:
        send_instead(exchange, error)


def upgrade(exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> bool:
    """Sends 101 (Switching Protocols) and joins the tunnel. False when a step's after put another reply in its
    place."""
    if exchange.chain.collect is not None:
        reading(exchange, reply)
    reply = finish_head(exchange, reply)
    try:
        if reply.status == 101:
            exchange.wire.upgrade(exchange, reply, tunnel, upstream)
            return True
        exchange.wire.send(exchange, reply)
    except Unsendable as error:
        send_instead(exchange, error)
    return False


def send_instead(exchange: Exchange, error: Unsendable) -> None:
    """A step made a field that would break the message (CASES F22): nothing of that reply leaves."""
    reply = render(exchange, error)
    exchange.status = reply.status
    exchange.wire.send(exchange, reply)


def fail(exchange: Exchange, error: Exception) -> None:
    """Refuses or fails an exchange: the reply, or, once its head has left, a cut that the client can tell."""
    if exchange.done:
        return
    if exchange.started:
        if not isinstance(error, Problem):
            log.error("request %s failed after its reply began", exchange.id, exc_info=error)
        exchange.wire.abort(exchange)
        return
    if exchange.chain.collect is not None and exchange.notes is not None and Outgoing in exchange.notes:
        exchange.notes[Outgoing].refuse(error)
        return
    if exchange.at < len(exchange.chain.steps) - 1:
        _give_back(exchange)
    answer(exchange, render(exchange, error))


def _give_back(exchange: Exchange) -> None:
    undo, exchange.undo = exchange.undo, None
    for give in undo or ():
        try:
            give(exchange)
        except Exception:
            log.exception("request %s: something could not be given back", exchange.id)


def close(exchange: Exchange) -> None:
    """Runs once at the last byte, abort or tunnel end: metrics, log line, slots."""
    if exchange.done:
        return
    exchange.done = True
    closers, exchange.closers = exchange.closers, None
    for closer in closers or ():
        try:
            closer(exchange)
        except Exception:
            log.exception("request %s: a closer failed", exchange.id)
