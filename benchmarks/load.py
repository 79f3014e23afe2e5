"""A paced load: requests leave at a fixed rate, whatever the replies do, and a latency counts from when the request was
due. So a server that stalls is charged for everything that had to wait meanwhile (no coordinated omission).

    python -m benchmarks.load PORT RATE SECONDS CONNECTIONS < REQUEST

Plain non-blocking sockets and epoll: a client that costs little enough to load the fast ones. One reply is awaited on a
connection at a time; a due request without a free connection waits in line, and its waiting counts.
"""

from __future__ import annotations

import gc
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

import orjson

from benchmarks.messages import Message
from benchmarks.servers import pinned
from benchmarks.wrk import Load

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
GRACE = 5.0  # seconds that the last replies may take


def percentile(ordered: list[float], share: float) -> float:
    """Of values in order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Pace:
    """The requests that are due: one every `1 / rate` seconds."""

    def __init__(self, rate: float, seconds: float, began: float) -> None:
        self.gap = 1.0 / rate
        self.left = int(rate * seconds)
        self.next = began

    def stop(self) -> None:
        """Nothing more is due."""
        self.left = 0

    def rest(self, now: float) -> float:
        """Seconds that one may wait for replies: until the next is due, a millisecond at most."""
        return min(0.001, max(0.0, self.next - now)) if self.left else 0.001

    def due(self, now: float) -> list[float]:
        """When each of those was due that are so by now."""
        times = []
        while self.left and self.next <= now:
            times.append(self.next)
            self.next += self.gap
            self.left -= 1
        return times


class Client:
    """Sends over so many connections."""

    def __init__(
        self, port: int, request: bytes, connections: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.request = request
        self.clock = clock
        self.poll = select.epoll()
        self.address = ("127.0.0.1", port)
        self.sockets: dict[int, socket.socket] = {}
        self.free: list[int] = []
        self.due: dict[int, float] = {}
        self.heard: dict[int, bytes] = {}
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.wrong = 0
        for _ in range(connections):
            self._connect()

    def _connect(self) -> None:
        connection = socket.create_connection(self.address)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = connection.fileno()
        self.sockets[number] = connection
        self.poll.register(number, select.EPOLLIN)
        self.free.append(number)

    def run(self, pace: Pace) -> None:
        """Until everything that was due is answered, or the last replies took too long."""
        line: deque[float] = deque()
        until = self.clock() + GRACE
        while (pace.left or line or self.due) and (now := self.clock()) < until:
            line.extend(due := pace.due(now))
            self.lateness.extend(now - each for each in due)
            while line and self.free:
                self._send(line.popleft())
            until = now + GRACE if pace.left else until
            if rest := pace.rest(now):
                select.select((self.poll,), (), (), rest)  # as epoll's own time-out is of whole milliseconds
            for number, _ in self.poll.poll(0):
                self._hear(number)
        self.wrong += len(line) + len(self.due) + pace.left

    def close(self) -> None:
        for connection in self.sockets.values():
            connection.close()
        self.poll.close()

    def _send(self, due: float) -> None:
        number = self.free.pop()
        self.due[number] = due
        self.sockets[number].send(self.request)

    def _hear(self, number: int) -> None:
        try:
            data = self.sockets[number].recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(number)
            return
        data = self.heard.pop(number, b"") + data
        end = data.find(b"\r\n\r\n")
        match = LENGTH.search(data, 0, end + 2) if end >= 0 else None
        if end < 0 or len(data) < end + 4 + (int(match[1]) if match else 0):
            self.heard[number] = data
            return
        self.latencies.append(self.clock() - self.due.pop(number))
        self.wrong += not data.startswith(b"HTTP/1.1 2")
        self.free.append(number)

    def _lost(self, number: int) -> None:
        self.poll.unregister(number)
        self.sockets.pop(number).close()
        self.heard.pop(number, None)
        if self.due.pop(number, None) is not None:
            self.wrong += 1
        if number in self.free:
            self.free.remove(number)
        try:
            self._connect()
        except OSError:  # one connection fewer; what is due waits for the others
            self.wrong += 1


def run(port: int, rate: float, seconds: float, connections: int, request: bytes) -> Load:
    client = Client(port, request, connections)
    gc.disable()
    began = time.perf_counter()
    pace = Pace(rate, seconds, began)
    signal.signal(signal.SIGTERM, lambda *_: pace.stop())
    client.run(pace)
    seconds = time.perf_counter() - began
    latencies, late = sorted(client.latencies), sorted(client.lateness)
    p50, p99 = (percentile(latencies, share) * 1e3 for share in (0.5, 0.99))
    most = latencies[-1] * 1e3 if latencies else 0.0
    return Load(len(latencies), seconds, p50, p99, most, client.wrong, percentile(late, 0.99) * 1e3)


class Paced:
    """The client in a process of its own on `core`, from now on."""

    def __init__(self, port: int, message: Message, rate: float, connections: int, seconds: float, core: int) -> None:
        command = [sys.executable, "-m", "benchmarks.load", str(port), str(rate), str(seconds), str(connections)]
        self._process = subprocess.Popen(pinned(core, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._longest = seconds + GRACE + 30
        assert self._process.stdin is not None
        self._process.stdin.write(message.raw())
        self._process.stdin.close()
        self._process.stdin = None

    def wait(self) -> Load:
        """What it saw, at its end."""
        output, _ = self._process.communicate(timeout=self._longest)
        return Load(**orjson.loads(output))

    def stop(self) -> Load:
        """Nothing more is due; what it saw until now."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()


def paced(port: int, message: Message, rate: float, connections: int, seconds: float, *, core: int) -> Load:
    """A paced load of so many seconds."""
    return Paced(port, message, rate, connections, seconds, core).wait()


def main() -> None:
    port, rate, seconds, connections = sys.argv[1:5]
    found = run(int(port), float(rate), float(seconds), int(connections), sys.stdin.buffer.read())
    sys.stdout.write(orjson.dumps(asdict(found)).decode() + "\n")


if __name__ == "__main__":
    main()
