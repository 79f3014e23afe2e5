"""SIGTERM and Ctrl-C: what is in flight ends well, then everything ends (CASES A66; PERFORMANCE: drain)."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.server.nodes import Node, client, gone, until

GRACE = 20.0


@contextmanager
def shop(folder: Path, workers: int = 1, grace: float = GRACE) -> Iterator[tuple[Node, str]]:
    with Node(folder, "--processes", "node_processes", workers=workers, PENSTOCK_GRACE=str(grace)) as node:
        node.start()
        node.publish_shop()
        yield node, node.key()


class InFlight(threading.Thread):
    """A request that waits at a gate."""

    def __init__(self, node: Node, key: str, name: str) -> None:
        super().__init__()
        self.node, self.key, self.gate = node, key, name
        self.answer: httpx2.Response | Exception | None = None
        self.start()
        until(lambda: node.noted(f"{name}.entered"), "the request is in flight")

    def run(self) -> None:
        try:
            self.answer = self.node.get(f"/shop/v1/gates/{self.gate}", self.key)
        except httpx2.TransportError as error:
            self.answer = error

    def open(self) -> None:
        (self.node.files / f"{self.gate}.open").touch()
        self.join()


def refuses(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_request_in_flight_ends_well_and_an_idle_connection_is_closed(tmp_path: Path) -> None:
    with shop(tmp_path) as (node, key), client() as idle:
        assert idle.get(f"{node.url}/shop/v1/who", headers={"X-API-KEY": key}).status_code == 200
        sock = socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2])))
        head = f"GET /shop/v1/who HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\n\r\n".encode()
        sock.sendall(head)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        flight = InFlight(node, key, "drained")
        children = node.pids()

        node.process.send_signal(signal.SIGTERM)
        sock.settimeout(GRACE)
        assert sock.recv(65536) == b"", "the idle connection is closed"
        sock.close()
        until(lambda: not node.health()["ready"], "readiness fails while the request is still in flight")
        assert flight.is_alive()
        assert node.process.poll() is None

        flight.open()
        assert isinstance(flight.answer, httpx2.Response)
        assert flight.answer.status_code == 200
        assert flight.answer.json() == "drained"
        assert node.ended() == 0
        gone(*children)
        assert refuses(node.url)


def test_readiness_fails_first_while_connections_are_still_accepted(tmp_path: Path) -> None:
    """CASES A66; the drain promise"""
    with Node(
        tmp_path, "--processes", "node_processes", workers=1, PENSTOCK_GRACE="60", PENSTOCK_DRAIN_DELAY="60"
    ) as node:
        node.start()
        node.publish_shop()
        key = node.key()
        assert node.get("/-/ready").json() == {"ready": True}
        flight = InFlight(node, key, "drained")
        node.process.send_signal(signal.SIGTERM)
        refused = until(lambda: (told := node.get("/-/ready")).status_code == 503 and told, "readiness fails")
        assert refused.headers["connection"] == "close"
        assert node.get("/-/live").status_code == 200
        served = node.get("/shop/v1/who", key)
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        flight.open()
        assert isinstance(flight.answer, httpx2.Response)
        assert flight.answer.status_code == 200
        node.process.send_signal(signal.SIGTERM)
        assert node.ended() == 0
        assert refuses(node.url)


def test_a_second_signal_does_not_wait_for_what_is_in_flight(tmp_path: Path) -> None:
    with shop(tmp_path, grace=600) as (node, key):
        flight = InFlight(node, key, "given-up")
        node.process.send_signal(signal.SIGTERM)
        until(lambda: not node.health()["ready"], "it drains")
        node.process.send_signal(signal.SIGTERM)
        assert node.ended() == 0
        flight.join()
        assert isinstance(flight.answer, Exception)


def test_the_grace_period_ends_what_does_not_end_by_itself(tmp_path: Path) -> None:
    with shop(tmp_path, grace=0.5) as (node, key):
        flight = InFlight(node, key, "too-slow")
        began = time.monotonic()
        assert node.stop() == 0
        flight.join()
        assert isinstance(flight.answer, Exception) or flight.answer.status_code == 503  # type: ignore[union-attr]
        assert time.monotonic() - began < GRACE


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.launch()
        until(lambda: len(node.pids()) == 4, "its children are there")
        children = node.pids()
        assert node.stop() == 0
        gone(*children)
