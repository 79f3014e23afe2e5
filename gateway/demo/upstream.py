"""A small upstream of somebody else's: what the shop relays to, and what knows taxes. Runs in a thread of the demo."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

RATES: Final = {"AT": "0.20", "CH": "0.08", "DE": "0.19", "FR": "0.20", "IT": "0.22", "NL": "0.21", "PL": "0.23"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[:1] == ["tax"] and len(parts) == 2:
            self._tax(parts[1], parse_qs(url.query).get("amt", ["0"])[0])
        else:
            self._answer(200, {"service": "erp", "path": self.path, "warehouse": "north"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(200, {"service": "erp", "path": self.path, "received": len(body)})

    def _tax(self, country: str, amount: str) -> None:
        rate = RATES.get(country)
        if rate is None:
            self._answer(404, {"message": f"no rate for {country}"})
        else:
            self._answer(200, {"data": {"tax": {"country": country, "rate": rate, "amount": amount}}})

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """The demo's terminal is for its calls."""


class Upstream:
    """Listens on loopback, on a port of its own, between `start` and `stop`."""

    def start(self) -> str:
        """Its URL."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
