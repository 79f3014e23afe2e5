"""A raw client of the gateway: sends bytes, reads replies strictly, and waits for nothing longer than `PATIENCE`."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import Final, Self

PATIENCE: Final = 8.0  # seconds that only a hanging gateway reaches; less than its own deadlines


@dataclass
class Answer:
    """A reply. Field names are in lower case; `interim` are the heads that came before it."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    raw_head: bytes
    interim: list[bytes] = field(default_factory=list)

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.fields if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class Cut(AssertionError):
    """The reply did not end as its framing says."""


class Client:
    """One connection. Use it as a context."""

    def __init__(self, address: tuple[str, int], source: str | None = None) -> None:
        origin = None if source is None else (source, 0)
        self._socket = socket.create_connection(address, timeout=PATIENCE, source_address=origin)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """What a closing gateway no longer takes is no fault: the reply is what counts."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def end(self) -> None:
        """Sends no more, and still reads."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: bytes = b"GET") -> Answer:
        """The next final reply. Cut when the connection ends within it."""
        interim = []
        while True:
            head = self._until(b"\r\n\r\n")
            line, *rest = head[:-4].split(b"\r\n")
            status = int(line.split(b" ")[1])
            if status >= 200:
                break
            interim.append(head)
        assert line.startswith(b"HTTP/1.1 "), line
        fields = [(name.lower(), value.strip()) for name, _, value in (part.partition(b":") for part in rest)]
        answer = Answer(status, fields, b"", head, interim)
        answer.body = self._body(method, answer)
        return answer

    def _body(self, method: bytes, answer: Answer) -> bytes:
        length, coding = answer.all(b"content-length"), answer.all(b"transfer-encoding")
        assert len(length) + len(coding) <= 1, "framed twice"
        if method == b"HEAD" or answer.status in (204, 304):
            return b""
        if length:
            return self._exactly(int(length[0]))
        if coding:
            assert coding == [b"chunked"]
            return self._chunks()
        return self.rest()

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n")[:-2], 16):
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._exactly(2) == b"\r\n"
        return body

    def _until(self, end: bytes) -> bytes:
        while (at := self._held.find(end)) < 0:
            self._more()
        return self._take(at + len(end))

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _more(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise Cut(f"the connection ended with {self._held[:80]!r}")
        self._held += data

    def rest(self) -> bytes:
        """All that comes until the gateway closes; a reset closes as well. TimeoutError when it does not."""
        pieces = [self._held]
        self._held = b""
        with contextlib.suppress(ConnectionError):
            while piece := self._socket.recv(65_536):
                pieces.append(piece)
        return b"".join(pieces)
