"""A typed call's request: whole out, whole back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.core import headers
from gateway.core.errors import BadGateway, Problem
from gateway.core.framing_reply import ReplyHead
from gateway.core.trace import CURRENT
from gateway.relay import hygiene
from gateway.relay.connection import Connection
from gateway.relay.rotation import Rotation
from gateway.relay.sending import Sending
from gateway.relay.upstream import Fetched

_OWN = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection"))


class Fetching(Sending):
    """`future` has the answer, or the problem. `limit` bounds the response's body in bytes."""

    __slots__ = ("_block", "_body", "_head", "_limit", "_pieces", "_size", "_target", "future")

    def __init__(
        self,
        rotation: Rotation,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        limit: int,
    ) -> None:
        super().__init__(rotation, method, CURRENT.get())
        self._target = target
        self._block = headers.block(field for field in fields if field[0].lower() not in _OWN)
        self._body = body
        self._limit = limit
        self._head: ReplyHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.future: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()

    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        line = hygiene.body_line(self._method, len(self._body))
        block = self._block
        if self._trace is not None and self._span is not None:
            block += headers.block(self._trace.fields(self._span))
        self._at = self._rotation.monotonic()
        head = b"%b %b%b HTTP/1.1\r\nHost: %b%b%b\r\n\r\n"
        head %= (self._method, prefix, self._target, target_authority, block, line)
        connection.send(self, self._method, head + self._body)

    def replayable(self) -> bool:
        return True

    def whole(self, head: ReplyHead, body: bytes) -> None:
        self._connection = None
        self._heard_of(head.status)
        self._head = head
        self.data(body)
        self.ended()

    def informed(self, head: ReplyHead) -> None:
        """Of no use to a typed call."""

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        self._heard_of(head.status)
        self._head = head

    def data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self.withdraw()
            self.give_up(BadGateway(f"The backend's answer is larger than {self._limit} bytes."))

    def ended(self) -> None:
        self._connection = None
        if self._head is not None and not self.future.done():
            fields = headers.parse(self._head.block)
            self.future.set_result(Fetched(self._head.status, fields, b"".join(self._pieces)))

    def give_up(self, problem: Problem) -> None:
        if not self.future.done():
            self.future.set_exception(problem)

    def full(self) -> None:
        """The whole body is at hand: nobody to slow down."""

    def drained(self) -> None:
        """See `full`."""
