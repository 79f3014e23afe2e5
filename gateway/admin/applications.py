"""Applications and their subscriptions on the admin REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.access import require, require_anywhere
from gateway.admin.bodies import expected, json_body, strings
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.subscribing import known, takes_new
from gateway.consumers import applications, subscriptions
from gateway.consumers.applications import DEFAULTS
from gateway.consumers.tokens import Token
from gateway.core.errors import Forbidden, NotFound
from gateway.store.store import APPLICATIONS, SUBSCRIPTIONS, Record

_ABOUT: Final[dict[str, type]] = {
    "title": str,
    "owner": str,
    "contacts": list,
    "attributes": dict,
    "status": str,
}
_SUBSCRIBED: Final[dict[str, type]] = {"plan": str, "version": str}


def entries(service: Service) -> Iterator[Entry]:
    found, subscribed = _Applications(service), _Subscriptions(service)
    yield Entry("/applications", "GET", found.all, "viewer")
    yield Entry("/applications", "POST", found.create, "operator")
    yield Entry("/applications/{name}", "GET", found.one, "viewer")
    yield Entry("/applications/{name}", "PUT", found.put, "operator")
    yield Entry("/applications/{name}", "PATCH", found.change, "operator")
    yield Entry("/applications/{name}", "DELETE", found.delete, "operator")
    yield Entry("/subscriptions", "GET", subscribed.all, "viewer")
    yield Entry("/subscriptions", "POST", subscribed.create, None)
    yield Entry("/subscriptions/{application}/{api}", "GET", subscribed.one, None)
    yield Entry("/subscriptions/{application}/{api}", "PATCH", subscribed.change, None)
    yield Entry("/subscriptions/{application}/{api}", "DELETE", subscribed.delete, None)


def _tagged(value: dict[str, Any], version: int, status: int = 200) -> JSONResponse:
    return JSONResponse(value, status, headers={"ETag": f'"{version}"'})


def _shown(name: str, record: Record) -> dict[str, Any]:
    return {"name": name, **DEFAULTS, **record.value}


class _Applications:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, token: Token) -> Any:
        query = request.query_params
        status, owner = query.get("status"), query.get("owner")

        async def show(name: str, record: Record) -> dict[str, Any] | None:
            found = _shown(name, record)
            wanted = status in (None, found["status"]) and owner in (None, found["owner"])
            return found if wanted and await self._seen(name, token) else None

        return await pages.stored(request, self.service.store, APPLICATIONS, show)

    async def _seen(self, name: str, token: Token) -> bool:
        """A token that is bound to components sees the applications that are subscribed to one of them."""
        if token.components is None:
            return True
        for api in token.components:
            if await self.service.store.get(SUBSCRIPTIONS, f"{name}/{api}") is not None:
                return True
        return False

    async def one(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        record = await self.service.store.get(APPLICATIONS, name)
        if record is None:
            raise NotFound(f"There is no application {name}.")
        if not await self._seen(name, token):
            raise Forbidden(f"The application {name} uses no component that this token is bound to.")
        return _tagged(_shown(name, record), record.version)

    async def _body(self, request: Request, more: dict[str, type] | None = None) -> dict[str, Any]:
        body = await json_body(request, {**(more or {}), **_ABOUT}, required=tuple(more or ()))
        strings(body, "contacts")
        return body

    async def create(self, request: Request, token: Token) -> Any:
        body = await self._body(request, {"name": str})
        await applications.create_application(self.service.store, self.service.clock, actor=token.name, **body)
        return JSONResponse({"id": body["name"], **body}, 201)

    async def put(self, request: Request, token: Token) -> Any:
        """201 when there was none."""
        name, body = request.path_params["name"], await self._body(request)
        record = await self.service.store.get(APPLICATIONS, name)
        expect = expected(request, record.version if record else 0)
        made = await applications.put_application(
            self.service.store, self.service.clock, name, body, expect=expect, actor=token.name
        )
        return _tagged(_shown(name, made), made.version, 200 if record else 201)

    async def change(self, request: Request, token: Token) -> Any:
        name, body = request.path_params["name"], await self._body(request)
        record = await applications.known_application(self.service.store, name)
        made = await applications.change_application(
            self.service.store, name, body, expect=expected(request, record.version), actor=token.name
        )
        return _tagged(_shown(name, made), made.version)

    async def delete(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        record = await self.service.store.get(APPLICATIONS, name)
        expect = expected(request, record.version if record else 0)
        await applications.delete_application(self.service.store, name, expect=expect, actor=token.name)
        return {"deleted": name}


class _Subscriptions:
    """Each belongs to its API: a token that is bound to that may act on it."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, token: Token) -> Any:
        query = request.query_params
        wanted = {name: query[name] for name in ("application", "api", "plan") if name in query}

        async def show(_key: str, record: Record) -> dict[str, Any] | None:
            found = {"version": None, **record.value}
            fits = all(found.get(name) == text for name, text in wanted.items())
            return found if fits and token.may("viewer", found["api"]) else None

        return await pages.stored(request, self.service.store, SUBSCRIPTIONS, show)

    async def _record(self, request: Request) -> Record:
        parts = request.path_params
        return await subscriptions.known_subscription(self.service.store, parts["application"], parts["api"])

    async def one(self, request: Request, token: Token) -> Any:
        require(token, "viewer", request.path_params["api"])
        record = await self._record(request)
        return _tagged({"version": None, **record.value}, record.version)

    async def create(self, request: Request, token: Token) -> Any:
        require_anywhere(token, "operator")
        fields: dict[str, type] = {"application": str, "api": str, **_SUBSCRIBED}
        body = await json_body(request, fields, required=("application", "api"))
        require(token, "operator", body["api"])
        known(self.service, body["api"], body.get("plan"), body.get("version"))
        if await self.service.store.get(SUBSCRIPTIONS, f"{body['application']}/{body['api']}") is None:
            takes_new(self.service, body["api"], body.get("version"))
        await subscriptions.subscribe(self.service.store, self.service.clock, actor=token.name, **body)
        return JSONResponse(body, 201)

    async def change(self, request: Request, token: Token) -> Any:
        """What is named; null takes the plan or the pin away."""
        application, api = request.path_params["application"], request.path_params["api"]
        require(token, "operator", api)
        body = await json_body(request, _SUBSCRIBED, keep_null=True)
        known(self.service, api, body.get("plan"), body.get("version"))
        record = await self._record(request)
        pin = body.get("version")
        if pin is not None and pin != record.value.get("version"):
            takes_new(self.service, api, pin)
        made = await subscriptions.change_subscription(
            self.service.store,
            application=application,
            api=api,
            changes=body,
            expect=expected(request, record.version),
            actor=token.name,
        )
        return _tagged(dict(made.value), made.version)

    async def delete(self, request: Request, token: Token) -> Any:
        application, api = request.path_params["application"], request.path_params["api"]
        require(token, "operator", api)
        expect = expected(request, (await self._record(request)).version)
        await subscriptions.unsubscribe(
            self.service.store, application=application, api=api, expect=expect, actor=token.name
        )
        return {"deleted": f"{application}/{api}"}
