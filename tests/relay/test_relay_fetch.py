"""Typed HTTP calls, TLS upstreams, back-pressure, and the numbers of a pool."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from gateway.core.clock import ManualClock
from gateway.core.errors import BadGateway, GatewayTimeout, Unavailable
from gateway.core.exchange import Exchange, Head, Wire
from gateway.relay.pool import compile_template, open_upstream
from tests.serving import cell, talking
from tests.upstreams import OK, Conversation, always, by_path, once, upstream

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_a_fetch_sends_and_returns_whole_messages() -> None:
    answer = b"HTTP/1.1 201 Created\r\nX-Kind: A\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    async with upstream(by_path(("/base/x", answer))) as recording:
        opened = open_upstream([recording.url + "/base/"])
        fetched = await opened.fetch(b"POST", b"/x?y=1", [(b"Content-Type", b"a/b"), (b"Host", b"evil")], b"body")
        await opened.close()
    assert (fetched.status, fetched.get(b"x-kind"), fetched.body) == (201, b"A", b"abcdef")
    (received,) = recording.received
    assert (received.method, received.target, received.body) == (b"POST", b"/base/x?y=1", b"body")
    assert received.all(b"host") == [recording.url[7:].encode()]
    assert received.get(b"content-type") == b"a/b"


async def test_fetches_share_connections() -> None:
    async with upstream() as recording:
        opened = open_upstream([recording.url])
        for _ in range(5):
            assert (await opened.fetch(b"GET", b"/")).body == b"ok"
        await opened.close()
    assert recording.connections == 1


@pytest.mark.parametrize(
    "response",
    [OK[:-1], b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", b"nonsense\r\n\r\n", b""],
)
async def test_a_fetch_of_a_broken_response_is_bad_gateway(response: bytes) -> None:
    async with upstream(once(response)) as recording:
        opened = open_upstream([recording.url], retries=0)
        with pytest.raises(BadGateway):
            await opened.fetch(b"POST", b"/")
        await opened.close()


async def test_a_fetch_is_bounded() -> None:
    for size in (101, 1_000_000):
        response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
        async with upstream(always(response)) as recording:
            opened = open_upstream([recording.url])
            with pytest.raises(BadGateway, match="100 bytes"):
                await opened.fetch(b"GET", b"/", limit=100)
            await opened.close()


async def test_a_silent_backend_is_a_timeout() -> None:
    async def silent(conversation: Conversation) -> None:
        await conversation.closed()

    async with upstream(silent) as recording:
        opened = open_upstream([recording.url], timeout=0.05)
        with pytest.raises(GatewayTimeout):
            await opened.fetch(b"GET", b"/")
        await opened.close()


async def test_a_cancelled_fetch_closes_its_connection() -> None:
    """CASES A60, A63"""

    async def waits(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()
        gone.set()

    gone = asyncio.Event()
    async with upstream(waits) as recording:
        opened = open_upstream([recording.url])
        task = asyncio.create_task(opened.fetch(b"GET", b"/"))
        await recording.heard()
        task.cancel()
        await asyncio.wait_for(gone.wait(), 10)
        await opened.close()


@pytest.mark.parametrize("target", [b"/a b", b"a", b"/\r\nX: y", b"/#x", b""])
async def test_a_target_that_would_break_the_request_is_refused(target: bytes) -> None:
    opened = open_upstream(["http://127.0.0.1:1"])
    with pytest.raises(ValueError, match="not a request"):
        await opened.fetch(b"GET", target)


async def test_a_field_that_would_break_the_request_is_refused() -> None:
    """CASES F22"""
    opened = open_upstream(["http://127.0.0.1:1"])
    with pytest.raises(ValueError, match="control character"):
        await opened.fetch(b"GET", b"/", [(b"A", b"x\r\nB: y")])


@pytest.mark.parametrize(
    "target", ["a:1", "ftp://a", "http://", "http://u:p@a", "http://a?x=1", "http://a#x", "http://a:99999"]
)
def test_a_target_that_is_no_upstream_is_refused(target: str) -> None:
    with pytest.raises(ValueError):
        open_upstream([target])


@contextlib.asynccontextmanager
async def tls_upstream(authority: trustme.CA, name: str) -> AsyncIterator[int]:
    """A TLS server that answers everything with OK."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_tls_upstream_is_verified() -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with tls_upstream(authority, "localhost") as port:
        opened = open_upstream([f"https://localhost:{port}"], tls=trusting)
        assert (await opened.fetch(b"GET", b"/")).body == b"ok"
        await opened.close()
        distrusting = open_upstream([f"https://localhost:{port}"], retries=0)
        with pytest.raises(BadGateway):
            await distrusting.fetch(b"GET", b"/")
        await distrusting.close()


