"""A gigabyte each way through a node, and through a WebSocket: equal, in flat memory (PERFORMANCE, targets)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests import soak
from tests.server.nodes import Node
from tests.server.streaming_upstream import BLOCK, StreamingUpstream, block, digest, streaming_upstream
from tests.server.test_node_streams import LIVE, ask, known_key

MEGABYTES = 1024
FLAT = 16 * 1024  # kB


def kilobytes(pid: int, what: str = "VmRSS") -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1])


class Watched(threading.Thread):
    """The most memory that a process had meanwhile."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.before = self.most = kilobytes(pid)
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(StopIteration, FileNotFoundError):  # it has ended, as its test failed
            while not self.over.wait(0.01):
                self.most = max(self.most, kilobytes(self.pid))

    def grown(self) -> int:
        self.over.set()
        self.join()
        return self.most - self.before


@contextmanager
def volume(folder: Path) -> Iterator[tuple[Node, StreamingUpstream, str]]:
    with streaming_upstream() as upstream, Node(folder, workers=1) as node:
        node.start()
        assert node.apply(LIVE.format(url=upstream.url)).status_code == 200
        key = known_key(node, "partner")
        with closing(ask(node, "/bytes/8", key)) as warm:
            received(warm, 8)
        yield node, upstream, key


def received(sock: socket.socket, megabytes: int, slowly: Callable[[], None] = lambda: None) -> str:
    sha, left, head = hashlib.sha256(), megabytes * BLOCK, b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65_536)
    data = head.partition(b"\r\n\r\n")[2]
    while data:
        sha.update(data)
        left -= len(data)
        slowly()
        data = sock.recv(min(left, BLOCK)) if left else b""
    assert left == 0
    return sha.hexdigest()


def told(record: soak.Record, what: str, watched: Watched, began: float) -> None:
    grown = watched.grown()
    record(
        f"{what}: seconds, memory of the worker", f"{time.monotonic() - began:.1f} s, {watched.before} kB + {grown} kB"
    )
    assert grown < FLAT


@pytest.mark.soak
def test_a_gigabyte_goes_down_and_up_in_flat_memory(tmp_path: Path, record: soak.Record) -> None:
    with volume(tmp_path) as (node, _, key):
        (worker,) = node.workers_pids()
        expected = digest(MEGABYTES)
        watched, began = Watched(worker), time.monotonic()
        with closing(ask(node, f"/bytes/{MEGABYTES}", key)) as sock:
            assert received(sock, MEGABYTES) == expected
        told(record, "1 GB down", watched, began)

        address = urlsplit(node.url)
        watched, began = Watched(worker), time.monotonic()
        with closing(socket.create_connection((address.hostname, address.port), 60)) as sock:
            head = f"POST /live/sum HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n"
            sock.sendall(f"{head}Content-Length: {MEGABYTES * BLOCK}\r\n\r\n".encode())
            for number in range(MEGABYTES):
                sock.sendall(block(number))
            answer = b""
            while len(answer.partition(b"\r\n\r\n")[2]) < 64:
                answer += sock.recv(65_536)
        assert answer.endswith(expected.encode())
        told(record, "1 GB up", watched, began)


@pytest.mark.soak
def test_a_client_that_reads_slowly_and_an_upstream_that_does_cost_no_memory(
    tmp_path: Path, record: soak.Record
) -> None:
    with volume(tmp_path) as (node, _, key):
        (worker,) = node.workers_pids()
        watched, began = Watched(worker), time.monotonic()
        socks = [ask(node, "/bytes/64", key) for _ in range(10)]
        time.sleep(3)
        for sock in socks:
            with closing(sock):
                assert received(sock, 64) == digest(64)
        told(record, "10 x 64 MB to clients that wait 3 s", watched, began)


@pytest.mark.soak
async def test_a_gigabyte_is_echoed_through_a_websocket_in_flat_memory(tmp_path: Path, record: soak.Record) -> None:
    async def send(client: ClientConnection) -> None:
        for number in range(MEGABYTES):
            await client.send(block(number))

    with volume(tmp_path) as (node, _, key):
        (worker,) = node.workers_pids()
        url, fields = f"ws{node.url[4:]}/live/ws", {"X-API-KEY": key}
        async with connect(url, additional_headers=fields, compression=None, max_size=None) as client:
            watched, began = Watched(worker), time.monotonic()
            sending = asyncio.create_task(send(client))
            for number in range(MEGABYTES):
                assert await client.recv() == block(number)
            await sending
            told(record, "1 GB echoed through a WebSocket in messages of 1 MB", watched, began)
