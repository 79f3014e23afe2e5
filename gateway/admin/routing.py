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
from gateway.admin.attempts import Attempts
from gateway.admin.bodies import flag, only
from gateway.admin.described_all import DESCRIBED
from gateway.admin.documents import refused
from gateway.admin.prefix import PREFIX
from gateway.admin.trial import trying
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, Problem, Unauthorized
from gateway.core.findings import DocumentsRefused
from gateway.core.ids import id_source
from gateway.frontend.rest.problems import MEDIA_TYPE, document, dump

log: Final = logging.getLogger("gateway.admin")

Handler = Callable[[Request, Token], Awaitable[Any]]
Plain = Callable[[Request], Awaitable[Response]]

_next_id: Final = id_source()


class Entry(NamedTuple):
    """One operation. `role` None: the handler decides, once it knows what is touched."""

    path: str
    method: str
    handler: Handler
    role: str | None


def routes(entries: Iterable[Entry], access: Access, attempts: Attempts) -> list[Route]:
    """One route a path, so that a 405 names all of its methods."""
    by_path: dict[str, dict[str, Plain]] = {}
    for entry in entries:
        by_path.setdefault(entry.path, {})[entry.method] = _proved(entry, access, attempts)
    return [route(path, methods) for path, methods in by_path.items()]


def route(path: str, methods: dict[str, Plain]) -> Route:
    """HEAD answers as GET does, without the body; OPTIONS tells the methods (RFC 9110 section 9.3.7)."""
    offered = sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(offered)})
        try:
            return await methods["GET" if request.method == "HEAD" else request.method](request)
        except Exception as error:
            return rendered(_problem(error))

    return Route(path, endpoint, methods=offered)


async def known_token(request: Request, access: Access, attempts: Attempts) -> Token:
    """Who asks. An address whose credentials were wrong too often is not listened to for a while."""
    address = request.client.host if request.client is not None else ""
    presented = "authorization" in request.headers
    if presented:
        attempts.check(address)
    try:
        return await access.token(request)
    except Unauthorized:
        if presented:
            attempts.wrong(address)
        raise


def _proved(entry: Entry, access: Access, attempts: Attempts) -> Plain:
    """The handler behind the proof of who asks, of the role that it takes, and of what is asked. Parameters are those
    that the OpenAPI document has."""
    about = DESCRIBED[entry.method, entry.path]
    parameters = frozenset(name for name, _, _ in about.query)

    async def answer(request: Request) -> Response:
        token = await known_token(request, access, attempts)
        if entry.role is not None:
            require(token, entry.role)
        only(request, parameters)
        if "dry_run" in parameters and flag(request, "dry_run"):
            with trying() as trial:
                await entry.handler(request, token)
            return JSONResponse(trial.answer())
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
