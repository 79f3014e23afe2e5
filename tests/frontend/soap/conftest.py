"""A SOAP service on a loopback socket: the mount, its chain, and a few processes behind it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from soap_service import ADDRESS, answer

from gateway.core.exchange import Head


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, query = self.path.partition("?")
        block = b"".join(f"\r\n{name}: {value}".encode("latin-1") for name, value in self.headers.items())
        head = Head(self.command.encode(), path.encode(), query.encode(), block, self.headers["host"].encode())
        server = self.server
        reply = asyncio.run(answer(server.mount, server.processes, head, body))  # type: ignore[attr-defined]
        server.requests.append((head, body))  # type: ignore[attr-defined]
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name.decode(), value.decode())
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = _serve

    def log_message(self, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """serve(mount, processes) -> the service's URL; it ends with the test."""
    servers: list[ThreadingHTTPServer] = []

    def start(mount: Any, processes: dict[str, Any]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.mount, server.processes, server.requests = mount, processes, []  # type: ignore[attr-defined]
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}{ADDRESS}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
