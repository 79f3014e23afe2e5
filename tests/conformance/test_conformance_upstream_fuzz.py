"""Random responses against the relay's own reading of them: cut anywhere, they mean the same."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadGateway, Problem
from gateway.core.framing_reply import ReplyHead
from gateway.relay.connection import Connection
from gateway.relay.pool import open_upstream
from gateway.relay.settings import Settings
from tests.conformance.test_conformance_fuzz import Pipe, cut, mutated

LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 6
    + [b"HTTP/1.0 200 OK", b"HTTP/1.1 204 X", b"HTTP/1.1 304 X", b"HTTP/1.1 600 X", b"HTTP/2 200"]
)
FIELDS = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Connection: close",
        b"Connection: ,x",
        b"A: b",
        b"A:",
        b"A : b",
        b" A: b",
    ]
)
BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
        b"0\r\n\r\n",
        b"5\nhello\n",
        b"x\r\n",
        b"hell",
    ]
)
INTERIM = st.sampled_from(
    [b"", b"", b"", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n", b"HTTP/1.1 101 S\r\n\r\n"]
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    fields = draw(st.lists(FIELDS, max_size=3))
    head = b"".join(part + b"\r\n" for part in (draw(LINES), *fields, b""))
    return mutated(draw, draw(INTERIM) + head + draw(BODIES))


class Heard:
    """A receiver that keeps what it hears."""

    settings = Settings()

    def __init__(self) -> None:
        self.status = 0
        self.interim: list[int] = []
        self.body = b""
        self.end = ""

    def whole(self, head: ReplyHead, body: bytes) -> None:
        assert not self.status
        self.status, self.body, self.end = head.status, body, "ended"

    def informed(self, head: ReplyHead) -> None:
        self.interim.append(head.status)

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        assert not self.status
        self.status = head.status

    def data(self, data: bytes) -> None:
        assert self.status
        assert not self.end
        self.body += data

    def ended(self) -> None:
        assert not self.end
        self.end = "ended"

    def failed(self, problem: Problem, silent: bool) -> None:
        assert not self.end
        self.end = "failed"

    def switched(self, connection: Connection, head: ReplyHead, rest: bytes) -> None:
        raise BadGateway("The upstream switched protocols; nobody asked for that.")

    def quiet(self) -> float:
        return 0.0

    def full(self) -> None: ...
    def drained(self) -> None: ...

    def meaning(self) -> tuple[object, ...]:
        """A response that failed is as good as none, whatever of it was passed on."""
        return (self.status, self.interim, self.body) if self.end == "ended" else ("failed",)


async def _heard(pieces: list[bytes], method: bytes) -> tuple[Heard, int]:
    """What a receiver hears of these pieces and of the connection's end, and how many bytes it took to be complete."""
    upstream = cast(Any, open_upstream(["http://127.0.0.1:1"]))
    pool = upstream._rotation.pools[0]
    connection, pipe, heard = Connection(pool), Pipe(), Heard()
    connection.connection_made(pipe)
    connection.begin(heard, method, b"", False)
    connection.finish()
    taken = 0
    for piece in pieces:
        if heard.end or pipe.closed:
            break
        connection.data_received(piece)
        taken += len(piece)
    if not heard.end:
        connection.connection_lost(None)
    await upstream.close()
    return heard, taken


@settings(max_examples=400)
@given(responses(), st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([b"GET", b"GET", b"HEAD"]))
def test_a_response_cut_anywhere_means_the_same(data: bytes, places: list[int], method: bytes) -> None:
    """But for bytes behind it: they make a response ambiguous only when they come along with it."""

    async def both() -> None:
        parts, _ = await _heard(cut(data, places), method)
        single, taken = await _heard([bytes((byte,)) for byte in data], method)
        assert parts.meaning() == single.meaning() or (parts.end == "failed" and taken < len(data))

    asyncio.run(both())


@settings(max_examples=300)
@given(responses())
def test_a_response_that_comes_byte_by_byte_means_the_same(data: bytes) -> None:
    async def both() -> None:
        parts, taken = await _heard([bytes((byte,)) for byte in data], b"GET")
        whole, _ = await _heard([data[:taken]], b"GET")
        assert parts.meaning() == whole.meaning()

    asyncio.run(both())
