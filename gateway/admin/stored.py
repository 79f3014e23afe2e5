"""What is kept under a name: policies, plans, topics, on the admin REST. Writes honour If-Match (RFC 9110, 13.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.bodies import expected, media_type, raw_body
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.store.store import PLANS, POLICIES, TOPICS

KINDS: Final = {POLICIES: ("Policy", "policy-editor"), PLANS: ("Plan", "policy-editor"), TOPICS: ("Topic", "publisher")}


def entries(service: Service) -> Iterator[Entry]:
    for table, (kind, role) in KINDS.items():
        stored = _Stored(service, table, kind)
        yield Entry(f"/{table}", "GET", stored.all, "viewer")
        yield Entry(f"/{table}/{{name}}", "GET", stored.one, "viewer")
        yield Entry(f"/{table}/{{name}}", "PUT", stored.put, role)
        yield Entry(f"/{table}/{{name}}", "DELETE", stored.remove, role)


class _Stored:
    def __init__(self, service: Service, table: str, kind: str) -> None:
        self.service = service
        self.table = table
        self.kind = kind

    async def all(self, request: Request, _token: Token) -> Any:
        prefix = request.query_params.get("prefix", "")
        found = self.service.records.all(self.table)
        return pages.listed(request, (each for each in found if each["name"].startswith(prefix)))

    async def one(self, request: Request, _token: Token) -> Any:
        value, version = self.service.records.one(self.table, request.path_params["name"])
        return JSONResponse(value, headers={"ETag": f'"{version}"'})

    async def put(self, request: Request, token: Token) -> Any:
        """The whole document, as YAML or JSON; 201 when there was none."""
        name = request.path_params["name"]
        body, media = await raw_body(request), media_type(request)
        await self.service.node.follow()
        version = self.service.records.version_of(self.table, name)
        told = await self.service.documents.put(
            (self.table, name), self.kind, body, media, token.name, expect=expected(request, version)
        )
        status = 200 if version else 201
        return JSONResponse(told, status, headers={"ETag": f'"{told["sequence"] or version}"'})

    async def remove(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        await self.service.node.follow()
        _, version = self.service.records.one(self.table, name)
        return await self.service.records.remove(self.table, name, token.name, expected(request, version))
