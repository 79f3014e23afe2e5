"""Event streams through the relay: at once, silent for long, and ended between two events."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange
from gateway.core.leaving import Leaving
from gateway.core.live import LiveCell
from gateway.relay.event_stream import EventStream, is_event_stream
from gateway.relay.pool import open_upstream
from tests.serving import Client, cell, connected, served
from tests.upstreams import Conversation, upstream

GET = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """An upstream that sends what the test tells it; `seen` is the step that remembers the exchange."""

    def __init__(self, head: bytes = HEAD) -> None:
        self.head = head
        self.conversation: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.exchange: Exchange | None = None

    def seen(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def answering(self, conversation: Conversation) -> None:
        await conversation.head()
        conversation.send(self.head)
        self.conversation.set_result(conversation)
        await conversation.closed()
        self.closed.set()

    def leave(self, why: Leaving = Leaving.DRAINING) -> None:
        assert self.exchange is not None
        wire = self.exchange.wire
        if why is Leaving.DRAINING:
            wire.shutdown()  # type: ignore[attr-defined]
        else:
            wire.end_early(why)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def streaming(
    stream: Stream, clock: ManualClock | None = None, **options: float
) -> AsyncIterator[tuple[Client, Conversation, LiveCell]]:
    """A client that has asked for the stream, and has its head."""
    async with upstream(stream.answering) as recording:
        opened = open_upstream([recording.url], clock=clock, **options)  # type: ignore[arg-type]
        live = cell(stream.seen, opened.relay(None, ()))
        if clock is not None:
            live.clock = clock
        async with served(live) as address, connected(address) as client:
            client.send(GET)
            assert (await client.head())[0] == 200
            yield client, await stream.conversation, live
        await opened.close()


async def next_chunk(client: Client) -> bytes:
    size = int((await client.reader.readuntil(b"\r\n"))[:-2], 16)
    return (await client.reader.readexactly(size + 2))[:-2]


async def settle() -> None:
    """A sweep has passed."""
    await asyncio.sleep(0.11)


async def test_each_event_is_passed_on_before_the_next_is_sent() -> None:
    async with streaming(Stream()) as (client, conversation, _):
        for number in range(3):
            conversation.send(chunk(b"data: %d\n\n" % number))
            assert await next_chunk(client) == b"data: %d\n\n" % number


async def test_a_silent_event_stream_is_cut_by_its_own_limit_alone() -> None:
    clock, stream = ManualClock(), Stream()
    async with streaming(stream, clock, idle_timeout=5.0, stream_idle=100.0) as (client, conversation, live):
        await settle()
        clock.advance(99)
        await settle()
        conversation.send(chunk(b"data: still\n\n"))
        assert await next_chunk(client) == b"data: still\n\n"
        clock.advance(101)
        assert await client.rest() == b"", "it is cut, not ended"
        await live.observe.first()  # type: ignore[attr-defined]
        await asyncio.wait_for(stream.closed.wait(), 10)


async def test_another_stream_is_cut_when_it_is_silent() -> None:
    clock = ManualClock()
    head = HEAD.replace(b"text/event-stream", b"text/plain")
    async with streaming(Stream(head), clock, idle_timeout=5.0, stream_idle=100.0) as (client, _, _live):
        await settle()
        clock.advance(6)
        assert await client.rest() == b""


async def test_a_gateway_that_drains_ends_a_stream_between_two_events() -> None:
    """CASES A66"""
    stream = Stream()
    async with streaming(stream) as (client, conversation, _):
        conversation.send(chunk(b"data: 1\n\ndata: 2"))
        assert await next_chunk(client) == b"data: 1\n\ndata: 2"
        stream.leave()
        conversation.send(chunk(b"\ndata: more\n\ndata: never\n\n"))
        assert await client.rest() == chunk(b"\ndata: more\n\n") + b"0\r\n\r\n"
        await asyncio.wait_for(stream.closed.wait(), 10)


@pytest.mark.parametrize("sent", [b"", b"data: 1\r\n\r\n", b"data: 1\r\r", b": a comment\n\n"])
async def test_a_stream_that_stands_between_two_events_ends_at_once(sent: bytes) -> None:
    stream = Stream()
    async with streaming(stream) as (client, conversation, _):
        if sent:
            conversation.send(chunk(sent))
            assert await next_chunk(client) == sent
        stream.leave()
        assert await client.rest() == b"0\r\n\r\n"
        await asyncio.wait_for(stream.closed.wait(), 10)


async def test_a_stream_that_begins_while_the_gateway_drains_ends_at_once() -> None:
    stream, asked = Stream(), asyncio.Event()

    async def late(conversation: Conversation) -> None:
        await conversation.head()
        await asked.wait()
        conversation.send(HEAD + chunk(b"data: 1\n\n"))
        await conversation.closed()

    async with upstream(late) as recording:
        opened = open_upstream([recording.url])
        async with served(cell(stream.seen, opened.relay(None, ()))) as address, connected(address) as client:
            client.send(GET)
            await recording.heard()
            stream.leave()
            asked.set()
            status, fields = await client.head()
            assert (status, fields[b"connection"]) == (200, b"close")
            assert await client.rest() == b"0\r\n\r\n"
        await opened.close()


async def test_a_revoked_client_has_the_event_that_is_under_way_and_is_cut_when_that_does_not_end() -> None:
    stream = Stream()
    async with streaming(stream) as (client, conversation, _):
        conversation.send(chunk(b"data: 1"))
        assert await next_chunk(client) == b"data: 1"
        stream.leave(Leaving.REVOKED)
        conversation.send(chunk(b" goes on"))
        assert await next_chunk(client) == b" goes on"
        stream.leave(Leaving.REVOKED)
        assert await client.rest() == b""


async def test_a_compressed_stream_is_cut_as_its_events_cannot_be_seen() -> None:
    stream = Stream(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
    async with streaming(stream) as (client, conversation, _):
        conversation.send(chunk(b"\x1f\x8b"))
        await next_chunk(client)
        stream.leave()
        assert await client.rest() == b""


async def test_a_revoked_download_is_cut_and_a_drained_one_goes_on() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    for why, rest in ((Leaving.REVOKED, b""), (Leaving.DRAINING, b"world")):
        stream = Stream(head)
        async with streaming(stream) as (client, conversation, _):
            conversation.send(b"hello")
            assert await client.reader.readexactly(5) == b"hello"
            stream.leave(why)
            conversation.send(b"world")
            assert await client.rest() == rest


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_stream_whose_upstream_breaks_off_never_ends_cleanly(how: str) -> None:
    """CASES A58"""
    async with streaming(Stream()) as (client, conversation, live):
        conversation.send(chunk(b"data: 1\n\n"))
        await next_chunk(client)
        getattr(conversation, how)()
        assert await client.rest() == b""
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
        assert (exchange.status, exchange.sent) == (200, 9)


async def test_a_client_that_goes_away_ends_the_stream_upstream() -> None:
    """CASES A60"""
    stream = Stream()
    async with streaming(stream) as (client, _, live):
        await client.close()
        await asyncio.wait_for(stream.closed.wait(), 10)
        await live.observe.first()  # type: ignore[attr-defined]


async def test_a_step_that_needs_the_whole_response_refuses_a_stream() -> None:
    stream = Stream()
    async with upstream(stream.answering) as recording:
        opened = open_upstream([recording.url])
        live = cell(opened.relay(None, ()), collect=1000, readers=1)
        async with served(live) as address, connected(address) as client:
            client.send(GET)
            status, _, body = await client.answer()
            assert status == 502
            assert b"event stream" in body
            await asyncio.wait_for(stream.closed.wait(), 10)
        await opened.close()


async def test_a_client_that_reads_slowly_slows_the_stream_down() -> None:
    """Nothing piles up, however fast the events come."""
    event = b"data: " + b"x" * 100_000 + b"\n\n"
    sent = 0

    async def eager(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.head()
        conversation.send(HEAD)
        for _ in range(300):
            conversation.send(chunk(event))
            await conversation.writer.drain()
            sent += 1
        conversation.send(b"0\r\n\r\n")

    async with upstream(eager) as recording:
        opened = open_upstream([recording.url])
        async with served(cell(opened.relay(None, ()))) as address, connected(address) as client:
            client.send(GET)
            await client.head()
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.05)
            assert sent < 200, "the upstream was paused"
            assert sum([len(piece) async for piece in client.chunks()]) == 300 * len(event)
        await opened.close()


LINES = st.lists(st.sampled_from([b"data: x", b"", b":", b"\r\n", b"\n", b"\r"]), max_size=30).map(b"".join)


def places(data: bytes) -> set[int]:
    """Where an event may be over: the beginning, and behind each empty line, or behind the CR of one."""
    found = {0}
    for line in re.finditer(rb"([^\r\n]*)(\r\n|\n|\r)", data):
        if not line[1]:
            found |= {line.end(), line.start() + 1}
    return found


@given(LINES, st.lists(st.integers(1, 9), max_size=20), st.integers(0, 20))
async def test_a_stream_is_left_behind_an_empty_line_however_it_is_cut_into_reads(
    data: bytes, sizes: list[int], leaves_at: int
) -> None:
    ended: list[bool] = []
    events = EventStream(b"", None, lambda: ended.append(True), lambda: ended.append(False))
    passed, at = b"", 0
    for number, size in enumerate([*sizes, len(data)]):
        if number == leaves_at:
            events.leave()
        passed += events(data[at : at + size], False)
        at += size
    await asyncio.sleep(0)
    assert data.startswith(passed)
    left_at = min(len(data), sum(sizes[:leaves_at]))
    later = {place for place in places(data) if place >= left_at}
    if leaves_at > len(sizes):
        assert (ended, passed) == ([], data)
    elif ended:
        assert (ended, len(passed) in later) == ([True], True)
    else:
        assert not {place for place in later if place > left_at}
        assert passed == data


@pytest.mark.parametrize(
    ("block", "is_one"),
    [
        (b"\r\nContent-Type: text/event-stream", True),
        (b"\r\nA: b\r\nCONTENT-TYPE:text/Event-Stream ;charset=utf-8\r\nC: d", True),
        (b"\r\nContent-Type: text/event-streams", False),
        (b"\r\nX-Content-Type: text/event-stream", False),
        (b"\r\nContent-Type: text/plain", False),
    ],
)
def test_an_event_stream_is_known_by_its_media_type(block: bytes, is_one: bool) -> None:
    assert is_event_stream(block) == is_one
