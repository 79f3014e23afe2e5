"""A gigabyte through the relay, down and up: throughput beside nginx, and the growth of the worker's memory."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import machine, servers
from benchmarks.messages import HOST, KEY
from benchmarks.peers.peer import LOAD, Peer, Running, Site

SIZE = 1_000_000_000
PIECE = b"\0" * 262_144
HEAD = f"Host: {HOST}\r\nX-API-KEY: {KEY}\r\n"
PATH = "/bench/v1/relay/stream"


class Cut(Exception):
    """A stream that did not arrive whole."""


# the upstream


def serve(port: int) -> None:
    """An upstream that sends, or takes, a gigabyte; one connection after another."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                while _answer(connection):
                    pass


def _answer(connection: socket.socket) -> bool:
    """One exchange; False at the end of the connection."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return False
        head += piece
    try:
        if head.startswith(b"GET"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            _send(connection)
        else:
            _take(connection, SIZE - len(head.partition(b"\r\n\r\n")[2]))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
    except (OSError, Cut):
        return False
    return True


def _send(connection: socket.socket) -> None:
    whole, rest = divmod(SIZE, len(PIECE))
    for _ in range(whole):
        connection.sendall(PIECE)
    connection.sendall(PIECE[:rest])


def _take(connection: socket.socket, left: int) -> None:
    buffer = bytearray(len(PIECE))
    while left > 0:
        count = connection.recv_into(buffer)
        if not count:
            raise Cut(f"{left} bytes did not arrive")
        left -= count


# the client


def download(port: int) -> float:
    """Seconds."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        began = time.perf_counter()
        connection.sendall(f"GET {PATH} HTTP/1.1\r\n{HEAD}\r\n".encode())
        _take(connection, SIZE - len(_head(connection)))
        return time.perf_counter() - began


def upload(port: int) -> float:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        began = time.perf_counter()
        connection.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}Content-Length: {SIZE}\r\n\r\n".encode())
        _send(connection)
        _head(connection)
        return time.perf_counter() - began


def _head(connection: socket.socket) -> bytes:
    """Reads a reply's head; what of its body came along."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            raise Cut("the gateway closed the connection without a reply")
        head += piece
    if not head.startswith(b"HTTP/1.1 200"):
        raise Cut(head.partition(b"\r\n")[0].decode("latin-1"))
    return head.partition(b"\r\n\r\n")[2]


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.streams", str(port)]
    with servers.running(command, partial(servers.accepts, port), folder / "stream.out", core=LOAD):
        yield port


def _measured(running: Running, client: Callable[[int], float], count: int) -> tuple[float, float]:
    """The best seconds, and the growth of memory in megabytes over all runs."""
    (worker,) = running.workers[:1]
    before = machine.resident([worker])
    machine.forget_peak(worker)
    seconds = min(client(running.port) for _ in range(count))
    return seconds, max(0.0, machine.peak(worker) - before)


def measure(peer: Peer, folder: Path, upstream_port: int, count: int = 2) -> dict[str, float]:
    """Of one peer: seconds and growth, down and up."""
    place = folder / peer.name
    place.mkdir()
    with peer.run(Site(place, upstream_port)) as running:
        down, down_growth = _measured(running, download, count)
        up, up_growth = _measured(running, upload, count)
    return {"down_seconds": down, "up_seconds": up, "down_growth_mb": down_growth, "up_growth_mb": up_growth}


def figures(penstock: dict[str, float], nginx: dict[str, float] | None) -> dict[str, float]:
    """As `targets.py` reads them; a ratio of throughputs needs nginx."""
    found = {"download_growth_mb": penstock["down_growth_mb"], "upload_growth_mb": penstock["up_growth_mb"]}
    found |= {
        "download_mb_s": SIZE / 1e6 / penstock["down_seconds"],
        "upload_mb_s": SIZE / 1e6 / penstock["up_seconds"],
    }
    if nginx is not None:
        found["download_ratio"] = nginx["down_seconds"] / penstock["down_seconds"]
        found["upload_ratio"] = nginx["up_seconds"] / penstock["up_seconds"]
    return found


if __name__ == "__main__":
    serve(int(sys.argv[1]))
