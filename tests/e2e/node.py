"""A whole node for the end-to-end tests, as a process: the shipped shop, a laboratory of policies, two upstreams.

    python -m tests.e2e.node FOLDER PARENT

Writes FOLDER/ready.json once it serves, and ends by SIGTERM, or when the process PARENT is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from gateway.cli.serving import run
from gateway.demo.tour import Tour, shipped

TOKEN: Final = "pt_" + "e2e" * 10
CHANGED: Final = {
    "{preset: boomi}": "{delays: [50ms, 50ms]}",  # a dead letter need not take 43 seconds
    "limit: 600/1m": "limit: 60000/1m",
}


class Bytes(BaseHTTPRequestHandler):
    """`GET /bytes/N` sends N bytes, `POST /sum` tells the checksum of what came, `/slow` never answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts[0] == "bytes":
            self._answer(pattern(int(parts[1])))
        elif parts[0] == "slow":
            self.rfile.read(1)
        else:
            fields = [[name.lower(), value] for name, value in self.headers.items()]
            self._answer(json.dumps({"path": self.path, "fields": fields}).encode())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces():
            digest.update(piece)
            size += len(piece)
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        self._answer(json.dumps({"sha256": digest.hexdigest(), "size": size, "chunked": chunked}).encode())

    def _pieces(self) -> Any:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            left = int(self.headers.get("Content-Length", "0"))
            while left and (piece := self.rfile.read(min(left, 65_536))):
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def pattern(size: int) -> bytes:
    """Bytes that are not the same anywhere near each other."""
    block = hashlib.sha512(b"penstock").digest()
    return b"".join(hashlib.sha512(block + number.to_bytes(4)).digest() for number in range(size // 64 + 1))[:size]


def documents(folder: Path) -> Path:
    """The shipped documents with the changes above, and the laboratory's."""
    made = folder / "documents"
    (made / "types").mkdir(parents=True)
    source = shipped("api_components")
    for path in source.rglob("*.yaml"):
        text = path.read_text()
        for old, new in CHANGED.items():
            text = text.replace(old, new)
        (made / path.relative_to(source)).write_text(text)
    (made / "lab.yaml").write_text((Path(__file__).parent / "lab.yaml").read_text())
    return made


def guard(parent: int) -> None:
    """Nothing stays behind when the tests were killed."""
    while True:
        time.sleep(0.5)
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGTERM)
            return


def main(folder: Path, parent: int) -> None:
    os.environ["PENSTOCK_ADMIN_TOKEN"] = TOKEN
    threading.Thread(target=guard, args=(parent,), daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bytes)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tour = Tour(folder / "var", "127.0.0.1", 0, 0, 2)
    with tour:
        environment = folder / "var" / "demo" / "environment.yaml"
        with environment.open("a") as more:
            more.write(f'  lab_url: "http://127.0.0.1:{server.server_address[1]}"\n')

        def announce(event: dict[str, Any]) -> None:
            if event["event"] != "ready":
                return
            database = str(folder / "var" / "demo" / "shop.db")
            told = {"url": event["url"], "admin": event["admin"], "token": TOKEN, "database": database}
            (folder / "ready.making").write_text(json.dumps(told))
            (folder / "ready.making").rename(folder / "ready.json")

        run(tour.settings.model_copy(update={"manifests": documents(folder), "admin_token": _secret()}), announce)
    server.shutdown()


def _secret() -> Any:
    from gateway.core.secrets import Secret

    return Secret(TOKEN)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