async def test_a_client_that_does_not_read_stops_the_upstream() -> None:
    sent = 0
    full = asyncio.Event()
    size, piece = 64 * 1024 * 1024, b"x" * 1024 * 1024

    async def large(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            conversation.send(piece)
            sent += len(piece)
            drained = asyncio.ensure_future(conversation.writer.drain())
            for _ in range(200):
                await asyncio.sleep(0)
            if not drained.done():
                full.set()
            await drained

    async with upstream(large) as recording:
        opened = open_upstream([recording.url])
        async with talking(cell(opened.relay(None, ()))) as client:
            client.send(GET)
            await asyncio.wait_for(full.wait(), 10)
            assert sent < size
            status, _, body = await client.answer()
        await opened.close()
    assert (status, len(body)) == (200, size)


async def test_an_upstream_that_does_not_read_stops_the_client() -> None:
    release = asyncio.Event()

    async def slow(conversation: Conversation) -> None:
        await conversation.head()
        conversation.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await release.wait()
        conversation.reader._transport.resume_reading()  # type: ignore[attr-defined]
        received = conversation._upstream.received[0]
        await conversation.reader.readexactly(int(received.get(b"content-length") or 0))
        conversation.send(OK)

    size = 64 * 1024 * 1024
    async with upstream(slow) as recording:
        opened = open_upstream([recording.url])
        live = cell(opened.relay(None, ()))
        async with talking(live) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            await recording.heard()
            for _ in range(500):
                await asyncio.sleep(0)
            assert client.writer.transport.get_write_buffer_size() > size // 2
            release.set()
            assert (await client.answer())[0] == 200
        await opened.close()


async def test_a_request_that_waits_too_long_for_a_connection_is_503() -> None:
    async def waits(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()

    clock = ManualClock()
    async with upstream(waits) as recording:
        opened = open_upstream([recording.url], max_connections=1, timeout=1000, clock=clock)
        first = asyncio.create_task(opened.fetch(b"GET", b"/"))
        await recording.heard()
        second = asyncio.create_task(opened.fetch(b"GET", b"/"))
        await asyncio.sleep(0)
        clock.advance(20)
        with pytest.raises(Unavailable):
            await second
        first.cancel()
        await asyncio.wait([first])
        await opened.close()


async def test_an_unused_connection_is_closed_after_a_while() -> None:
    clock, gone = ManualClock(), asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.closed()
        gone.set()

    async with upstream(answer) as recording:
        opened = open_upstream([recording.url], clock=clock)
        await opened.fetch(b"GET", b"/")
        clock.advance(31)
        await asyncio.wait_for(gone.wait(), 10)
        await opened.close()


def _path(template: str | None, names: tuple[str, ...], params: tuple[bytes, ...]) -> bytes:
    wire: Wire = None  # type: ignore[assignment]
    exchange = Exchange("id", Head(b"GET", b"/own"), wire, None)  # type: ignore[arg-type]
    exchange.params = params
    return compile_template(template, names)(exchange)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (None, b"/own"),
        ("/api/**", b"/api/b/c"),
        ("/{id}", b"/7"),
        ("/a/{id}/x/**", b"/a/7/x/b/c"),
        ("/fixed", b"/fixed"),
    ],
)
def test_a_template_takes_the_raw_segments_of_the_route(template: str | None, path: bytes) -> None:
    assert _path(template, ("id", "**"), (b"7", b"b/c")) == path


@pytest.mark.parametrize("template", ["/{other}", "relative", "/a?x=1", "/a b", "/a#b"])
def test_a_template_that_cannot_be_filled_is_refused_when_it_is_built(template: str) -> None:
    with pytest.raises(ValueError):
        compile_template(template, ("id",))
