"""WebSockets through the relay: a real client and a real server with the gateway between them, raw sockets for what
they never send."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway.core import headers
from gateway.core.chain import Chain
from gateway.core.clock import ManualClock
from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange, Reply, Step
from gateway.core.frames import close_frame
from gateway.core.leaving import Leaving
from gateway.core.live import LiveCell
from gateway.core.memory_wire import MemoryWire
from gateway.core.tunnel import NEVER
from gateway.relay import websocket
from gateway.relay.pool import HttpUpstream, open_upstream
from gateway.relay.settings import Balancing, Breaking
from gateway.server.protocol_tunnel import ClientEnd
from tests.serving import Client, cell, connected, served
from tests.upstreams import OK, Answering, Conversation, RecordingUpstream, always, upstream

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASKS = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
SHAKE = b"GET /chat?x=1 HTTP/1.1\r\nHost: shop.example\r\n" + ASKS + b"\r\n"
AGREES = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n"
AGREED = AGREES + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"

Serving = Callable[[ServerConnection], Awaitable[None]]


class Seen:
    """A step that remembers the exchange; `end` is the client's end of its tunnel."""

    exchange: Exchange
    upstream: HttpUpstream

    def __call__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @cached_property
    def end(self) -> ClientEnd:
        connections: Any = self.exchange.wire._connections  # type: ignore[attr-defined]
        (end,) = [each for each in connections if isinstance(each, ClientEnd)]
        return end


