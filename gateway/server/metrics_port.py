"""The listener of metrics: `GET` and `HEAD /metrics`, without credentials, for a Prometheus that alone can reach it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.admin.app import metrics_answer

MOST: Final = 64  # connections at a time; a scraper has one
PATIENCE: Final = 5  # seconds that one may be unused


class Bounded(HttpToolsProtocol):
    """uvicorn times connections between requests only: one on which no request came in time is closed, and what comes
    while there are too many at once, so that nobody holds the control process's open files."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
        else:
            self.loop.call_later(PATIENCE, self._leave_silent, transport)

    def _leave_silent(self, transport: Any) -> None:
        if getattr(self, "cycle", None) is None:
            transport.abort()


class MetricsServer(uvicorn.Server):
    """On an inherited socket. `metrics` gives the numbers of every worker, `lines` what the control process has to
    tell, `more` are further routes for whoever can reach it."""

    def __init__(
        self,
        descriptor: int,
        metrics: Callable[[], Sequence[Mapping[str, Any]]],
        lines: Callable[[], Sequence[str]] = tuple,
        more: Sequence[Route] = (),
    ) -> None:
        async def answer(request: Request) -> Response:
            return metrics_answer(request, metrics, lines)

        app = Starlette(routes=[Route("/metrics", answer, methods=["GET"]), *more])
        app.router.redirect_slashes = False
        super().__init__(
            uvicorn.Config(
                app,
                http=Bounded,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST,
                timeout_keep_alive=PATIENCE,
                timeout_graceful_shutdown=1,
            )
        )
        self._socket = socket.socket(fileno=descriptor)

    def capture_signals(self) -> Any:
        """They are this process's own affair, not uvicorn's."""
        return contextlib.nullcontext()

    async def run_here(self) -> None:
        """Until `should_exit`."""
        await self.serve(sockets=[self._socket])
