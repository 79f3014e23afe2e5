"""The cache over the relay: real sockets, a recording upstream, our protocol class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, Cut, MemoryWire
from gateway.policy import cache
from gateway.relay.pool import HttpUpstream, open_upstream
from tests.policy.cache_harness import how
from tests.policy.policy_harness import Gateway, OneChain
from tests.upstreams import Conversation, RecordingUpstream, upstream

BIG = b"x" * 200_000


class Relayed:
    """A cache before a relay. `script` answers each request of the upstream in its turn."""

    def __init__(self, gateway: Gateway, config: dict[str, Any]) -> None:
        self.gateway = gateway
        self.config = config
        self.script: list[Any] = []

    async def answering(self, conversation: Conversation) -> None:
        while True:
            await conversation.request()
            for part in self.script.pop(0):
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif part is None:
                    conversation.reset()
                    return
                else:
                    conversation.send(part)

    def begin(self, up: RecordingUpstream) -> None:
        self.upstream = up
        self.pool: HttpUpstream = open_upstream([up.url])
        built = self.gateway.build(cache.KIND, self.config)
        chain = self.gateway.chain(built, last=self.pool.relay(None, ()))  # type: ignore[arg-type]
        self.live = LiveCell(OneChain(chain), id_source("id"), self.gateway.clock)

    async def get(self, **fields: str) -> Answer:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        return await MemoryWire.request(self.live, "GET", "/a", named)


def head(control: str = "max-age=60", **fields: str) -> bytes:
    named = {"Cache-Control": control} | {name.replace("_", "-"): value for name, value in fields.items()}
    return b"HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()).encode()


@pytest.fixture
async def relayed(gateway: Gateway) -> AsyncIterator[Relayed]:
    found = Relayed(gateway, {})
    async with upstream(found.answering) as up:
        found.begin(up)
        yield found
        await found.pool.close()


async def test_a_response_that_comes_whole_is_stored(relayed: Relayed) -> None:
    relayed.script = [[head(Content_Length="2") + b"\r\nok"]]
    first, second = await relayed.get(), await relayed.get()
    assert (first.body, second.body, how(second)) == (b"ok", b"ok", "hit")


async def test_a_stream_passes_at_once_and_is_stored(relayed: Relayed) -> None:
    """Nothing is held back, and its length stays known."""
    go = asyncio.Event()
    relayed.script = [[head(Content_Length=str(len(BIG))) + b"\r\n" + BIG[:1000], go, BIG[1000:]]]
    wire = MemoryWire.open(relayed.live, "GET", "/a")
    status, fields = await wire.head()
    assert (status, dict(fields)[b"content-length"]) == (200, b"200000")
    first = b""
    while len(first) < 1000:
        first += await wire.read()
    go.set()
    assert first + await wire.rest() == BIG
    second = await relayed.get()
    assert (second.body, how(second)) == (BIG, "hit")


async def test_a_chunked_response_is_stored_without_its_framing(relayed: Relayed) -> None:
    relayed.script = [
        [head(Transfer_Encoding="chunked") + b"\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"]
    ]
    assert (await relayed.get()).body == b"abcde"
    second = await relayed.get()
    assert (second.body, how(second), second.get(b"x-trailer")) == (b"abcde", "hit", None)


@pytest.mark.parametrize("framing", [{"Content_Length": "10"}, {"Transfer_Encoding": "chunked"}])
async def test_a_response_that_was_cut_is_never_stored(relayed: Relayed, framing: dict[str, str]) -> None:
    """CASES A58"""
    part = b"3\r\nabc\r\n" if "Transfer_Encoding" in framing else b"abc"
    relayed.script = [[head(**framing) + b"\r\n" + part, None], [head(Content_Length="2") + b"\r\nok"]]
    with pytest.raises(Cut):
        await relayed.get()
    assert (await relayed.get()).body == b"ok"


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(relayed: Relayed) -> None:
    """CASES A60"""
    go = asyncio.Event()
    relayed.script = [[head(Content_Length="4") + b"\r\nab", go, b"cd"], [head(Content_Length="2") + b"\r\nok"]]
    wire = MemoryWire.open(relayed.live, "GET", "/a")
    await wire.head()
    waiting = asyncio.create_task(relayed.get())
    await asyncio.sleep(0)
    wire.disconnect()
    answer = await waiting
    assert (answer.body, how(answer)) == (b"ok", "fwd=miss; fwd-status=200; stored")
    go.set()


async def test_a_stream_that_grows_too_large_passes(gateway: Gateway) -> None:
    relayed = Relayed(gateway, {"max_body": 1000})
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    relayed.script = [[head(Transfer_Encoding="chunked") + b"\r\n" + chunk * 3 + b"0\r\n\r\n"] for _ in range(2)]
    async with upstream(relayed.answering) as up:
        relayed.begin(up)
        assert len((await relayed.get()).body) == 3000
        assert how(await relayed.get()).startswith("fwd=miss")
        await relayed.pool.close()


async def test_a_304_freshens_and_its_connection_goes_on(relayed: Relayed) -> None:
    relayed.script = [
        [head(Content_Length="2", ETag='"x"') + b"\r\nok"],
        [b'HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "x"\r\nX-New: 1\r\n\r\n'],
    ]
    await relayed.get()
    relayed.gateway.clock.advance(61)
    answer = await relayed.get(If_None_Match='"other"')
    assert (answer.status, answer.body) == (200, b"ok")
    assert relayed.upstream.received[1].all(b"if-none-match") == [b'"x"']
    relayed.gateway.clock.advance(59)
    again = await relayed.get()
    assert (again.body, how(again), again.get(b"x-new")) == (b"ok", "hit", b"1")
    assert relayed.upstream.connections == 1


@pytest.mark.parametrize(
    "failure",
    [
        [b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"],
        [b"HTTP/1.1 503 Busy\r\nContent-Length: 99999\r\n\r\nbusy", None],
        [b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n"],
    ],
    ids=["whole", "cut", "chunked"],
)
async def test_stale_if_error_covers_a_failing_upstream(relayed: Relayed, failure: list[Any]) -> None:
    relayed.script = [[head("max-age=60, stale-if-error=60", Content_Length="2") + b"\r\nok"], failure]
    await relayed.get()
    relayed.gateway.clock.advance(61)
    answer = await relayed.get()
    assert (answer.status, answer.body, answer.get(b"content-length")) == (200, b"ok", b"2")


async def test_stale_if_error_covers_an_upstream_that_cannot_be_reached(relayed: Relayed) -> None:
    close = b"Connection: close\r\nContent-Length: 2\r\n\r\nok"
    relayed.script = [[head("max-age=60, stale-if-error=60") + close], [None], [None], [None]]
    await relayed.get()
    relayed.gateway.clock.advance(61)
    answer = await relayed.get()
    assert (answer.status, answer.body) == (200, b"ok")


async def test_stale_while_revalidate_fetches_without_a_client(relayed: Relayed) -> None:
    control = "max-age=60, stale-while-revalidate=60"
    relayed.script = [
        [head(control, Content_Length="2") + b"\r\nok"],
        [head(control, Content_Length=str(len(BIG))) + b"\r\n" + BIG[:1000], BIG[1000:]],
    ]
    await relayed.get()
    relayed.gateway.clock.advance(61)
    assert (await relayed.get()).body == b"ok"
    await relayed.upstream.heard(2)
    async with asyncio.timeout(10):
        while (await relayed.get()).body != BIG:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.005)
    assert len(relayed.upstream.received) == 2


async def test_an_event_stream_is_never_stored(relayed: Relayed) -> None:
    events = head(Content_Type="text/event-stream", Transfer_Encoding="chunked") + b"\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n"
    relayed.script = [[events], [events]]
    await relayed.get()
    assert how(await relayed.get()).startswith("fwd=miss")


@pytest.mark.parametrize("bad", [b"X-Bad: a\x00b", b"X Bad: a"])
async def test_a_head_that_would_break_the_message_is_not_stored(relayed: Relayed, bad: bytes) -> None:
    """CASES F22"""
    relayed.script = [
        [b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + bad + b"\r\nContent-Length: 2\r\n\r\nno"],
        [head(Content_Length="2") + b"\r\nok"],
    ]
    assert (await relayed.get()).status == 502
    assert (await relayed.get()).body == b"ok"
