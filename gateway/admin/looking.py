"""What can be looked at on the admin REST: the snapshot, what would happen to a request, kinds, nodes, the audit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin import pages
from gateway.admin.bodies import json_body, moment
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, InvalidInput, NotFound
from gateway.snapshot.spec import Snapshot

_NODE: Final = ("name", "version", "at")
_SUBJECTS: Final = re.compile(r"[^\s,]+")
_VERSIONS: Final = re.compile(r"[a-z][a-z0-9_-]*@[A-Za-z0-9._-]+")


def entries(service: Service) -> Iterator[Entry]:
    looking = _Looking(service)
    yield Entry("/explain", "POST", looking.explain, "viewer")
    yield Entry("/snapshot", "GET", looking.snapshot, "viewer")
    yield Entry("/policy-kinds", "GET", looking.policy_kinds, "viewer")
    yield Entry("/policy-kinds/{name}", "GET", looking.policy_kind, "viewer")
    yield Entry("/nodes", "GET", looking.nodes, "viewer")
    yield Entry("/nodes/{name}", "GET", looking.node, "viewer")
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

    async def policy_kinds(self, request: Request, _token: Token) -> Any:
        family = request.query_params.get("family")
        found = await asyncio.to_thread(self.service.policy_kinds)  # it imports those that nobody used yet
        return pages.listed(request, (each for each in found if family in (None, each["family"])))

    async def policy_kind(self, request: Request, _token: Token) -> Any:
        name = request.path_params["name"]
        return _named(await asyncio.to_thread(self.service.policy_kinds), name, "policy kind")

    async def nodes(self, request: Request, token: Token) -> Any:
        return pages.listed(request, await self._nodes(token))

    async def node(self, request: Request, token: Token) -> Any:
        return _named(await self._nodes(token), request.path_params["name"], "live node")

    async def _nodes(self, token: Token) -> list[dict[str, Any]]:
        """Heartbeats tell of all components: a token that is bound to some learns that nodes are there."""
        found = await self.service.nodes()
        if token.components is None:
            return found
        return [{name: each[name] for name in _NODE if name in each} for each in found]

    async def audit(self, request: Request, token: Token) -> Any:
        """Newest first; `Link` leads to the next page (RFC 8288)."""
        page = pages.Page.of(request)
        if page.after and not page.after.isdecimal():
            raise BadRequest("`cursor` is none that a Link gave out.", target="cursor")
        wanted, before = _wanted(request), int(page.after) if page.after else None
        items, seen = list[dict[str, Any]](), 0
        while True:
            found = await self.service.store.audit(page.limit if not items else pages.AT_ONCE, before)
            for entry in found:
                if len(items) == page.limit or seen == pages.SEEN:
                    return pages.answer(request, items, str(before))
                before, seen = entry["sequence"], seen + 1
                if entry["at"] < wanted.since:
                    return pages.answer(request, items, None)
                if wanted.has(entry) and visible(entry, token):
                    items.append(dict(entry))
            if not found:
                return pages.answer(request, items, None)


def _named(found: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    for each in found:
        if each["name"] == name:
            return each
    raise NotFound(f"There is no {what} {name}.")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which entries: by who did what to what, from `since` until before `until`."""

    said: Mapping[str, str]
    since: float
    until: float

    def has(self, entry: Mapping[str, Any]) -> bool:
        subject = str(entry.get("subject", ""))
        for name, text in self.said.items():
            if name == "subject":
                if text not in (subject, *_SUBJECTS.findall(subject)):
                    return False
            elif entry.get(name) != text:
                return False
        return float(entry["at"]) < self.until


def _wanted(request: Request) -> _Wanted:
    query = request.query_params
    said = {name: query[name] for name in ("actor", "action", "subject") if name in query}
    since, until = (moment(query, name) for name in ("since", "until"))
    return _Wanted(said, since or 0.0, inf if until is None else until)


def visible(entry: Mapping[str, Any], token: Token) -> bool:
    """A token that is bound to components sees what it did itself, and what was done to those alone."""
    if token.components is None or entry.get("actor") == token.name:
        return True
    named = {name.partition("@")[0] for name in _VERSIONS.findall(str(entry.get("subject", "")))}
    if isinstance(entry.get("api"), str):
        named.add(entry["api"])
    return bool(named) and named <= token.components and "Policy " not in str(entry.get("subject", ""))
