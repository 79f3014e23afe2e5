"""Random bytes against the framing: the same bytes cut anywhere give the same answers, and whatever a client sends,
the upstream gets well-formed requests, one for each that is answered 2xx."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.exchange import Exchange, Reply
from gateway.server.protocol import GatewayProtocol
from tests.conformance.gateway_node import Gateway, well_formed
from tests.conformance.raw_client import Cut
from tests.serving import cell

# what requests are made of: mostly right, sometimes not

METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"get", b"TRACE", b"G T", b""])
TARGETS = st.sampled_from(
    [
        b"/open/a",
        b"/open/a?b",
        b"/open/a/../b",
        b"/open/%2e",
        b"/open//",
        b"*",
        b"http://a/open/x",
        b"/open/a#b",
        b"/open/\x00",
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.1 ", b""])
FIELDS = st.sampled_from(
    [
        b"Host: a",
        b"Host: a",
        b"Host: a",
        b"Host: b c",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: +5",
        b"Content-Length: 1000",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: x",
        b"Transfer-Encoding : chunked",
        b"Expect: 100-continue",
        b"Connection: close",
        b"Connection: ,host",
        b"Connection: content-length",
        b"A: b",
        b"A:",
        b"A_B: c",
        b" A: b",
        b"A: b\x00",
        b"A\x0b: c",
        b"Upgrade: h2c",
        b"X-Forwarded-For: 6.6.6.6",
        b"Trailer: A",
    ]
)
BODIES = st.sampled_from(
    [
        b"",
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"\r\n",
        b"GET /open/z HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
)
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    fields = draw(st.lists(FIELDS, max_size=5))
    if draw(st.integers(0, 3)):
        fields = [b"Host: a", *(field for field in fields if not field.startswith(b"Host"))]
    return b"".join(part + draw(ENDS) for part in (line, *fields, b"")) + draw(BODIES)


def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A byte changed, taken away or put in, now and then."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        width = draw(st.integers(0, 1))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b"\r", b"\n", b" ", b"\x00", b":", b"0", b"\xff"]))
            + data[at + width :]
        )
    return data


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    return mutated(draw, b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))


# in memory: cuts


class Pipe(asyncio.Transport):
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 4711) if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class State:
    """What uvicorn shares between its connections."""

    def __init__(self) -> None:
        self.connections: set[object] = set()
        self.total_requests = 0


def _echo(exchange: Exchange) -> Reply:
    head = exchange.head
    return Reply(200, body=b"%b %b %b %r" % (head.method, head.target, head.block, exchange.body))


async def _replies(pieces: list[bytes]) -> bytes:
    """All that a gateway writes for these pieces, which come in turn."""
    live = cell(lambda exchange: exchange.wire.buffer(exchange, 1000), _echo)
    live.ids = lambda: "id"
    pipe, state = Pipe(), State()
    protocol = GatewayProtocol(None, state, {"live": live})
    protocol.connection_made(pipe)
    for piece in pieces:
        if pipe.closed:
            break
        protocol.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return re.sub(rb"\r\nDate: [^\r]+", b"", b"".join(pipe.written))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if end > start]


def _statuses(raw: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)


_refusal = re.compile(rb"HTTP/1\.1 (?:4\d\d|505) (?:(?!\r\n\r\n).)*\r\nConnection: close\r\n.*", re.DOTALL)


def _comparable(raw: bytes) -> bytes:
    """Without 100 (Continue), which is not sent once the body is there. A refusal is a refusal: which of the things
    that are wrong with a message is told depends on what came first."""
    raw = raw.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return re.sub(
        rb"HTTP/1\.1 (?:4\d\d|505) (?:(?!\r\n\r\n).)*\r\nConnection: close\r\n.*", b"refused", raw, flags=re.S
    )


@settings(max_examples=15000)
@given(streams(), st.lists(st.integers(0, 10_000), max_size=8))
def test_the_same_bytes_cut_anywhere_give_the_same_answers(data: bytes, places: list[int]) -> None:
    async def both() -> tuple[bytes, bytes]:
        return await _replies([data]), await _replies(cut(data, places))

    whole, parts = asyncio.run(both())
    assert _comparable(whole) == _comparable(parts)


@settings(max_examples=6000)
@given(streams())
def test_bytes_that_come_one_by_one_give_the_same_answers(data: bytes) -> None:
    async def both() -> tuple[bytes, bytes]:
        return await _replies([data]), await _replies([bytes((byte,)) for byte in data])

    whole, parts = asyncio.run(both())
    assert _comparable(whole) == _comparable(parts)


# against the started node: invariants


@settings(max_examples=6000)
@given(data=streams())
def test_whatever_comes_the_upstream_gets_one_whole_request_for_each_answer(gateway: Gateway, data: bytes) -> None:
    """No 5xx, no hang, no worker lost."""
    done = len(gateway.upstream.completed)
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(data)
        gateway.fence(mark)
        complete = len(gateway.upstream.completed) - done - 1  # but for the fence
        raw = b""
        while _statuses(raw).count(b"200") < complete:
            raw += client._socket.recv(65_536) or _cut(raw)
        client.end()
        raw += client.rest()
        raw = client._held + raw
    statuses = _statuses(raw)
    assert statuses.count(b"200") == complete
    assert all(status < b"500" or status == b"505" for status in statuses)
    assert len(gateway.upstream.completed) - done - 1 == complete


def _cut(raw: bytes) -> bytes:
    raise Cut(f"answered only {raw!r}")


def test_the_upstream_never_got_anything_but_requests(gateway: Gateway) -> None:
    """Of all that this test process has sent, by any test before."""
    gateway.upstream.settle()
    assert all(well_formed(bytes(stream.raw)) for stream in gateway.upstream.streams)


def test_what_is_malformed_is_seen() -> None:
    good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nokGET /"
    assert well_formed(good)
    assert not well_formed(good.replace(b"okGET", b"okokGET"))
    assert not well_formed(good.replace(b"Host:", b"Host :"))
    assert not cast(bool, well_formed(good.replace(b"ost: a\r\n", b"ost: a\n")))
