"""Where a browser of this machine comes back to: a port of the loopback interface that listens for one sign-in
(RFC 8252 section 7.3)."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from gateway.cli.failures import Failed

PATIENCE: Final = 300.0  # seconds for a person to sign in
_STYLE: Final = "font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1rem"
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>{title}</title><body style="{style}"><h1 style="font-size: 1.4rem">{title}</h1><p>{text}</p></body></html>"""


class _Server(ThreadingHTTPServer):
    """`given`: what the first visit brought that was ours; `came`: it has got its page. A thread each: browsers open
    connections ahead of what they ask for."""

    daemon_threads = True
    given: dict[str, str] | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came = Event()

    def accepts(self, _given: dict[str, str]) -> bool:
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever goes away in between concerns nobody."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        given = _parameters(self.path)
        ours = urlsplit(self.path).path == "/" and self.server.accepts(given)
        if ours and self.server.given is None:
            self.server.given = given
        try:
            self._answer(*_said(ours, given))
        finally:
            if ours:
                self.server.came.set()

    def _answer(self, status: int, title: str, text: str) -> None:
        page = _PAGE.format(title=title, text=text, style=_STYLE).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a code stands in the address."""


def _parameters(target: str) -> dict[str, str]:
    """None of them where one stands there twice (RFC 6749 section 3.1), or there are too many."""
    try:
        pairs = parse_qsl(urlsplit(target).query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else {}


def _said(ours: bool, given: dict[str, str]) -> tuple[int, str, str]:
    if not ours:
        return 400, "Not this sign-in", "This address was not asked for here. Go back to the terminal."
    if "code" not in given:
        return 200, "Not signed in", "The terminal tells why. You can close this page."
    return 200, "Almost done", "The terminal goes on, and tells whether you are signed in. You can close this page."


class Loopback:
    """Listens while it is entered. `url` is the redirect URI."""

    def __init__(self) -> None:
        self._server = _Server()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def wait(self, accepts: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The parameters of the first visit that is ours; others are told so and change nothing."""
        self._server.accepts = accepts  # type: ignore[assignment,method-assign]
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            self._server.came.wait(PATIENCE)
        finally:
            self._server.shutdown()
        if self._server.given is None:
            raise Failed("Nobody signed in within five minutes. Begin again with: penstock login")
        return self._server.given

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.server_close()
