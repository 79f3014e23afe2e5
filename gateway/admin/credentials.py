"""Credentials other than API keys on the admin REST (`consumers.credentials` has their types)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.access import require, require_anywhere
from gateway.admin.bodies import expected, json_body, moment, strings
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.subscribing import ending, known, takes_new
from gateway.consumers import issuing
from gateway.consumers.issuing import Issued, Issuing
from gateway.consumers.keys import ends_within
from gateway.consumers.tokens import Token
from gateway.store.store import CREDENTIALS, SUBSCRIPTIONS, Record

MADE_OF: Final[dict[str, type]] = {
    "password": str,
    "secret": str,
    "public_key": str,
    "jwk": dict,
    "certificate": str,
    "fingerprint": str,
    "subject": str,
    "issuer": str,
    "client_secret": bool,
    "jwks": dict,
}
_ABOUT: Final[dict[str, type]] = {"type": str, "application": str, "name": str, "api": str, "plan": str}
_WORDS: Final[dict[str, type]] = {"scopes": list, "roles": list}
_DATES: Final[dict[str, type]] = {"starts": str, "ends": str}


def entries(service: Service) -> Iterator[Entry]:
    credentials = _Credentials(service)
    yield Entry("/credentials", "GET", credentials.all, "viewer")
    yield Entry("/credentials", "POST", credentials.create, None)
    yield Entry("/credentials/{id}", "GET", credentials.one, "viewer")
    yield Entry("/credentials/{id}/rotate", "POST", credentials.rotate, None)
    yield Entry("/credentials/{id}", "DELETE", credentials.revoke, None)


class _Credentials:
    """One that opens a single API belongs to it, as keys do; one that opens all of an application's to none."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def _issuing(self, token: Token) -> Issuing:
        return Issuing(self.service.store, self.service.hasher, self.service.clock, token.name)

    async def _own(self, request: Request, token: Token) -> tuple[str, int]:
        """The id of one that this token may touch, and the version of its record."""
        require_anywhere(token, "operator")
        id = str(request.path_params["id"])
        record = await issuing.find_credential(self.service.store, id)
        require(token, "operator", record.value["api"])
        return id, record.version

    async def all(self, request: Request, token: Token) -> Any:
        """Those of every API are among those of each."""
        query, period = request.query_params, ending(request, self.service)
        wanted = {name: query[name] for name in ("application", "type") if name in query}
        api = query.get("api")

        async def show(id: str, record: Record) -> dict[str, Any] | None:
            value = record.value
            fits = all(value[name] == text for name, text in wanted.items())
            fits = fits and (api is None or value["api"] in (None, api)) and token.may("viewer", value["api"])
            if not fits or (period is not None and not ends_within(value, *period)):
                return None
            return issuing.shown(id, value)

        return await pages.stored(request, self.service.store, CREDENTIALS, show)

    async def one(self, request: Request, token: Token) -> Any:
        id = request.path_params["id"]
        record = await issuing.find_credential(self.service.store, id)
        require(token, "viewer", record.value["api"])
        return JSONResponse(issuing.shown(id, record.value), headers={"ETag": f'"{record.version}"'})

    async def create(self, request: Request, token: Token) -> Any:
        require_anywhere(token, "operator")
        body = await json_body(request, _ABOUT | _DATES | _WORDS | MADE_OF, ("type", "application"))
        require(token, "operator", body.get("api"))
        known(self.service, body.get("api"), body.get("plan"))
        await self._takes_new(body["application"], body.get("api"))
        body |= {name: strings(body, name) or () for name in _WORDS}
        made = await issuing.create_credential(self._issuing(token), **body | _moments(body))
        return JSONResponse(_shown_once(made), 201)

    async def _takes_new(self, application: str, api: str | None) -> None:
        if api is not None:
            tie = await self.service.store.get(SUBSCRIPTIONS, f"{application}/{api}")
            takes_new(self.service, api, tie.value.get("version") if tie else None)

    async def rotate(self, request: Request, token: Token) -> Any:
        id, _ = await self._own(request, token)
        body = await json_body(request, {"overlap": int, "ends": str} | MADE_OF)
        made = await issuing.rotate_credential(self._issuing(token), id, **body | _moments(body))
        return JSONResponse(_shown_once(made), 201)

    async def revoke(self, request: Request, token: Token) -> Any:
        id, version = await self._own(request, token)
        await issuing.revoke_credential(self._issuing(token), id, expect=expected(request, version))
        return {"revoked": id}


def _moments(body: dict[str, Any]) -> dict[str, float | None]:
    return {name: moment(body, name) for name in _DATES if name in body}


def _shown_once(made: Issued) -> dict[str, Any]:
    return {"id": made.id, "type": made.type, "name": made.name, "secret": made.secret}
