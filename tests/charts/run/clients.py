"""Clients in the run's network: single requests, and ones that ask all the time and count what went wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.charts.run.network import connect_in
from tests.charts.run.places import Place
from tests.server.keepalive import PATIENCE, Clients

_TIMEOUT: Final = 30.0


@dataclass
class Answer:
    status: int
    body: bytes
    fields: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Place, address: tuple[str, int], timeout: float) -> None:
        super().__init__(*address, timeout=timeout)
        self._place, self._address = place, address

    def connect(self) -> None:
        self.sock = connect_in(self._place.link.namespace, self._address, self.timeout or _TIMEOUT)


def ask(
    place: Place,
    address: tuple[str, int],
    path: str,
    fields: Mapping[str, str] | None = None,
    body: bytes | None = None,
    method: str = "",
    timeout: float = _TIMEOUT,
) -> Answer:
    """One request from a pod's namespace. OSError where it is refused."""
    with contextlib.closing(_Connection(place, address, timeout)) as connection:
        connection.request(method or ("GET" if body is None else "POST"), path, body, dict(fields or {}))
        reply = connection.getresponse()
        return Answer(reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()})


def reaches(place: Place, address: tuple[str, int], timeout: float = 2.0) -> bool:
    """Whether a connection comes about."""
    try:
        connect_in(place.link.namespace, address, timeout).close()
    except OSError:
        return False
    return True


class Load(Clients):
    """`count` clients in a pod's namespace that keep their connections; see tests/server/keepalive.py. `pause`: seconds
    after each reply, so that a start beside them has the CPU that it would have on a machine of its own."""

    def __init__(
        self,
        place: Place,
        address: tuple[str, int],
        expected: Mapping[bytes, Collection[int]],
        count: int = 8,
        pause: float = 0.02,
    ) -> None:
        super().__init__(f"http://{address[0]}:{address[1]}", expected, count)
        self._place, self._pause = place, pause

    def _ask(self, connection: socket.socket | None, request: bytes) -> socket.socket | None:
        time.sleep(self._pause)
        return super()._ask(connection, request)

    def connect(self) -> socket.socket:
        return connect_in(self._place.link.namespace, self.address, PATIENCE)


def request(path: str, key: str, close: bool = False) -> bytes:
    """As bytes; `close`: a connection for itself."""
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\nX-API-KEY: {key}\r\n{ending}\r\n".encode()
