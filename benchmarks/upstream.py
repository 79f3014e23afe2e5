"""The smallest HTTP upstream that keeps connections alive: 100 bytes of JSON for any request head. One process."""

from __future__ import annotations

import asyncio
import sys

import uvloop

BODY = b'{"service":"upstream","padding":"' + b"x" * 65 + b'"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        """Requests without a body only: each blank line ends one."""
        self.pending += data
        count = self.pending.count(b"\r\n\r\n")
        if count:
            self.pending = self.pending.rpartition(b"\r\n\r\n")[2]
            self.transport.write(REPLY * count)  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
