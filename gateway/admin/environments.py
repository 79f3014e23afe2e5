"""What each node has of the values and secrets that documents name: names alone, never what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.requests import Request

from gateway.admin import pages
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.state import State
from gateway.consumers.tokens import Token
from gateway.core.errors import NotFound
from gateway.manifest.environment import names

_SECRET: Final = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_])")


def entries(service: Service) -> Iterator[Entry]:
    found = _Environments(service)
    yield Entry("/environments", "GET", found.all, "viewer")
    yield Entry("/environments/{node}", "GET", found.one, "viewer")


def named(state: State, token: Token) -> tuple[set[str], set[str]]:
    """The values and the secrets that what is live names, as far as the token sees it."""
    values, secrets = set[str](), set[str]()
    for bundle in state.revisions.values():
        if token.may("viewer", bundle.component):
            _collect(bundle.manifest.model_dump(mode="json", by_alias=True), values, secrets)
    for table in ("policies", "plans"):
        for record in state.rows(table).values():
            _collect(dict(record.value), values, secrets)
    return values, secrets


def _collect(part: Any, values: set[str], secrets: set[str]) -> None:
    if isinstance(part, dict):
        for each in part.values():
            _collect(each, values, secrets)
    elif isinstance(part, list | tuple):
        for each in part:
            _collect(each, values, secrets)
    elif isinstance(part, str):
        secrets.update(_SECRET.findall(part))
        values.update(_values(part))


def _values(text: str) -> list[str]:
    try:
        return names(text)
    except ValueError:
        return []


class _Environments:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def _nodes(self, token: Token) -> list[dict[str, Any]]:
        wanted = named(self.service.node.state, token)
        return [_told(each["name"], each.get("environment", {}), wanted) for each in await self.service.nodes()]

    async def all(self, request: Request, token: Token) -> Any:
        return pages.listed(request, await self._nodes(token), "node")

    async def one(self, request: Request, token: Token) -> Any:
        node = request.path_params["node"]
        for each in await self._nodes(token):
            if each["node"] == node:
                return each
        raise NotFound(f"There is no live node {node}.")


def _told(node: str, has: Mapping[str, Any], wanted: tuple[set[str], set[str]]) -> dict[str, Any]:
    parts = zip(("values", "secrets"), wanted, strict=True)
    return {"node": node, **{what: _names(has.get(what, []), there) for what, there in parts}}


def _names(known: list[str], wanted: set[str]) -> dict[str, list[str]]:
    return {"known": sorted(known), "missing": sorted(wanted - set(known)), "unused": sorted(set(known) - wanted)}
