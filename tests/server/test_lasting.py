"""What lasts ends when its identity no longer holds; what is short is never asked (DESIGN 4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.consumers.directory import Directory
from gateway.core.exchange import Exchange, Reply
from gateway.core.frames import close_frame
from gateway.core.identity import Identity
from gateway.core.leaving import Leaving
from gateway.core.live import LiveCell
from gateway.policy import api_key
from gateway.relay.pool import open_upstream
from gateway.server import lasting
from gateway.store.store import APPLICATIONS, KEYS, SUBSCRIPTIONS
from tests.policy.policy_harness import MAX_STALE, Gateway
from tests.relay.test_relay_websocket import AGREED, SHAKE, until
from tests.serving import Client, cell, connected, served
from tests.upstreams import Conversation, upstream

SECRET = b"k" * 43
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
GOODBYE = close_frame(1008, Leaving.REVOKED.reason, False)


async def answer(conversation: Conversation) -> None:
    """A WebSocket, an event stream, a download, or nothing yet; by the path."""
    received = await conversation.head()
    replies = {
        b"/chat?x=1": AGREED,
        b"/events": EVENTS,
        b"/download": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    }
    conversation.send(replies.get(received.target, b""))
    if received.target == b"/slow":
        await conversation.reader.readexactly(int(received.get(b"content-length") or 0))
        conversation.send(await SLOW[0])
    await conversation.closed()


SLOW: list[asyncio.Future[bytes]] = []


class Asked(Gateway):
    """A gateway whose exchanges are asked again when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.add_key(SECRET)
        self.connections: Any = None

    def see(self, exchange: Exchange) -> None:
        self.connections = exchange.wire._connections  # type: ignore[attr-defined]

    def recheck(self, later: float = 2.0) -> None:
        self.clock.advance(later)
        lasting.recheck(list(self.connections), self.clock)


@contextlib.asynccontextmanager
async def asked() -> AsyncIterator[tuple[Client, Asked, LiveCell]]:
    gateway = Asked()
    SLOW[:] = [asyncio.get_running_loop().create_future()]
    step: Any = gateway.build(api_key.KIND).step
    async with upstream(answer) as recording:
        opened = open_upstream([recording.url])
        live = cell(gateway.see, step, opened.relay(None, ()))
        live.current.any = with_plan(live)  # type: ignore[attr-defined]
        live.clock = gateway.clock
        async with served(live) as address, connected(address) as client:
            yield client, gateway, live
        await opened.close()


def with_plan(live: LiveCell) -> Any:
    """With a variant for the plan of the key."""
    made = live.current.any  # type: ignore[attr-defined]
    return replace(made, plans={"gold": replace(made, plan="gold")})


