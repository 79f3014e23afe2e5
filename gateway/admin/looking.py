"""What can be looked at on the admin REST: the snapshot, what would happen to a request, kinds, nodes, the audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin.bodies import json_body, number
from gateway.admin.routing import PREFIX, Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import InvalidInput
from gateway.snapshot.spec import Snapshot


def entries(service: Service) -> Iterator[Entry]:
    looking = _Looking(service)
    yield Entry("/explain", "POST", looking.explain, "viewer")
    yield Entry("/snapshot", "GET", looking.snapshot, "viewer")
    yield Entry("/policy-kinds", "GET", looking.policy_kinds, "viewer")
    yield Entry("/nodes", "GET", looking.nodes, "viewer")
    yield Entry("/audit", "GET", looking.audit, "viewer")


class _Looking:
    def __init__(self, service: Service) -> None:
        self.service = service

    def _seen(self, token: Token) -> Snapshot:
        """Of a token that is bound to components, their part."""
        whole = self.service.snapshot()
        if token.components is None:
            return whole
        versions = tuple(each for each in whole.versions if token.may("viewer", each.component))
        return whole.model_copy(update={"versions": versions})

    async def explain(self, request: Request, token: Token) -> Any:
        fields: dict[str, type] = {"method": str, "url": str, "headers": dict, "plan": str, "application": str}
        body = await json_body(request, fields, required=("method", "url"))
        headers = body.get("headers", {})
        if not all(isinstance(value, str) for value in headers.values()):
            raise InvalidInput("A header's value is a string.", target="headers")
        caller = {name: body.get(name) for name in ("plan", "application")}
        return await self.service.explain(self._seen(token), body["method"], body["url"], headers, **caller)

    async def snapshot(self, _request: Request, token: Token) -> Any:
        snapshot = self._seen(token)
        return Response(snapshot.dump(), media_type="application/json", headers={"ETag": f'"{snapshot.hash}"'})

    async def policy_kinds(self, _request: Request, _token: Token) -> Any:
        return {"items": self.service.policy_kinds()}

    async def nodes(self, _request: Request, _token: Token) -> Any:
        return {"items": await self.service.nodes()}

    async def audit(self, request: Request, _token: Token) -> Any:
        """Newest first; `Link` leads to the next page (RFC 8288)."""
        limit = number(request, "limit", 1, 1000) or 100
        before = number(request, "before", 1, 10**15)
        entries = await self.service.store.audit(limit, before)
        headers = {}
        if len(entries) == limit:
            after = f"{PREFIX}/audit?limit={limit}&before={entries[-1]['sequence']}"
            headers["Link"] = f'<{after}>; rel="next"'
        return JSONResponse({"items": [dict(entry) for entry in entries]}, headers=headers)
