"""The sample API of values.yaml as its consumers see it: a key, calls in three protocols, an upstream behind a relay.

Speaks to addresses alone, so that it serves a release on this machine and one in an API server's cluster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.charts.run.clients import Answer, Load, ask, request
from tests.charts.run.network import socket_in
from tests.charts.run.places import Place, Places

ITEM: Final = "/stock/v1/items/7"
_ENVELOPE: Final = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    '<get_item xmlns="urn:example:stock:v1"><id>7</id></get_item></e:Body></e:Envelope>'
)


class Upstream:
    """What `erp` is: a pod with a server that tells the path that it was asked for; `/slow/N` takes N seconds."""

    port: Final = 9000
    slow: int

    def __init__(self, places: Places, namespace: str) -> None:
        self.place = places.bare("erp-0", namespace, {"app": "erp"}, http=self.port)
        self.slow = 0
        _Telling.upstream = self
        self._server = ThreadingHTTPServer((self.place.address, self.port), _Telling, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = socket_in(self.place.link.namespace)
        self._server.server_bind()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def service() -> dict[str, Any]:
        """Its Service, named `erp`."""
        spec = {"selector": {"app": "erp"}, "ports": [{"port": Upstream.port, "targetPort": Upstream.port}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "erp"}, "spec": spec}


class _Telling(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            self.upstream.slow += 1
            time.sleep(float(self.path.removeprefix("/slow/")))
        content = f"erp {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Consumer:
    """An application with a key. `gateway` and `admin` say where they are now; `inside` may reach the admin REST."""

    def __init__(
        self,
        place: Place,
        inside: Place,
        gateway: Callable[[], tuple[str, int]],
        admin: Callable[[], tuple[str, int]],
        token: str,
    ) -> None:
        self.place, self._inside, self.gateway, self._admin, self._token = place, inside, gateway, admin, token
        made = self.admin("/applications", b'{"name": "partner"}')
        assert made.status in (201, 409), made
        made = self.admin("/keys", b'{"application": "partner", "api": "stock", "plan": "gold"}')
        assert made.status == 201, made
        self.key: str = made.json()["key"]

    def admin(self, path: str, body: bytes | None = None) -> Answer:
        fields = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        return ask(self._inside, self._admin(), f"/admin/v1{path}", fields, body)

    def rest(self, path: str = ITEM) -> Answer:
        return ask(self.place, self.gateway(), path, {"X-API-KEY": self.key})

    def soap(self) -> Answer:
        fields = {"X-API-KEY": self.key, "Content-Type": "text/xml"}
        return ask(self.place, self.gateway(), "/stock/v1/soap", fields, _ENVELOPE.encode())

    def odata(self) -> Answer:
        return ask(self.place, self.gateway(), "/stock/v1/odata/get_item(id=7)", {"X-API-KEY": self.key})

    def load(self, count: int = 8, pause: float = 0.02) -> Load:
        """Clients that keep connections, and a new connection for every other request."""
        expected = {request(ITEM, self.key): [200], request(ITEM, self.key, close=True): [200]}
        return Load(self.place, self.gateway(), expected, count, pause)