def request(path: bytes, more: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nX-API-KEY: " + SECRET + b"\r\n" + more + b"\r\n"


async def chat(client: Client) -> None:
    client.send(SHAKE[:-2] + b"X-API-KEY: " + SECRET + b"\r\n\r\n")
    assert (await client.head())[0] == 101


async def events(client: Client) -> None:
    client.send(request(b"/events"))
    assert (await client.head())[0] == 200
    await client.reader.readuntil(b"data: 1\n\n\r\n")


def revoked(gateway: Asked) -> None:
    gateway.add_key(SECRET, revoked=gateway.clock.time())


def ended(gateway: Asked) -> None:
    gateway.add_key(SECRET, ends=gateway.clock.time() + 1)


def deleted(gateway: Asked) -> None:
    gateway.directory.current.put(KEYS, "k1", None)


def unsubscribed(gateway: Asked) -> None:
    gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", None)


def application_removed(gateway: Asked) -> None:
    gateway.directory.current.put(APPLICATIONS, "partner", None)


def application_suspended(gateway: Asked) -> None:
    gateway.directory.current.put(APPLICATIONS, "partner", {"status": "suspended"})


def directory_replaced(gateway: Asked) -> None:
    """By a full load, in which the key is not."""
    gateway.directory.current = Directory()
    gateway.directory.current.as_of = gateway.clock.time()


def too_old_to_decide(gateway: Asked) -> None:
    gateway.clock.advance(MAX_STALE + 1)


CAUSES = [revoked, ended, deleted, unsubscribed, application_removed, application_suspended, directory_replaced]
CAUSES += [too_old_to_decide]


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_websocket_ends_with_its_credential(cause: Callable[[Asked], None]) -> None:
    async with asked() as (client, gateway, live):
        await chat(client)
        gateway.recheck()
        client.send(b"\x82\x80mask")
        cause(gateway)
        gateway.recheck()
        assert await client.reader.readexactly(len(GOODBYE)) == GOODBYE
        client.send(close_frame(1008, "", True))
        assert await client.rest() == b""
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        assert exchange.status == 101


async def test_an_event_stream_ends_behind_its_event_and_the_connection_goes_on() -> None:
    async with asked() as (client, gateway, _):
        await events(client)
        gateway.recheck()
        revoked(gateway)
        gateway.recheck()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        client.send(request(b"/events"))
        assert (await client.answer())[0] == 401


async def test_a_download_is_cut() -> None:
    async with asked() as (client, gateway, _):
        client.send(request(b"/download"))
        await client.reader.readuntil(b"hello")
        revoked(gateway)
        gateway.recheck()
        assert await client.rest() == b""


async def test_an_upload_is_refused_while_it_arrives() -> None:
    async with asked() as (client, gateway, live):
        client.send(request(b"/slow", b"Content-Length: 1000000\r\n") + b"some")
        await until(lambda: gateway.connections is not None)
        revoked(gateway)
        gateway.recheck()
        assert (await client.answer())[0] == 401
        assert await client.rest() == b""
        await live.observe.first()  # type: ignore[attr-defined]


async def test_a_request_that_waits_for_its_reply_has_it() -> None:
    async with asked() as (client, gateway, _):
        client.send(request(b"/slow"))
        await until(lambda: gateway.connections is not None)
        revoked(gateway)
        gateway.recheck()
        SLOW[0].set_result(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert (await client.answer())[::2] == (200, b"ok")


async def test_what_is_younger_than_a_moment_is_not_asked() -> None:
    async with asked() as (client, gateway, live):
        await events(client)
        revoked(gateway)
        gateway.recheck(lasting.MOMENT - 0.1)
        assert not live.observe.exchanges  # type: ignore[attr-defined]
        gateway.recheck(0.2)
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


async def test_nobody_else_is_ended() -> None:
    async with asked() as (client, gateway, live):
        gateway.add_key(b"o" * 43, id="k2")
        await events(client)
        gateway.add_key(b"o" * 43, id="k2", revoked=gateway.clock.time())
        gateway.directory.current.put(SUBSCRIPTIONS, "partner/other", None)
        gateway.recheck()
        assert not live.observe.exchanges  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("identity", "stays"),
    [
        (Identity("a", "anonymous"), True),
        (Identity("a", "jwt", claims={"exp": 10**12}, holds=lambda who, now: now < who.claims["exp"]), True),
        (Identity("a", "jwt", claims={"exp": 5}, holds=lambda who, now: now < who.claims["exp"]), False),
        (Identity("a", "jwt", holds=lambda who, _now: bool(who.claims["exp"])), False),
    ],
    ids=["holds for ever", "not yet over", "over", "cannot be decided"],
)
async def test_any_kind_of_identity_may_say_when_it_holds(identity: Identity, stays: bool) -> None:
    class Connection:
        def __init__(self) -> None:
            self.exchange = Exchange("id", None, None, None)  # type: ignore[arg-type]
            self.exchange.identity = identity
            self.told: list[Leaving] = []

        def end_early(self, why: Leaving) -> None:
            self.told.append(why)

    client, gateway = Connection(), Gateway()
    gateway.clock.advance(100)
    lasting.recheck([client], gateway.clock)
    assert client.told == ([] if stays else [Leaving.REVOKED])


async def test_a_connection_that_cannot_be_ended_keeps_no_other_one_open() -> None:
    told: list[Leaving] = []

    class Connection:
        def __init__(self, end_early: Callable[[Leaving], None]) -> None:
            self.exchange = Exchange("id", None, None, None)  # type: ignore[arg-type]
            self.exchange.identity = Identity("a", "jwt", holds=lambda *_: False)
            self.end_early = end_early

    def fails(_why: Leaving) -> None:
        raise RuntimeError("its transport is closed")

    gateway = Gateway()
    gateway.clock.advance(100)
    lasting.recheck([Connection(fails), Connection(told.append)], gateway.clock)
    assert told == [Leaving.REVOKED]


async def test_the_connections_of_a_worker_are_looked_through_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "PERIOD", 0.001)
    monkeypatch.setattr(lasting, "SLICE", 2)
    async with asked() as (client, gateway, _):
        await chat(client)
        gateway.clock.advance(2)
        watching = asyncio.create_task(lasting.watch(lambda: gateway.connections, gateway.clock))
        revoked(gateway)
        assert await client.reader.readexactly(len(GOODBYE)) == GOODBYE
        watching.cancel()


async def test_an_answer_of_the_gateway_itself_is_not_ended() -> None:
    """No sink, nothing to end."""
    live = cell(lambda _exchange: Reply(200, body=b"x"))
    async with served(live) as address, connected(address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        exchange.wire.end_early(Leaving.REVOKED)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer())[0] == 200
