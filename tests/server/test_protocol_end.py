"""The end of a worker as its clients see it: what they have sent is answered, and a reply says when it is the last
(CASES A65, A66)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.core.chain import Chain
from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Head, Reply
from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.server.protocol import TURN, GatewayProtocol
from tests.serving import Client, Observed, Routes, cell, chain, connected, served, talking

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Ending:
    """A gateway whose connections the test ends as uvicorn does."""

    def __init__(self, address: tuple[str, int], live: LiveCell, clock: ManualClock) -> None:
        self.address, self.live, self.clock = address, live, clock
        self.protocols: list[GatewayProtocol] = []

    def shutdown(self) -> None:
        self.live.draining = True
        for protocol in self.protocols:
            protocol.shutdown()


@contextlib.asynccontextmanager
async def ending(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Ending, Client]]:
    """With a connection that has been served once; its time stands still until the test moves it."""
    live, clock = cell(_ok), ManualClock()
    live.clock = clock
    opened = GatewayProtocol._opened
    async with served(live) as address:
        gateway = Ending(address, live, clock)

        def note(protocol: GatewayProtocol, shared: object) -> None:
            gateway.protocols.append(protocol)
            opened(protocol, shared)  # type: ignore[arg-type]

        monkeypatch.setattr(GatewayProtocol, "_opened", note)
        async with connected(address) as client:
            client.send(GET)
            await client.answer()
            yield gateway, client


def _ok(_exchange: Exchange) -> Reply:
    return Reply(200, body=b"ok")


async def is_last(client: Client) -> None:
    status, fields, body = await client.answer()
    assert (status, fields[b"connection"], body) == (200, b"close", b"ok")
    assert await client.rest() == b""


async def test_a_connection_in_use_is_told_of_the_end_by_its_next_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ending(monkeypatch) as (gateway, client):
        gateway.shutdown()
        client.send(GET)
        await is_last(client)


async def test_a_connection_that_is_not_used_any_more_is_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ending(monkeypatch) as (gateway, client):
        gateway.shutdown()
        gateway.clock.advance(1.1)
        assert await client.rest() == b""


async def test_a_connection_that_had_long_not_been_used_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ending(monkeypatch) as (gateway, client):
        gateway.clock.advance(30)
        await asyncio.sleep(0.25)  # the sweep has looked at the clock
        gateway.shutdown()
        assert await client.rest() == b""


async def test_a_head_that_has_begun_is_waited_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ending(monkeypatch) as (gateway, client):
        client.send(GET[:9])
        await turns()
        gateway.shutdown()
        gateway.clock.advance(5)
        client.send(GET[9:])
        await is_last(client)


async def test_a_head_that_begins_after_the_end_has_its_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ending(monkeypatch) as (gateway, client):
        gateway.shutdown()
        client.send(GET[:9])
        await turns()
        gateway.clock.advance(5)
        client.send(GET[9:])
        await is_last(client)


@pytest.mark.parametrize("draining", [True, False], ids=["at the end", "when keep-alive is over"])
async def test_a_request_that_has_arrived_unread_is_answered_and_not_reset(
    monkeypatch: pytest.MonkeyPatch, draining: bool
) -> None:
    """The deadline and the request meet in one turn of the loop."""
    async with ending(monkeypatch) as (gateway, client):
        (protocol,) = gateway.protocols
        if draining:
            gateway.shutdown()
        _write_now(client, GET)
        protocol._late()
        status, _, body = await client.answer()
        assert (status, body) == (200, b"ok")


def _write_now(client: Client, data: bytes) -> None:
    """Puts bytes on the wire without a turn of the loop."""
    transport = client.writer.transport
    transport.write(data)
    assert not transport.get_write_buffer_size()


async def test_requests_that_were_pipelined_are_all_answered_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than one turn serves; the worker ends between two turns. The last reply says that it is the last."""
    async with ending(monkeypatch) as (gateway, client):
        served_before = 0

        def ends_behind_the_turn(_exchange: Exchange) -> Reply:
            nonlocal served_before
            served_before += 1
            if served_before == TURN:
                asyncio.get_running_loop().call_soon(gateway.shutdown)
            return Reply(200, body=b"ok")

        gateway.live.current.any = chain(ends_behind_the_turn)  # type: ignore[attr-defined]
        client.send(GET * 40)
        replies = await client.rest()
    assert replies.count(b"HTTP/1.1 200 ") == TURN + 1
    last = replies.rindex(b"HTTP/1.1 200 ")
    assert b"Connection: close" in replies[last:]
    assert b"Connection: close" not in replies[:last]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_last_reply_reaches_a_client_that_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is too large for the kernel's buffers, and too small for ours to be full."""
    body = b"x" * 200_000
    async with ending(monkeypatch) as (gateway, _):
        gateway.live.current.any = chain(lambda _exchange: Reply(200, body=body))  # type: ignore[attr-defined]
        async with _narrow(gateway) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            received = await client.reader.readuntil(b"\r\n\r\n")
            for _ in range(3):
                gateway.clock.advance(20)
                received += await client.reader.readexactly(20_000)
                await asyncio.sleep(0.15)  # the sweep has looked at the clock
            received += await client.rest()
    assert received.endswith(body)


@contextlib.asynccontextmanager
async def _narrow(gateway: Ending) -> AsyncIterator[Client]:
    """A connection on which the kernel holds little, on either side."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, gateway.address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    client = Client(reader, writer)
    await turns()
    gateway.protocols[-1]._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        yield client
    finally:
        await client.close()


async def test_a_mistake_in_routing_leaves_no_client_waiting() -> None:
    """The second request is routed while the first one's reply is sent, on the turn of whoever sends that."""

    class Broken(Routes):
        def find(self, head: Head) -> tuple[Chain, tuple[bytes, ...]]:
            if head.path == b"/broken":
                raise KeyError("a mistake")
            return super().find(head)

    go, entered = asyncio.Event(), asyncio.Event()

    async def slow(_exchange: Exchange) -> Reply:
        entered.set()
        await go.wait()
        return Reply(200, body=b"ok")

    live = LiveCell(Broken(any=chain(slow)), ids=id_source("id"), observe=Observed())
    async with talking(live) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        await entered.wait()
        go.set()
        await client.rest()  # ends: the connection is closed, whatever arrived before
    async with talking(live) as client:
        client.send(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.rest() == b""


async def test_a_connection_whose_unwanted_body_ends_after_the_end_began_does_not_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ending(monkeypatch) as (gateway, client):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        await client.answer()
        gateway.shutdown()
        client.send(b"late")
        await client.writer.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        gateway.clock.advance(1.1)
        assert await client.rest() == b""
