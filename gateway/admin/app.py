"""The admin REST (`/admin/v1`): composes its resources into one application. JSON, problem details, bearer tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin import (
    backups,
    cached,
    callers,
    consumers,
    environments,
    examining,
    history,
    letters,
    looking,
    mirrored,
    runtimes,
    signing_in,
    standing,
    stored,
    usage,
    versions,
)
from gateway.admin.access import Access, require
from gateway.admin.attempts import Attempts
from gateway.admin.bodies import only
from gateway.admin.prefix import PREFIX
from gateway.admin.routing import Entry, known_token, not_routed, route, routes
from gateway.admin.service import Service
from gateway.core.errors import Forbidden
from gateway.telemetry.counters import render_prometheus
from gateway.telemetry.text import OPEN, PLAIN, wants_open

SIGNED: Final = (
    (b"penstock-admin", b"v1"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def entries(service: Service) -> Iterator[Entry]:
    """Every operation that takes a token; `describe` goes through them, too."""
    yield from signing_in.entries()
    yield from versions.entries(service)
    yield from standing.entries(service)
    yield from callers.entries(service.callers if service is not None else None)
    yield from usage.entries(service.callers if service is not None else None)
    yield from mirrored.entries(service)
    yield from looking.entries(service)
    yield from stored.entries(service)
    yield from consumers.entries(service)
    yield from cached.entries(service)
    yield from letters.entries(service)
    yield from history.entries(service)
    yield from environments.entries(service)
    yield from examining.entries(service)
    yield from runtimes.entries(service)
    yield from backups.entries(service)


def _signed(app: ASGIApp) -> ASGIApp:
    """Every answer says what answered, so that a client knows another server from this one; and no browser keeps it,
    guesses its type, runs it or frames it. What an answer says of itself stays."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in SIGNED if each[0] not in said)]
            await send(message)

        await app(scope, receive, signed)

    return serve


def metrics_answer(
    request: Request, metrics: Callable[[], Sequence[Mapping[str, Any]]], lines: Callable[[], Sequence[str]]
) -> Response:
    """The page of metrics in the form that Accept prefers."""
    open_metrics = wants_open(request.headers.get("accept", ""))
    page = render_prometheus(metrics(), lines(), open_metrics=open_metrics)
    return Response(page, media_type=OPEN if open_metrics else PLAIN, headers={"Vary": "Accept"})


class Admin:
    """`metrics` gives the counters of every worker, `lines` what this process itself has to tell."""

    def __init__(
        self,
        service: Service,
        access: Access,
        metrics: Callable[[], Sequence[Mapping[str, Any]]],
        lines: Callable[[], Sequence[str]] = tuple,
        attempts: Attempts | None = None,
    ) -> None:
        self.service = service
        self.attempts = attempts or Attempts(service.clock)
        self.lines = lines
        self.access = access
        self.metrics = metrics

    def app(self) -> ASGIApp:
        return _signed(self.routed())

    def routed(self) -> Starlette:
        served = [*self._probed(), *routes(entries(self.service), self.access, self.attempts)]
        below = Router(served, redirect_slashes=False)
        app = Starlette(routes=[Mount(PREFIX, app=below)], exception_handlers={HTTPException: not_routed})
        app.router.redirect_slashes = False
        return app

    def _probed(self) -> list[Route]:
        served = {"/health": self._health, "/metrics": self._metrics, "/sign-in": self._ways}
        return [route(path, {"GET": answer}) for path, answer in served.items()]

    async def _ways(self, request: Request) -> Response:
        return await signing_in.ways(request, self.access)

    async def _health(self, request: Request) -> Response:
        """For probes without a token: ready or not. Who shows a token is told what the node serves."""
        told, ready = await self.service.health()
        whole = False
        if "authorization" in request.headers and told["store"] == "up":
            token = await known_token(request, self.access, self.attempts)
            require(token, "viewer")
            whole = token.components is None  # what a heartbeat tells is of all components
        if not whole:
            told = {"ready": told["ready"], "store": told["store"]}
        return JSONResponse(told, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        token = await known_token(request, self.access, self.attempts)
        require(token, "viewer")
        if token.components is not None:
            raise Forbidden("Metrics are of all components; this token is bound to some.")
        only(request, ())
        return metrics_answer(request, self.metrics, self.lines)
