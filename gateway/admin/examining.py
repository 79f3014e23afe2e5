"""What `penstock doctor` asks besides: how the store's servers are set, and which endpoints are open to everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request

from gateway.admin import pages
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import Forbidden
from gateway.core.kinds import Kinds
from gateway.core.secrets import KeyHasher
from gateway.snapshot.spec import EndpointSpec, StepSpec, VersionSpec

ANYBODY: Final = "anonymous"


def entries(service: Service) -> Iterator[Entry]:
    found = _Examining(service)
    yield Entry("/store", "GET", found.store, "viewer")
    yield Entry("/open-endpoints", "GET", found.open, "viewer")


def key_check(hasher: KeyHasher) -> str:
    """Tells key secrets apart, for a heartbeat: derived from the secret for this purpose alone, 64 bits."""
    return hasher.derive("node key check 1")[:8].hex()


class _Examining:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def store(self, _request: Request, token: Token) -> Any:
        if token.components is not None:
            raise Forbidden("The store has what belongs to all components; this token is bound to some.")
        return {"items": [asdict(each) for each in await self.service.store.servers()]}

    async def open(self, request: Request, token: Token) -> Any:
        """Of the versions that the token sees."""
        versions = [each for each in self.service.snapshot().versions if token.may("viewer", each.component)]
        found = await asyncio.to_thread(_all_open, versions, self.service.kinds)
        return pages.listed(request, found, "key", hide=True)


def _all_open(versions: list[VersionSpec], kinds: Kinds) -> list[dict[str, Any]]:
    return [
        {"key": f"{version.name} {endpoint.key}", "version": version.name, "endpoint": endpoint.key, "step": step.id}
        for version in versions
        for endpoint in version.endpoints
        if (step := opening(endpoint, kinds)) is not None
    ]


def opening(endpoint: EndpointSpec, kinds: Kinds) -> StepSpec | None:
    """The step that lets everybody in, unless another protects the endpoint at all times."""
    found = None
    for step in endpoint.steps:
        if _lets_in(step.use, step.config):
            found = found or step
        elif step.when is None and (kind := kinds.get(step.use)) is not None and kind.protects:
            return None
    return found


def _lets_in(use: str, config: Mapping[str, Any]) -> bool:
    """By itself, or as one of several ways."""
    return use == ANYBODY or (use == "any-of" and any(each.get("use") == ANYBODY for each in config.get("steps", ())))
