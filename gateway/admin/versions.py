"""Documents in, and what is made of them: components, versions, revisions, on the admin REST.

A token that is bound to components sees and changes those alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.access import require, require_kind
from gateway.admin.applying import Terms
from gateway.admin.bodies import expected, flag, json_body, media_type, raw_body
from gateway.admin.guarding import read_guard
from gateway.admin.retention import prefix_of
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.standing import RULE, canary_rule
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, NotFound
from gateway.manifest.bundle import Bundle
from gateway.manifest.changelog import PROTOCOLS, changelog
from gateway.snapshot.diff import diff
from gateway.snapshot.spec import CanarySpec
from gateway.store.store import ACTIVE, REVISION_INDEX, Record


def entries(service: Service) -> Iterator[Entry]:
    made = _Versions(service)
    yield Entry("/apply", "POST", made.apply, None)
    yield Entry("/components", "GET", made.components, "viewer")
    yield Entry("/components/{name}", "GET", made.component, None)
    yield Entry("/versions", "GET", made.all, "viewer")
    yield Entry("/versions/{name}", "GET", made.one, None)
    yield Entry("/versions/{name}", "DELETE", made.remove, None)
    yield Entry("/versions/{name}/rollback", "POST", made.rollback, None)
    yield Entry("/revisions", "GET", made.revisions, "viewer")
    yield Entry("/revisions/{revision}", "GET", made.revision, None)
    yield Entry("/diff", "GET", made.diff, None)
    yield Entry("/changelog", "GET", made.changelog, None)


def component_of(name: str) -> str:
    """`shop` of `shop@v2`."""
    return name.partition("@")[0]


def _canary(request: Request) -> CanarySpec | None:
    """Who gets the canary, by parameters that begin with it; None when it shall be none."""
    given = {name: text for name in RULE if (text := request.query_params.get(f"canary_{name}")) is not None}
    if "canary" in request.query_params:
        given["share"] = request.query_params["canary"]
    if not given:
        return None
    members: dict[str, Any] = dict(given)
    if "applications" in given:
        members["applications"] = tuple(filter(None, given["applications"].split(",")))
    return canary_rule(members)


class _Versions:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def apply(self, request: Request, token: Token) -> Any:
        """Many documents at once, as YAML or JSON text, or packed by the command line."""
        force = flag(request, "force")
        activate = not flag(request, "no_activate")
        label = request.query_params.get("label", "documents")
        body, media = await raw_body(request), media_type(request)
        canary = _canary(request)
        given = request.query_params.get("guard")
        guard = None if given is None else read_guard(given)

        def may(kind: str, name: str) -> None:
            require_kind(token, kind, name)

        terms = Terms(activate, force, canary, guard, may)
        return await self.service.documents.apply_body(body, media, label, token.name, terms)

    async def components(self, request: Request, token: Token) -> Any:
        found = self.service.versions.components()
        return pages.listed(request, (each for each in found if token.may("viewer", each["name"])))

    async def component(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "viewer", name)
        for each in self.service.versions.components():
            if each["name"] == name:
                return each
        raise NotFound(f"There is no component {name}.")

    async def all(self, request: Request, token: Token) -> Any:
        """Only those of the page are put together."""
        query = request.query_params
        component, status = query.get("component"), query.get("status")
        names = (name for name in self.service.versions.names() if token.may("viewer", component_of(name)))
        if component is not None:
            names = (name for name in names if component_of(name) == component)
        if status is None:
            told = pages.listed(request, ({"name": name} for name in names), into=self._shown)
        else:
            found = (self.service.versions.one(name) for name in names)
            told = pages.listed(request, (each for each in found if each["status"] == status))
        return told

    def _shown(self, each: dict[str, Any]) -> dict[str, Any]:
        return self.service.versions.one(each["name"])

    async def one(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "viewer", component_of(name))
        told = self.service.versions.one(name)
        return JSONResponse(told, headers={"ETag": f'"{self.service.versions.pointer(name)[1]}"'})

    async def rollback(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "publisher", component_of(name))
        body = await json_body(request, {"to": str, "with_policies": bool})
        with_policies = body.get("with_policies", False)
        return await self.service.versions.rollback(name, token.name, to=body.get("to"), with_policies=with_policies)

    async def remove(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        require(token, "publisher", component_of(name))
        await self.service.node.follow()
        expect = expected(request, self.service.versions.pointer(name)[1])
        return await self.service.records.remove(ACTIVE, name, token.name, expect)

    async def revisions(self, request: Request, token: Token) -> Any:
        """By version, the newest of each first."""
        await self.service.revisions.complete_index()
        name = request.query_params.get("name")
        active = self.service.revisions.active()

        async def show(_key: str, record: Record) -> dict[str, Any] | None:
            value = record.value
            if not token.may("viewer", component_of(value["name"])):
                return None
            about = {part: value[part] for part in ("revision", "name", "at", "actor")}
            return {**about, "active": value["revision"] in active}

        prefix = "" if name is None else prefix_of(name)
        return await pages.stored(request, self.service.store, REVISION_INDEX, show, prefix)

    async def revision(self, request: Request, token: Token) -> Any:
        require(token, "viewer")
        bundle = await self.service.revisions.get(request.path_params["revision"])
        require(token, "viewer", bundle.component)
        return bundle.content()

    async def diff(self, request: Request, token: Token) -> Any:
        found = diff(*await self._compared(request, token))
        return {"items": [each.as_json() for each in found if not each.path.startswith("places")]}

    async def changelog(self, request: Request, token: Token) -> Any:
        """In words, by protocol; of one protocol alone when it is named."""
        protocol = request.query_params.get("protocol")
        if protocol not in {None, *PROTOCOLS}:
            raise BadRequest(f"`protocol` is one of: {', '.join(PROTOCOLS)}.", target="protocol")
        found = await asyncio.to_thread(changelog, *await self._compared(request, token))
        return {"items": [each.as_json() for each in found if protocol in {None, each.protocol}]}

    async def _compared(self, request: Request, token: Token) -> tuple[Bundle, Bundle]:
        require(token, "viewer")
        names = [request.query_params.get(side) for side in ("from", "to")]
        if None in names:
            raise BadRequest("Say what to compare: ?from=NAME@VERSION&to=REVISION.")
        bundles = [await self.service.versions.named(str(name)) for name in names]
        for bundle in bundles:
            require(token, "viewer", bundle.component)
        return bundles[0], bundles[1]
