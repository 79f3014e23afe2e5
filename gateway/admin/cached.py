"""What caches have stored, on the admin REST: purged by tag, by version or by URL, on all nodes at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.admin.access import require
from gateway.admin.bodies import json_body
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.trial import trial
from gateway.consumers.tokens import Token
from gateway.core.errors import InvalidInput
from gateway.store.cached import named_tag, url_tag, version_tag
from gateway.store.store import PROPOSALS, Write

_ROLE = "operator"
_NOTHING = Write(PROPOSALS, "purge", None)  # a commit has a write, and this one changes nothing


def entries(service: Service) -> Iterator[Entry]:
    yield Entry("/cache/purge", "POST", _Cached(service).purge, None)


class _Cached:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def purge(self, request: Request, token: Token) -> Any:
        """One of tag, version (component@version) and URL. A token that is bound to components may purge their
        versions. The audit entry is durable before anything is dropped."""
        body = await json_body(request, {"tag": str, "version": str, "url": str})
        if len(body) != 1:
            raise InvalidInput("Name one of: tag, version, url.")
        ((what, value),) = body.items()
        component = value.partition("@")[0] if what == "version" else None
        require(token, _ROLE, component)
        tag = _tag(what, value)
        entry = {"actor": token.name, "action": "cache.purge", "subject": f"{what} {value}"}
        if (now := trial()) is not None:
            now.items.append({"kind": "Cached", "name": f"{what} {value}", "action": "delete", "detail": ""})
            return None
        await self.service.store.commit([_NOTHING], entry)
        return {"purged": await self.service.cells.purge(tag)}


def _tag(what: str, value: str) -> str:
    if what == "tag":
        return named_tag(value)
    if what == "version":
        if not all(value.partition("@")):
            raise InvalidInput(f"A version is written as shop@v2, not {value!r}.", target="version")
        return version_tag(value)
    path = urlsplit(value).path
    if not path.startswith("/") or not value.isascii():
        raise InvalidInput("A URL is a path, or begins with https://host; not ASCII is percent-encoded.", target="url")
    return url_tag(path.encode())
