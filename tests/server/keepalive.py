"""Clients that keep their connections and ask all the time, and that are told nothing of what happens to the node.

A client reconnects when a reply said `Connection: close`, and when its connection was closed while it was not in use.
Whatever else goes wrong, and every status that is not expected, is a failed request.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, Self

from tests.server.nodes import WAIT, until

PATIENCE: Final = 60.0  # seconds for a reply; a request that waits for a worker to start is late, not lost


class Broken(Exception):
    """The request has no proper reply."""


@dataclass
class Tally:
    """What all clients got. `failed` has a text for each request that was not answered as it may be."""

    answered: int = 0
    told: int = 0  # replies that said that the connection closes
    found: int = 0  # connections that were closed while they were not in use
    seconds: list[float] = field(default_factory=list)  # from each request to its reply
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)  # by the request's line
    failed: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the replies came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Clients:
    """`count` clients in threads of their own, from `with` to its end; each sends the `requests` in turn, and expects
    one of their statuses. `expected` may be changed meanwhile."""

    def __init__(self, url: str, expected: Mapping[bytes, Collection[int]], count: int = 8) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.address = host, int(port)
        self.tally = Tally()
        self.expected = dict(expected)
        self._requests = list(expected)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.answered(10 * len(self._threads))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive(), "a client waits for ever"

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def answered(self, more: int, total: int = 0) -> None:
        """Waits until so many further requests have been answered, and `total` in all."""
        wanted = max(self.tally.answered + more, total)
        until(lambda: self.tally.answered >= wanted or self.tally.failed, f"{wanted} requests were answered")

    def _run(self, index: int) -> None:
        requests = cycle(self._requests[index % len(self._requests) :] + self._requests[: index % len(self._requests)])
        connection: socket.socket | None = None
        try:
            while not self._stop.is_set():
                if connection is not None and _ended(connection):
                    connection.close()
                    connection = None
                    self._count(found=1)
                connection = self._ask(connection, next(requests))
        finally:
            if connection is not None:
                connection.close()

    def _ask(self, connection: socket.socket | None, request: bytes) -> socket.socket | None:
        """One request; the connection, if it goes on."""
        line = request.split(b" HTTP")[0].decode()
        fresh, began = connection is None, time.monotonic()
        try:
            if connection is None:
                connection = self.connect()
            connection.sendall(request)
            head, body = _reply(connection)
        except (OSError, Broken) as error:
            where = "a new connection" if fresh else "a kept connection"
            self._count(failed=f"{line} on {where}: {error!r}")
            if connection is not None:
                connection.close()
            return None
        status = int(head[9:12])
        self._answered(line, status, time.monotonic() - began)
        if status not in self.expected[request]:
            self._count(failed=f"{line}: {(head + body[:500]).decode(errors='replace')}")
        closes = b"\r\nconnection: close" in head.lower()
        self._count(answered=1, told=int(closes))
        if closes:
            connection.close()
            return None
        return connection

    def _answered(self, line: str, status: int, seconds: float) -> None:
        with self._lock:
            self.tally.seconds.append(seconds)
            self.tally.statuses[line, status] += 1

    def _count(self, answered: int = 0, told: int = 0, found: int = 0, failed: str = "") -> None:
        with self._lock:
            self.tally.answered += answered
            self.tally.told += told
            self.tally.found += found
            if failed:
                self.tally.failed.append(failed)


def _ended(connection: socket.socket) -> bool:
    """The other side closed it while it was not in use. Whatever stands there to be read is the end, or nonsense."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    if not waiting.poll(0):
        return False
    with contextlib.suppress(OSError):
        assert connection.recv(1) == b"", "bytes that nobody asked for"
    return True


def _reply(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of a reply that came whole, framed by its Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection, data)
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < int(length):
        body += _more(connection, data)
    if len(body) > int(length):
        raise Broken("more than its reply")
    return head, body


def _more(connection: socket.socket, before: bytes) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise Broken("closed within a reply" if before else "closed without a reply")
    return data
