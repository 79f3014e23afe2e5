"""A closed-loop load: so many connections, each sending its next request when the last was answered. One process."""

from __future__ import annotations

import asyncio
import re
import sys
import time

import orjson
import uvloop

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, latencies: list[float], wrong: list[int]) -> None:
        self.request, self.until, self.latencies, self.wrong = request, until, latencies, wrong
        self.pending = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.pending += data
        end = self.pending.find(b"\r\n\r\n")
        if end < 0:
            return
        match = LENGTH.search(self.pending, 0, end + 2)
        size = end + 4 + (int(match[1]) if match else 0)
        if len(self.pending) < size:
            return
        self.latencies.append(time.perf_counter() - self.began)
        if not self.pending.startswith(b"HTTP/1.1 2"):
            self.wrong.append(int(self.pending[9:12]))
        self.pending = self.pending[size:]
        if self.began < self.until:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def main(port: int, connections: int, seconds: float, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    wrong: list[int] = []
    until = time.perf_counter() + seconds
    clients = [Client(request, until, latencies, wrong) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(client.done for client in clients))
    latencies.sort()
    count = len(latencies)
    told = {"requests": count, "seconds": seconds, "wrong": len(wrong), "statuses": sorted(set(wrong))}
    told |= {"p50": latencies[count // 2], "p99": latencies[count * 99 // 100]}
    sys.stdout.write(orjson.dumps(told).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read()))
