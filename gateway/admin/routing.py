"""Routes of the admin REST: who may, what answers, and how every refusal and failure is told (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admin.access import Access, require
from gateway.admin.documents import refused
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, Problem
from gateway.core.findings import DocumentsRefused
from gateway.core.ids import id_source
from gateway.frontend.rest.problems import MEDIA_TYPE, document, dump

log: Final = logging.getLogger("gateway.admin")

PREFIX: Final = "/admin/v1"
Handler = Callable[[Request, Token], Awaitable[Any]]
Plain = Callable[[Request], Awaitable[Response]]

_next_id: Final = id_source()


class Entry(NamedTuple):
    """One operation. `role` None: the handler decides, once it knows what is touched."""

    path: str
    method: str
    handler: Handler
    role: str | None


def routes(entries: Iterable[Entry], access: Access) -> list[Route]:
    """One route a path, so that a 405 names all of its methods."""
    by_path: dict[str, dict[str, Plain]] = {}
    for entry in entries:
        by_path.setdefault(entry.path, {})[entry.method] = _proved(entry, access)
    return [route(path, methods) for path, methods in by_path.items()]


def route(path: str, methods: dict[str, Plain]) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await methods["GET" if request.method == "HEAD" else request.method](request)
        except Exception as error:
            return rendered(_problem(error))

    return Route(path, endpoint, methods=list(methods))


def _proved(entry: Entry, access: Access) -> Plain:
    """The handler behind the proof of who asks, and of the role that it takes."""

    async def answer(request: Request) -> Response:
        token = await access.token(request)
        if entry.role is not None:
            require(token, entry.role)
        found = await entry.handler(request, token)
        return found if isinstance(found, Response) else JSONResponse(found)

    return answer


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, DocumentsRefused):
        return refused(error.findings)
    failure = InternalError("The admin REST failed; its log tells more under this id.")
    failure.__cause__ = error
    return failure


def rendered(problem: Problem) -> Response:
    """A failure has an id that the log has, too; what failed is for the log alone."""
    id = _next_id()
    if problem.status >= 500 and problem.status != 503:
        log.error("admin request %s answered %d %s", id, problem.status, problem.code, exc_info=problem.__cause__)
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    return Response(dump(document(id, problem)), problem.status, headers, media_type=MEDIA_TYPE.decode())


async def not_routed(request: Request, error: Exception) -> Response:
    """What Starlette's own router refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        text = f"{request.method} is not offered here. Allowed: {allow}."
        return rendered(MethodNotAllowed(text, headers=[(b"Allow", allow.encode())]))
    if error.status_code == 404:
        return rendered(NotFound(f"Nothing is served at {request.url.path}. The admin REST is below {PREFIX}."))
    return rendered(BadRequest(str(error.detail)))
