"""Deadlines, by a clock that the test moves; flow control; the end of a worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn

from gateway.core.chain import start
from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Reply, Step, Wait
from gateway.core.leaving import Leaving
from gateway.core.live import LiveCell
from gateway.server.protocol import GatewayProtocol
from tests.serving import Client, cell, connected, served


def ok(_exchange: Exchange) -> Reply:
    return Reply(200, body=b"ok")


@contextlib.asynccontextmanager
async def clocked(*steps: Step) -> AsyncIterator[tuple[Client, ManualClock, LiveCell]]:
    """A connection to a gateway whose time stands still until the test moves it."""
    live, clock = cell(*steps), ManualClock()
    live.clock = clock
    async with served(live) as address, connected(address) as client:
        yield client, clock, live


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_a_head_that_takes_too_long_is_408() -> None:
    """CASES F24, A57"""
    async with clocked(ok) as (client, clock, _):
        client.send(GET)
        await client.answer()
        client.send(b"GET / HTTP/1.1\r\nHo")
        await _settled(client)
        clock.advance(11)
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def _settled(client: Client) -> None:
    """Until what the client sent has been read: the loop has turned a few times since."""
    await client.writer.drain()
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_connection_that_never_sends_is_closed() -> None:
    """CASES A57"""
    async with clocked(ok) as (client, clock, _):
        await _settled(client)
        clock.advance(11)
        assert await client.rest() == b""


async def test_an_idle_connection_is_closed_after_keep_alive() -> None:
    async with clocked(ok) as (client, clock, _):
        client.send(GET)
        await client.answer()
        clock.advance(59)
        client.send(GET)
        await client.answer()
        clock.advance(61)
        assert await client.rest() == b""


async def test_a_body_that_stops_arriving_is_408() -> None:
    """CASES A57"""
    buffered = asyncio.Event()

    def buffer(exchange: Exchange) -> Wait | None:
        buffered.set()
        return exchange.wire.buffer(exchange, 100)

    async with clocked(buffer, ok) as (client, clock, live):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        await buffered.wait()
        clock.advance(31)
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
    assert [exchange.status for exchange in live.observe.exchanges] == [408]  # type: ignore[attr-defined]


async def test_a_client_that_reads_nothing_is_cut() -> None:
    """CASES A57"""

    def endless(exchange: Exchange) -> Wait:
        start(exchange, Reply(200, body=None), None)
        exchange.wire.write(exchange, b"x" * 20_000_000)
        return Wait(exchange, lambda _e, _v: None)

    async with clocked(endless) as (client, clock, live):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET)
        await _settled(client)
        passing = asyncio.create_task(_pass(clock))
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        passing.cancel()
    assert exchange.done


async def _pass(clock: ManualClock) -> None:
    """Time goes by, faster than it does."""
    while True:
        clock.advance(31)
        await asyncio.sleep(0.05)


class Full:
    """A sink that takes one piece and asks for a pause."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.taken = 0
        self.ended = asyncio.Event()

    def body(self, data: bytes) -> None:
        self.taken += len(data)
        self.exchange.wire.pause_body()

    def body_end(self) -> None:
        self.ended.set()

    def client_gone(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def leave(self, why: Leaving) -> None: ...


async def test_a_full_sink_stops_the_client_and_is_no_fault_of_it() -> None:
    sinks: list[Full] = []
    piping = asyncio.Event()

    def pipe(exchange: Exchange) -> Wait:
        sinks.append(Full(exchange))
        exchange.wire.pipe(exchange, sinks[0])
        piping.set()
        return Wait(exchange, lambda _e, _v: None)

    size = 30_000_000
    async with clocked(pipe) as (client, clock, live):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await piping.wait()
        clock.advance(31)
        await asyncio.sleep(0.11)
        assert 0 < sinks[0].taken < size
        assert not live.observe.exchanges  # type: ignore[attr-defined]
        while not sinks[0].ended.is_set():
            sinks[0].exchange.wire.resume_body()
            await asyncio.sleep(0)
        assert sinks[0].taken == size


@pytest.mark.parametrize("networks", [("127.0.0.0/8",), ()])
async def test_a_forwarded_client_is_believed_from_a_trusted_proxy_alone(networks: tuple[str, ...]) -> None:
    """CASES H35"""
    live = cell(lambda exchange: Reply(200, body=exchange.head.peer.client.encode()))
    live.trusted = networks
    async with served(live) as address, connected(address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, ::ffff:9.9.9.9, 127.0.0.1\r\n\r\n")
        _, _, body = await client.answer()
        client.send(b'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=1.1.1.1, for="[2001:db8::1]:80";proto=https\r\n\r\n')
        _, _, other = await client.answer()
    assert (body, other) == ((b"9.9.9.9", b"2001:db8::1") if networks else (b"127.0.0.1", b"127.0.0.1"))


async def test_uvicorn_drives_the_protocol_through_its_whole_life() -> None:
    """The contract with uvicorn: constructor, connections, shutdown. An idle connection is closed at shutdown, an
    exchange in flight is answered first (CASES A66)."""
    release, began = asyncio.Event(), asyncio.Event()

    async def slow(_exchange: Exchange) -> Reply:
        began.set()
        await release.wait()
        return Reply(200, body=b"done")

    live = cell(slow)

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        scope["state"]["live"] = live
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    config = uvicorn.Config(app, port=0, http=GatewayProtocol, ws="none", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this alone
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    async with connected(address) as idle, connected(address) as busy:
        busy.send(GET)
        await began.wait()
        server.should_exit = True
        assert await idle.rest() == b""
        release.set()
        status, fields, body = await busy.answer()
        assert (status, fields[b"connection"], body) == (200, b"close", b"done")
        await asyncio.wait_for(serving, 10)
    assert server.server_state.total_requests == 1


async def test_a_client_that_has_ended_its_side_is_answered_all_that_it_asked() -> None:
    """CASES A58: RFC 9112 section 9.6 lets a client end its side and read on"""
    waits: asyncio.Queue[Wait] = asyncio.Queue()

    def wait_once(exchange: Exchange) -> Wait:
        wait = Wait(exchange, lambda *_: Reply(200, body=b"late"))
        waits.put_nowait(wait)
        return wait

    async with clocked(wait_once) as (client, _, _):
        client.send(GET * 2)
        client.writer.write_eof()
        for _ in range(2):
            wait = await waits.get()
            await _settled(client)
            wait.deliver(None)
        assert (await client.rest()).count(b"late") == 2


async def test_nothing_runs_on_for_a_client_that_has_ended_its_side_and_is_gone() -> None:
    exchanges: asyncio.Queue[Exchange] = asyncio.Queue()

    def never(exchange: Exchange) -> Wait:
        exchanges.put_nowait(exchange)
        return Wait(exchange, lambda *_: None)

    async with clocked(never) as (client, clock, _):
        client.send(GET)
        client.writer.write_eof()
        exchange = await exchanges.get()
        await _settled(client)
        closed = asyncio.Event()
        exchange.on_close(lambda _exchange: closed.set())
        assert not exchange.done
        clock.advance(1.1)
        assert await client.rest() == b""
        await closed.wait()
        assert exchange.status == 499


async def test_a_refused_client_that_has_ended_its_side_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it can still arrive, so its connection closes with the refusal, while time stands still."""
    waits: asyncio.Queue[Wait] = asyncio.Queue()
    lost, losing = asyncio.Event(), GatewayProtocol._lost

    def noted(protocol: GatewayProtocol) -> None:
        losing(protocol)
        lost.set()

    def wait_once(exchange: Exchange) -> Wait:
        wait = Wait(exchange, lambda *_: Reply(200, body=b"late"))
        waits.put_nowait(wait)
        return wait

    monkeypatch.setattr(GatewayProtocol, "_lost", noted)
    async with clocked(wait_once) as (client, _, _):
        client.send(GET + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        client.writer.write_eof()
        wait = await waits.get()
        await _settled(client)
        wait.deliver(None)
        assert b"HTTP/1.1 400 " in await client.rest()
        await asyncio.wait_for(lost.wait(), 10)


async def test_a_client_that_has_ended_its_side_can_tell_that_its_reply_was_cut() -> None:
    """CASES A55: in HTTP/1.0 a plain end would look like the reply's own."""
    exchanges: asyncio.Queue[Exchange] = asyncio.Queue()

    def streams(exchange: Exchange) -> Wait:
        start(exchange, Reply(200, body=None), None)
        exchange.wire.write(exchange, b"half")
        exchanges.put_nowait(exchange)
        return Wait(exchange, lambda *_: None)

    async with clocked(streams) as (client, clock, _):
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.writer.write_eof()
        await exchanges.get()
        await _settled(client)
        assert await client.reader.readuntil(b"half")
        clock.advance(1.1)
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await client.reader.read()


async def test_an_idle_connection_keeps_neither_what_it_has_sent_nor_a_large_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    protocols: list[GatewayProtocol] = []
    opened = GatewayProtocol._opened

    def note(protocol: GatewayProtocol, shared: object) -> None:
        protocols.append(protocol)
        opened(protocol, shared)  # type: ignore[arg-type]

    monkeypatch.setattr(GatewayProtocol, "_opened", note)
    async with clocked(ok) as (client, _, _):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n")
        await client.answer()
        (protocol,) = protocols
        assert (protocol._reader.data, protocol._reader._last) == (b"", None)
        client.send(GET)
        await client.answer()
        assert protocol._reader._last is not None
