"""An OpenID provider on a loopback port that answers what each test says, and the browser of a person."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from tests.policy.issuer import jwk, jwks, rsa_key

Form = dict[str, str]
Said = tuple[int, Any]


class FakeProvider:
    """`answers` by path: (status, content), or a function of the form; of a list, one after the other. `asked`: the
    forms that came, with their path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, Form]] = []
        self.metadata: dict[str, Any] = {
            "issuer": url,
            "jwks_uri": f"{url}/keys",
            "authorization_endpoint": f"{url}/auth",
            "token_endpoint": f"{url}/token",
            "device_authorization_endpoint": f"{url}/device",
            "revocation_endpoint": f"{url}/revoke",
        }
        self.answers: dict[str, Any] = {
            "/keys": (200, jwks(jwk(rsa_key()))),
            "/revoke": (200, {}),
            "/device": (200, {"device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": f"{url}/type"}),
        }

    def answer(self, path: str, form: Form) -> Said:
        self.asked.append((path, form))
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata
        found = self.answers.get(path, (404, {}))
        if isinstance(found, list):
            found = found.pop(0)
        made: Said = found(form) if callable(found) else found
        return made

    def forms(self, path: str) -> list[Form]:
        return [form for asked, form in self.asked if asked == path]


@contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, content = provider.answer(urlsplit(self.path).path, dict(parse_qsl(body)))
            told = json.dumps(content).encode() if not isinstance(content, bytes) else content
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = FakeProvider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Browser:
    """Stands for `webbrowser`: a person who says yes, in a thread. `visits` makes of what the provider was asked for
    the queries with which the person comes back, one after the other; `seen` are the answers."""

    def __init__(self, visits: Callable[[Form], list[Form]] | None = None) -> None:
        self.visits = visits or (lambda asked: [{"code": "c", "state": asked["state"]}])
        self.asked: Form = {}
        self.seen: list[tuple[int, str]] = []
        self._thread: threading.Thread | None = None

    def open(self, page: str) -> bool:
        self.asked = dict(parse_qsl(urlsplit(page).query))
        self._thread = threading.Thread(target=self._come_back)
        self._thread.start()
        return True

    def _come_back(self) -> None:
        for query in self.visits(self.asked):
            answer = httpx2.get(f"{self.asked['redirect_uri']}?{urlencode(query)}", timeout=5)
            self.seen.append((answer.status_code, answer.text))

    def wait(self) -> None:
        assert self._thread is not None
        self._thread.join(20)
