"""An upstream that echoes, and a component in front of it: what a module's node is asked by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from gateway.manifest.transfer import MEDIA_TYPE, gather, pack
from tests.e2e.gateway_client import Node


class Answering(BaseHTTPRequestHandler):
    """`do_…` of the module's own answers by `answer`."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def listening(upstream: type[Answering]) -> Iterator[str]:
    """Its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), upstream)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def applied(node: Node, manifest: Path) -> Node:
    """With the manifest and the files beside it that it names."""
    node.administer("POST", "/apply", content=pack(gather([manifest])), headers={"Content-Type": MEDIA_TYPE})
    return node