async def until(condition: Callable[[], bool]) -> None:
    """The loop turns until then; the bound is reached by a failure only."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


@contextlib.asynccontextmanager
async def gateway(url: str, *before: Step, **options: Any) -> AsyncIterator[tuple[LiveCell, tuple[str, int]]]:
    opened = open_upstream([url], **options)
    live = cell(*before, opened.relay(None, ()))
    try:
        async with served(live) as address:
            yield live, address
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def chatting(
    serving: Serving = echo, *before: Step, compression: str | None = "deflate", **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client's WebSocket to a server behind the gateway."""
    async with (
        serve(serving, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server,  # type: ignore[list-item]
        gateway(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", *before, **options) as (_, (host, port)),
        connect(f"ws://{host}:{port}/chat", max_size=None, compression=compression, subprotocols=["chat"]) as client,  # type: ignore[list-item]
    ):
        yield client


@contextlib.asynccontextmanager
async def shaking(
    answering: Answering, *before: Step, **options: Any
) -> AsyncIterator[tuple[Client, RecordingUpstream, LiveCell]]:
    """A raw client and a raw upstream."""
    async with (
        upstream(answering) as recording,
        gateway(recording.url, *before, **options) as (live, address),
        connected(address) as client,
    ):
        yield client, recording, live


def agreeing(then: Answering | None = None, answer: bytes = AGREED) -> Answering:
    async def agree(conversation: Conversation) -> None:
        await conversation.head()
        conversation.send(answer)
        if then is not None:
            await then(conversation)
        else:
            await conversation.closed()

    return agree


async def raw_echo(conversation: Conversation) -> None:
    while data := await conversation.reader.read(65_536):
        conversation.send(data)


# the handshake


async def test_messages_go_both_ways_and_the_close_handshake_passes() -> None:
    async with chatting() as client:
        for message in ("hello", b"\x00\xff", "", b"x" * 1_000_000):
            await client.send(message)
            assert await client.recv() == message
        assert client.subprotocol == "chat"
        await client.close(4000, "done")
        assert (client.protocol.close_rcvd.code, client.protocol.close_rcvd.reason) == (4000, "done")  # type: ignore[union-attr]


async def test_the_handshake_runs_the_chain_and_is_written_anew() -> None:
    def edit(exchange: Exchange) -> None:
        exchange.edits.drop |= {b"x-api-key", b"sec-websocket-version"}
        exchange.edits.add += headers.line(b"X-Penstock-Application", b"partner")

    async with shaking(agreeing(), edit) as (client, recording, _):
        spoiled = SHAKE.replace(
            b"Upgrade\r\n", b"upgrade, Sec-WebSocket-Key, Host, X-Hop\r\nX-Hop: 1\r\nX-Api-Key: k\r\n"
        )
        client.send(spoiled.replace(b"Upgrade: websocket", b"Upgrade: h2c, WebSocket"))
        assert (await client.head())[0] == 101
        received = recording.received[0]
    assert received.target == b"/chat?x=1"
    assert received.all(b"upgrade") == [b"websocket"]
    assert received.all(b"connection") == [b"Upgrade"]
    assert received.all(b"sec-websocket-key") == [KEY]
    assert received.all(b"sec-websocket-version") == [b"13"]
    assert received.get(b"x-penstock-application") == b"partner"
    assert received.get(b"x-api-key") is None
    assert received.get(b"x-hop") is None


async def test_a_refused_handshake_reaches_no_upstream() -> None:
    def refuse(_exchange: Exchange) -> None:
        raise Forbidden("no")

    async with shaking(agreeing(), refuse) as (client, recording, _):
        client.send(SHAKE)
        assert (await client.answer())[0] == 403
        assert recording.received == []


async def test_the_reply_to_the_handshake_is_ours() -> None:
    async with shaking(agreeing()) as (client, _, _live):
        client.send(SHAKE)
        status, fields = await client.head()
    assert status == 101
    assert fields[b"sec-websocket-accept"] == ACCEPT
    assert (fields[b"connection"], fields[b"upgrade"]) == (b"Upgrade", b"websocket")
    assert fields[b"x-request-id"] == b"id-1"
    assert not {b"content-length", b"transfer-encoding"} & fields.keys()


MALFORMED = {
    "a body": SHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
    "a chunked body": SHAKE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "POST with a body that never comes": SHAKE.replace(b"GET", b"POST").replace(
        b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"
    ),
    "PUT": SHAKE.replace(b"GET", b"PUT"),
    "HTTP/1.0": SHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no key": SHAKE.replace(b"Sec-WebSocket-Key: " + KEY + b"\r\n", b""),
    "a short key": SHAKE.replace(KEY, b"c2hvcnQ="),
    "a key that is no base64": SHAKE.replace(KEY, b"!" * 22 + b"=="),
    "two keys": SHAKE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"),
    "no version": SHAKE.replace(b"Sec-WebSocket-Version: 13\r\n", b""),
    "two versions": SHAKE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Version: 13\r\n\r\n"),
}


@pytest.mark.parametrize("shake", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_handshake_is_400_and_reaches_no_upstream(shake: bytes) -> None:
    """CASES F20, F21"""
    async with shaking(agreeing()) as (client, recording, _):
        client.send(shake)
        assert (await client.answer())[0] == 400
        assert recording.received == []


@pytest.mark.parametrize("version", [b"12", b"8", b"13, 8", b"14"])
async def test_another_version_is_told_the_one_that_is_served(version: bytes) -> None:
    async with shaking(agreeing()) as (client, recording, _):
        client.send(SHAKE.replace(b"Version: 13", b"Version: " + version))
        status, fields, _body = await client.answer()
        assert (status, fields[b"sec-websocket-version"], fields[b"upgrade"]) == (426, b"13", b"websocket")
        client.send(SHAKE)
        assert (await client.head())[0] == 101
    assert len(recording.received) == 1


@pytest.mark.parametrize(
    "asks",
    [
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
        b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        ASKS.replace(b"Connection: Upgrade\r\n", b""),
        ASKS.replace(b"websocket\r\n", b"websockets\r\n"),
        b"Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n",
    ],
    ids=["h2c", "TLS", "Connection does not name it", "another word", "several without a key"],
)
async def test_what_is_no_websocket_handshake_is_an_ordinary_request(asks: bytes) -> None:
    """CASES F20"""
    async with shaking(always()) as (client, recording, _):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + asks + b"\r\n")
        assert (await client.answer())[::2] == (200, b"ok")
        assert recording.received[0].get(b"upgrade") is None
        assert recording.received[0].get(b"connection") is None


@pytest.mark.parametrize(
    "response", [OK, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nUpgrade: websocket\r\n\r\nno"]
)
async def test_a_failed_upgrade_is_an_ordinary_reply_and_never_a_tunnel(response: bytes) -> None:
    """CASES F20: what the client sends next is a request; the upstream's connection serves nobody else."""
    async with shaking(always(response)) as (client, recording, _):
        client.send(SHAKE + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second = await client.answer(), await client.answer()
    assert first[0] == second[0] == int(response[9:12])
    assert b"upgrade" not in first[1]
    assert [received.target for received in recording.received] == [b"/chat?x=1", b"/next"]
    assert recording.connections == 2


WRONG = {
    "no proof": AGREES + b"\r\n",
    "another's proof": AGREED.replace(ACCEPT, b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "two proofs": AGREED[:-2] + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n",
    "another protocol": AGREED.replace(b"WebSocket\r\n", b"h2c\r\n"),
    "Connection does not name it": AGREED.replace(b", upgrade", b""),
    "a length": AGREED[:-2] + b"Content-Length: 0\r\n\r\n",
    "a subprotocol that was not offered": AGREED[:-2] + b"Sec-WebSocket-Protocol: chat\r\n\r\n",
    "an extension that was not offered": AGREED[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
async def test_only_the_right_answer_opens_a_tunnel(answer: bytes) -> None:
    """RFC 6455 section 4.1; CASES F23: any other 101 is 502, and nothing behind it is a reply."""
    async with shaking(agreeing(answer=answer + OK)) as (client, _, _live):
        client.send(SHAKE)
        status, fields = await client.head()
        assert (status, fields[b"content-type"]) == (502, b"application/problem+json"), "the first that it hears"


async def test_a_switch_that_nobody_asked_for_is_502() -> None:
    """CASES F23"""
    async with shaking(agreeing()) as (client, _, _live):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n")
        assert (await client.head())[0] == 502


async def test_a_subprotocol_and_an_extension_that_were_offered_may_be_chosen() -> None:
    chosen = b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; x=1\r\n\r\n"
    offer = b"Sec-WebSocket-Protocol: soap, chat\r\nSec-WebSocket-Extensions: a, permessage-deflate; y\r\n\r\n"
    async with shaking(agreeing(answer=AGREED[:-2] + chosen)) as (client, _, _live):
        client.send(SHAKE[:-2] + offer)
        status, fields = await client.head()
    assert (status, fields[b"sec-websocket-protocol"]) == (101, b"chat")


# where it is allowed


def upgrade_of(live: LiveCell, **parts: Any) -> None:
    """The chain with other parts."""
    routes: Any = live.current
    routes.any = Chain(**{name: getattr(routes.any, name) for name in Chain.__slots__} | parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"request_taps": (lambda _exchange: lambda data, _last: data,)},
        {"response_taps": (lambda _exchange: lambda data, _last: data,)},
        {"collect": 1000, "readers": 1},
    ],
    ids=["request tap", "response tap", "collected reply"],
)
async def test_a_chain_that_works_on_bodies_opens_no_tunnel_unless_told(parts: dict[str, Any]) -> None:
    async with upstream(always()) as recording:
        opened = open_upstream([recording.url])
        for allowed, asked in ((None, None), (True, b"websocket"), (False, None)):
            live = cell(opened.relay(None, (), allowed))
            upgrade_of(live, **parts)
            await MemoryWire.request(live, "GET", "/", [tuple(line.split(b": ")) for line in ASKS.split(b"\r\n")[:-1]])  # type: ignore[misc]
            assert recording.received[-1].get(b"upgrade") == asked
        await opened.close()


async def test_a_relay_that_says_no_serves_the_request_without_its_upgrade() -> None:
    async with upstream(always()) as recording:
        opened = open_upstream([recording.url])
        async with served(cell(opened.relay(None, (), False))) as address, connected(address) as client:
            client.send(SHAKE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi"))
            assert (await client.answer())[0] == 200
        await opened.close()
    assert (recording.received[0].body, recording.received[0].get(b"upgrade")) == (b"hi", None)


async def test_a_typed_endpoint_ignores_an_upgrade() -> None:
    """RFC 9110 section 7.8"""
    async with served(cell(lambda _exchange: Reply(200, body=b"typed"))) as address, connected(address) as client:
        client.send(SHAKE)
        assert (await client.answer())[::2] == (200, b"typed")


# the tunnel


async def test_bytes_that_come_with_a_handshake_or_its_answer_are_not_lost() -> None:
    async def early(conversation: Conversation) -> None:
        conversation.send(await conversation.reader.readexactly(5))

    async with shaking(agreeing(early, AGREED + b"first")) as (client, _, _live):
        client.send(SHAKE + b"hello")
        assert (await client.head())[0] == 101
        assert await client.reader.readexactly(10) == b"firsthello"


async def test_bytes_behind_a_handshake_wait_for_its_answer() -> None:
    agreed = asyncio.Event()

    async def late(conversation: Conversation) -> None:
        await conversation.head()
        await agreed.wait()
        conversation.send(AGREED)
        await raw_echo(conversation)

    async with shaking(late) as (client, recording, _):
        client.send(SHAKE)
        await recording.heard()
        data = random.Random(1).randbytes(300_000)
        client.send(data)
        agreed.set()
        assert (await client.head())[0] == 101
        assert await client.reader.readexactly(len(data)) == data


async def test_each_side_may_end_its_sending_first() -> None:
    """Half-close, both ways."""

    async def summed(conversation: Conversation) -> None:
        conversation.send(b"%d" % len(await conversation.reader.read()))
        conversation.close()

    async def last_word(conversation: Conversation) -> None:
        conversation.send(b"last")
        conversation.writer.write_eof()
        heard.append(await conversation.reader.read())

    heard: list[bytes] = []
    async with shaking(agreeing(summed)) as (client, _, live):
        client.send(SHAKE + b"x" * 100_000)
        await client.head()
        client.writer.write_eof()
        assert await client.rest() == b"100000"
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        assert (exchange.status, exchange.received, exchange.sent) == (101, 100_000, 6)
    async with shaking(agreeing(last_word)) as (client, _, live):
        client.send(SHAKE)
        await client.head()
        assert await client.rest() == b"last"
        client.send(b"still")
        client.writer.write_eof()
        await live.observe.first()  # type: ignore[attr-defined]
    assert heard == [b"still"]


async def test_an_upstream_hears_that_its_client_ended_its_side_before_the_tunnel_was_there() -> None:
    seen, ended = Seen(), asyncio.Event()

    async def summed(conversation: Conversation) -> None:
        await conversation.head()
        await ended.wait()
        conversation.send(AGREED)
        conversation.send(b"%d" % len(await conversation.reader.read()))
        conversation.close()

    async with shaking(summed, seen) as (client, _, _):
        client.send(SHAKE + b"x" * 10)
        client.writer.write_eof()
        await until(lambda: hasattr(seen, "exchange") and seen.exchange.wire._ended)  # type: ignore[attr-defined]
        ended.set()
        await client.head()
        assert await client.rest() == b"10"


@pytest.mark.parametrize("who", ["client", "upstream"])
async def test_when_one_side_is_gone_the_other_is_closed_and_the_exchange_ends_once(who: str) -> None:
    """CASES A58, A60"""
    gone = asyncio.Event()

    async def gone_or_reset(conversation: Conversation) -> None:
        if who == "upstream":
            await conversation.reader.readexactly(1)
            conversation.reset()
        assert await conversation.closed() in (b"", b"x")
        gone.set()

    async with shaking(agreeing(gone_or_reset)) as (client, _, live):
        client.send(SHAKE + b"x")
        await client.head()
        if who == "client":
            await client.close()
        else:
            assert await client.rest() == b""
        await asyncio.wait_for(gone.wait(), 10)
        exchanges = await live.observe.first()  # type: ignore[attr-defined]
        assert [(exchange.status, exchange.done) for exchange in exchanges] == [(101, True)]
        assert live.current.left == live.current.entered == 1  # type: ignore[attr-defined]


async def test_a_tunnel_counts_in_its_pool_and_its_connection_is_never_pooled() -> None:
    async with upstream(agreeing(raw_echo)) as recording:
        opened = open_upstream([recording.url], max_connections=1)
        assert isinstance(opened, HttpUpstream)
        live = cell(opened.relay(None, ()))
        async with served(live) as address, connected(address) as one, connected(address) as two:
            pool = opened._rotation.pools[0]
            one.send(SHAKE)
            assert (await one.head())[0] == 101
            two.send(SHAKE)
            await until(lambda: len(pool._waiting) == 1)
            assert pool.size == recording.connections == 1
            await one.close()
            assert (await two.head())[0] == 101
            assert recording.connections == 2
            await two.close()
            await until(lambda: not pool.size)
            assert not pool._idle
        await opened.close()


async def test_what_a_step_changes_of_the_reply_holds_for_101_as_well() -> None:
    def after(_exchange: Exchange, reply: Reply) -> None:
        reply.add(b"X-Mark", b"1")

    def broken(_exchange: Exchange, _reply: Reply) -> None:
        raise Forbidden("not this one")

    async with upstream(agreeing()) as recording:
        opened = open_upstream([recording.url])
        live = cell(opened.relay(None, ()))
        live.current.any = Chain(  # type: ignore[attr-defined]
            "t",
            (lambda _exchange: None, *live.current.any.steps),
            live.current.any.render,
            ((0, after),),  # type: ignore[attr-defined]
        )
        async with served(live) as address, connected(address) as client:
            client.send(SHAKE)
            status, fields = await client.head()
            assert (status, fields[b"x-mark"]) == (101, b"1")
        upgrade_of(live, afters=((0, broken),))
        async with served(live) as address, connected(address) as client:
            client.send(SHAKE)
            assert (await client.answer())[0] == 403
        await opened.close()


# flow control


@pytest.mark.parametrize("deaf", ["upstream", "client"])
async def test_a_side_that_does_not_read_stops_the_other(deaf: str) -> None:
    """What waits is bounded by the transports' buffers, whatever the other side has to send."""
    reading, size, seen = asyncio.Event(), 30_000_000, Seen()

    async def peer(conversation: Conversation) -> None:
        if deaf == "client":
            conversation.send(b"x" * size)
            await conversation.writer.drain()
        else:
            await reading.wait()
            await conversation.reader.readexactly(size)
            conversation.send(b"done")
        await conversation.closed()

    async with shaking(agreeing(peer), seen) as (client, _, _live):
        client.send(SHAKE)
        await client.head()
        full, other = (seen.end, seen.end.other) if deaf == "client" else (seen.end.other, seen.end)
        if deaf == "upstream":
            client.send(b"x" * size)
        await until(lambda: full._stalled_at != NEVER)
        assert other.passed < size
        assert full.transport.get_write_buffer_size() < 1_000_000
        reading.set()
        if deaf == "client":
            assert len(await client.reader.readexactly(size)) == size
        else:
            assert await client.reader.readexactly(4) == b"done"


async def test_sixty_four_megabytes_of_frames_come_back_equal_and_never_pile_up() -> None:
    """CASES A60; the echo of frames of every size, with what waits in the gateway counted."""
    seen, dice = Seen(), random.Random(18)
    pool = dice.randbytes(1_000_000)
    sizes = [min(1_000_000, int(dice.paretovariate(0.6) * 50)) for _ in range(700)]
    while sum(sizes) < 64_000_000:
        sizes.append(dice.randrange(300_000, 1_000_000))
    dice.shuffle(sizes)
    highest = 0

    async def send(client: ClientConnection) -> None:
        for size in sizes:
            await client.send(pool[:size] if size % 2 else memoryview(pool)[-size:])

    async with chatting(echo, seen, compression=None) as client:
        sending = asyncio.create_task(send(client))
        for size in sizes:
            message = await client.recv()
            assert message == (pool[:size] if size % 2 else pool[-size:])
            highest = max(highest, *(end.transport.get_write_buffer_size() for end in (seen.end, seen.end.other)))
        await sending
    assert highest < 1_000_000
    assert min(seen.exchange.received, seen.exchange.sent) > 64_000_000


async def test_an_upstream_may_be_reached_by_tls_and_hears_the_goodbye() -> None:
    """A TLS connection has no half-close: its end is the end."""
    authority, codes = trustme.CA(), []

    async def until_closed(peer: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await echo(peer)
            codes.append(peer.close_code)

    inside, outside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(inside)
    authority.configure_trust(outside)
    seen, data = Seen(), random.Random(9).randbytes(3_000_000)
    async with (
        serve(until_closed, "localhost", 0, max_size=None, ssl=inside) as server,
        gateway(f"https://localhost:{server.sockets[0].getsockname()[1]}", seen, tls=outside) as (live, (host, port)),
        connect(f"ws://{host}:{port}/chat", max_size=None, compression=None) as client,
    ):
        await client.send(data)
        assert await client.recv() == data
        seen.end.end_early(Leaving.DRAINING)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        await live.observe.first()  # type: ignore[attr-defined]
        await until(lambda: codes == [1001])


# the end


@contextlib.asynccontextmanager
async def clocked(
    answering: Answering, *before: Step, **options: Any
) -> AsyncIterator[tuple[Client, ManualClock, Seen]]:
    """A raw client's tunnel in a gateway whose time stands still until the test moves it."""
    seen, clock = Seen(), ManualClock()
    async with upstream(answering) as recording:
        opened = open_upstream([recording.url], clock=clock, **options)
        seen.upstream = opened
        live = cell(seen, *before, opened.relay(None, ()))
        live.clock = clock
        async with served(live) as address, connected(address) as client:
            client.send(SHAKE)
            assert (await client.head())[0] == 101
            yield client, clock, seen
        await opened.close()


async def test_a_silent_tunnel_is_ended_politely_and_one_that_talks_goes_on() -> None:
    closed = asyncio.get_running_loop().create_future()

    async def peer(conversation: Conversation) -> None:
        conversation.send(await conversation.reader.readexactly(4))
        closed.set_result(await conversation.reader.read(1000))

    async with clocked(agreeing(peer), stream_idle=100.0) as (client, clock, seen):
        await until(lambda: seen.end._tunnel._deadline != NEVER)
        clock.advance(99)
        client.send(b"\x82\x02hi")
        assert await client.reader.readexactly(4) == b"\x82\x02hi"
        await until(lambda: not seen.end._tunnel.active)
        clock.advance(99)
        await asyncio.sleep(0.11)
        assert not seen.end.lost
        clock.advance(2)
        ours = close_frame(1001, Leaving.SILENT.reason, False)
        assert await client.reader.readexactly(len(ours)) == ours
        client.send(close_frame(1001, "", True))
        assert await client.rest() == b""
        assert (await closed)[:2] == bytes((0x88, 0x80 | len(ours) - 2))


async def test_a_tunnel_whose_sides_do_not_answer_the_goodbye_is_cut() -> None:
    async with clocked(agreeing()) as (client, clock, seen):
        end, timed = seen.end, seen.end._shared.deadlines._timed
        assert end._tunnel in timed
        end.shutdown()
        ours = close_frame(1001, Leaving.DRAINING.reason, False)
        assert await client.reader.readexactly(len(ours)) == ours
        clock.advance(2.1)
        assert await client.rest() == b""
        await until(lambda: end.lost and end.other.lost)
        assert not timed, "the sweep has forgotten it"


async def test_the_goodbye_waits_for_the_end_of_a_frame_both_ways() -> None:
    """RFC 6455 section 5.5: a control frame stands between frames, never within one."""
    got = asyncio.get_running_loop().create_future()
    go = asyncio.Event()

    async def peer(conversation: Conversation) -> None:
        conversation.send(b"\x82\x0ahello")  # five of ten bytes
        await go.wait()
        conversation.send(b"world\x82\x04late")
        got.set_result(await conversation.reader.readexactly(12 + 4 + len(Leaving.REVOKED.reason) + 2))
        assert await conversation.closed() == b"", "nothing follows the goodbye"

    async with clocked(agreeing(peer)) as (client, _clock, seen):
        client.send(b"\x82\x84mask12")
        assert await client.reader.readexactly(7) == b"\x82\x0ahello"
        await until(lambda: seen.end.passed == 8)
        seen.end.end_early(Leaving.REVOKED)
        client.send(b"34\x82\x84masklate")
        go.set()
        ours = close_frame(1008, Leaving.REVOKED.reason, False)
        assert await client.reader.readexactly(5 + len(ours)) == b"world" + ours
        client.send(close_frame(1008, "", True))
        assert await client.rest() == b""
        heard = await asyncio.wait_for(got, 10)
        assert heard[:12] == b"\x82\x84mask1234\x88" + bytes((0x80 | len(ours) - 2,))
        assert b"late" not in heard


async def test_a_client_may_answer_the_goodbye_though_the_upstream_is_gone_already() -> None:
    """A close that crosses its answer would be a reset, which takes away what the client has not read yet."""

    async def quick(conversation: Conversation) -> None:
        await conversation.reader.read(1000)

    async with clocked(agreeing(quick)) as (client, _clock, seen):
        end = seen.end
        end.end_early(Leaving.REVOKED)
        await until(lambda: end.other.lost)
        ours = close_frame(1008, Leaving.REVOKED.reason, False)
        assert await client.reader.readexactly(len(ours)) == ours
        for _ in range(20):
            await asyncio.sleep(0)
        assert not end.transport.is_closing()
        client.send(close_frame(1008, "", True))
        await until(lambda: end.lost)
        assert end.passed == 8, "its answer was read"


async def test_a_client_hears_why_its_tunnel_ends() -> None:
    async def listen(peer: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await peer.recv()
        codes.append(peer.protocol.close_rcvd.code)  # type: ignore[union-attr]

    codes: list[int] = []
    for why in (Leaving.DRAINING, Leaving.REVOKED):
        seen = Seen()
        async with chatting(listen, seen) as client:
            seen.end.end_early(why)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.protocol.close_rcvd is not None
            assert client.protocol.close_rcvd.code == why.code
    assert codes == [1001, 1008]


async def test_a_tunnel_that_is_agreed_while_the_gateway_drains_is_ended_at_once() -> None:
    async with shaking(agreeing(raw_echo)) as (client, _, live):
        live.draining = True
        client.send(SHAKE)
        assert (await client.head())[0] == 101
        assert (await client.reader.readexactly(4))[2:] == (1001).to_bytes(2)


async def test_a_side_that_reads_nothing_of_what_waits_is_cut_and_one_that_reads_slowly_is_not() -> None:
    """CASES A57"""
    size = 60_000_000  # more than the kernel holds

    async def sender(conversation: Conversation) -> None:
        conversation.send(b"x" * size)
        await conversation.closed()

    async with clocked(agreeing(sender)) as (client, clock, seen):
        end = seen.end
        await until(lambda: end._stalled_at != NEVER)
        clock.advance(29)
        await until(lambda: end._tunnel.now == clock.monotonic())
        await client.reader.readexactly(10_000_000)
        await until(lambda: clock.monotonic() + 1 < end._stalled_at < NEVER)
        clock.advance(2)
        await asyncio.sleep(0.11)
        assert not end.lost, "it has read meanwhile"
        while not end.lost:  # the kernel may have taken a little more each time
            clock.advance(31)
            await asyncio.sleep(0.11)


# where answers are watched

WATCHED = Balancing(least_loaded=True, breaking=Breaking(failures=1, open=1000.0))


async def test_a_tunnel_counts_at_its_target_while_it_lasts_and_has_no_time_for_the_whole() -> None:
    async with clocked(agreeing(raw_echo), balancing=WATCHED, total_timeout=5.0) as (client, clock, seen):
        (pool,) = seen.upstream._rotation.pools
        assert pool.active == 1
        await until(lambda: seen.end._tunnel._deadline != NEVER)
        clock.advance(60)
        await asyncio.sleep(0.11)
        client.send(b"\x82\x02hi")
        assert await client.reader.readexactly(4) == b"\x82\x02hi"
        client.writer.write_eof()
        assert await client.rest() == b""
        await until(lambda: pool.active == 0)


async def test_an_answer_that_does_not_belong_to_the_handshake_opens_the_circuit() -> None:
    async with shaking(agreeing(answer=AGREES + b"\r\n"), balancing=WATCHED) as (client, recording, _):
        for status in (502, 503):
            client.send(SHAKE)
            assert (await client.answer())[0] == status
        assert len(recording.received) == 1


# in memory


async def test_the_in_memory_wire_tunnels_as_the_socket_does() -> None:
    fields = [(name, value) for name, value in (line.split(b": ") for line in ASKS.split(b"\r\n")[:-1])]
    async with upstream(agreeing(raw_echo)) as recording:
        opened = open_upstream([recording.url])
        live = cell(opened.relay(None, ()))
        wire = MemoryWire.open(live, "GET", "/chat", fields)
        assert (await wire.head())[0] == 101
        wire.feed(b"hello")
        assert await wire.read() == b"hello"
        wire.disconnect()
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        assert (exchange.received, exchange.sent) == (5, 5)
        await opened.close()


def test_the_proof_is_that_of_the_standard() -> None:
    """RFC 6455 section 1.3"""
    assert websocket.accept(KEY) == ACCEPT
