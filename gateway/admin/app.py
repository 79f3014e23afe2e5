"""The admin REST (`/admin/v1`): HTTP in front of `service`. JSON, problem details (RFC 9457), bearer tokens."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from gateway.admin import consumers
from gateway.admin.access import Access, require, require_kind
from gateway.admin.bodies import json_body, raw_body
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import (
    BadRequest,
    InternalError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    Problem,
)
from gateway.core.findings import DocumentsRefused
from gateway.frontend.rest.problems import MEDIA_TYPE, document, dump
from gateway.store.store import ACTIVE, PLANS, POLICIES, TOPICS
from gateway.telemetry.counters import render_prometheus

PREFIX: Final = "/admin/v1"
STORED: Final = {
    "policies": (POLICIES, "policy-editor"),
    "plans": (PLANS, "policy-editor"),
    "topics": (TOPICS, "publisher"),
}

Handler = Callable[[Request, Token], Awaitable[Any]]


class Admin:
    """The routes. Each handler gets the request and the token that was proved."""

    def __init__(self, service: Service, access: Access, metrics: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self.service = service
        self.access = access
        self.metrics = metrics

    def app(self) -> Starlette:
        handlers = {HTTPException: _http_problem, Problem: _problem, Exception: _unexpected}
        return Starlette(routes=[Mount(PREFIX, routes=self._routes())], exception_handlers=handlers)  # type: ignore[arg-type]

    def _routes(self) -> list[Route]:
        routes = [
            Route("/health", self._health),
            Route("/metrics", self._metrics),
            self._route("/apply", "POST", self._apply, None),
            self._route("/components", "GET", self._components, "viewer"),
            self._route("/versions", "GET", self._versions, "viewer"),
            self._route("/versions/{name}", "GET", self._version, "viewer"),
            self._route("/versions/{name}/rollback", "POST", self._rollback, None),
            self._route("/versions/{name}", "DELETE", self._remove_version, None),
            self._route("/revisions", "GET", self._revisions, "viewer"),
            self._route("/revisions/{revision}", "GET", self._revision, "viewer"),
            self._route("/diff", "GET", self._diff, "viewer"),
            self._route("/explain", "POST", self._explain, "viewer"),
            self._route("/snapshot", "GET", self._snapshot, "viewer"),
            self._route("/policy-kinds", "GET", self._policy_kinds, "viewer"),
            self._route("/nodes", "GET", self._nodes, "viewer"),
            self._route("/audit", "GET", self._audit, "viewer"),
        ]
        for name, (table, role) in STORED.items():
            routes += [
                self._route(f"/{name}", "GET", self._stored(table), "viewer"),
                self._route(f"/{name}/{{name}}", "GET", self._stored_one(table), "viewer"),
                self._route(f"/{name}/{{name}}", "DELETE", self._remove_stored(table), role),
            ]
        return routes + [self._route(*each) for each in consumers.routes(self.service)]

    def _route(self, path: str, method: str, handler: Handler, role: str | None) -> Route:
        async def endpoint(request: Request) -> Response:
            token = await self.access.token(request)
            if role is not None:
                require(token, role)
            answer = await handler(request, token)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return Route(path, endpoint, methods=[method])

    # without a token: what a probe and a scraper need

    async def _health(self, _request: Request) -> Response:
        told, ready = await self.service.health()
        return JSONResponse(told, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        require(await self.access.token(request), "viewer")
        return Response(render_prometheus(self.metrics()), media_type="text/plain; version=0.0.4")

    # documents and versions

    async def _apply(self, request: Request, token: Token) -> Any:
        """Many documents at once, as YAML or JSON text."""
        body = await raw_body(request)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        flags = {name: _flag(request, name) for name in ("dry_run", "force")}
        activate = not _flag(request, "no_activate")
        label = request.query_params.get("label", "documents")

        def may(kind: str, name: str) -> None:
            require_kind(token, kind, name)

        return await self.service.apply_body(body, media, label, token.name, activate=activate, may=may, **flags)

    async def _components(self, _request: Request, _token: Token) -> Any:
        return {"items": self.service.components()}

    async def _versions(self, _request: Request, _token: Token) -> Any:
        return {"items": self.service.versions()}

    async def _version(self, request: Request, _token: Token) -> Any:
        return self.service.version(request.path_params["name"])

    async def _rollback(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "publisher", name.partition("@")[0])
        body = await json_body(request, {"to": str, "with_policies": bool})
        return await self.service.rollback(
            name, token.name, to=body.get("to"), with_policies=body.get("with_policies", False)
        )

    async def _remove_version(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "publisher", name.partition("@")[0])
        return await self.service.remove(ACTIVE, name, token.name)

    async def _revisions(self, request: Request, _token: Token) -> Any:
        return {"items": await self.service.revisions(request.query_params.get("name"))}

    async def _revision(self, request: Request, _token: Token) -> Any:
        return (await self.service.revision(request.path_params["revision"])).content()

    async def _diff(self, request: Request, _token: Token) -> Any:
        names = [request.query_params.get(side) for side in ("from", "to")]
        if None in names:
            raise BadRequest("Say what to compare: ?from=NAME@VERSION&to=REVISION.")
        return {"items": await self.service.diff(str(names[0]), str(names[1]))}

    async def _explain(self, request: Request, _token: Token) -> Any:
        body = await json_body(request, {"method": str, "url": str, "headers": dict}, required=("method", "url"))
        return self.service.explain(body["method"], body["url"], body.get("headers", {}))

    async def _snapshot(self, _request: Request, _token: Token) -> Any:
        snapshot = self.service.snapshot()
        return Response(snapshot.dump(), media_type="application/json", headers={"ETag": f'"{snapshot.hash}"'})

    async def _policy_kinds(self, _request: Request, _token: Token) -> Any:
        return {"items": self.service.policy_kinds()}

    async def _nodes(self, _request: Request, _token: Token) -> Any:
        return {"items": await self.service.nodes()}

    async def _audit(self, request: Request, _token: Token) -> Any:
        limit = _number(request, "limit", 100, 1000)
        before = request.query_params.get("before")
        if before is not None and not before.isdigit():
            raise BadRequest("`before` is the sequence of an audit entry.")
        entries = await self.service.store.audit(limit, int(before) if before else None)
        headers = {}
        if len(entries) == limit:
            after = f"{PREFIX}/audit?limit={limit}&before={entries[-1]['sequence']}"
            headers["Link"] = f'<{after}>; rel="next"'
        return JSONResponse({"items": [dict(entry) for entry in entries]}, headers=headers)

    # what is kept under a name

    def _stored(self, table: str) -> Handler:
        async def handle(_request: Request, _token: Token) -> Any:
            return {"items": self.service.stored(table)}

        return handle

    def _stored_one(self, table: str) -> Handler:
        async def handle(request: Request, _token: Token) -> Any:
            value, version = self.service.stored_one(table, request.path_params["name"])
            return JSONResponse(value, headers={"ETag": f'"{version}"'})

        return handle

    def _remove_stored(self, table: str) -> Handler:
        async def handle(request: Request, token: Token) -> Any:
            name = request.path_params["name"]
            _, version = self.service.stored_one(table, name)
            wanted = request.headers.get("if-match")
            if wanted not in {None, "*", f'"{version}"'}:
                raise PreconditionFailed(f"{name} has changed: its ETag is now {version}. Read it again.")
            return await self.service.remove(table, name, token.name)

        return handle


# errors and queries


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in {"true", "false"}:
        raise BadRequest(f"`{name}` is true or false.")
    return value == "true"


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise BadRequest(f"`{name}` is a number from 1 to {most}.")
    return int(text)


def _rendered(problem: Problem) -> Response:
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    content = dump(document(uuid.uuid4().hex, problem))
    return Response(content, problem.status, headers, media_type=MEDIA_TYPE.decode())


async def _problem(_request: Request, problem: Problem) -> Response:
    return _rendered(problem)


async def _http_problem(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        text = f"{request.method} is not offered here. Allowed: {allow}."
        return _rendered(MethodNotAllowed(text, headers=[(b"Allow", allow.encode())]))
    if error.status_code == 404:
        return _rendered(NotFound(f"Nothing is served at {request.url.path}. The admin REST is below {PREFIX}."))
    return _rendered(BadRequest(str(error.detail)))


async def _unexpected(_request: Request, error: Exception) -> Response:
    if isinstance(error, DocumentsRefused):
        return _rendered(InvalidInput(str(error)))
    return _rendered(InternalError("The admin REST failed; its log tells more."))
