"""Consumers on the admin REST: keys and tokens; composes applications, subscriptions and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import applications, credentials, pages, signing_keys
from gateway.admin.access import require, require_anywhere
from gateway.admin.bodies import expected, json_body, moment, strings
from gateway.admin.routing import Entry, Handler
from gateway.admin.service import Service
from gateway.admin.subscribing import ending, known, takes_new
from gateway.consumers import keys, tokens
from gateway.consumers.tokens import Token
from gateway.core.errors import NotFound
from gateway.store.store import KEYS, SUBSCRIPTIONS, TOKENS, Record, Value


def entries(service: Service) -> Iterator[Entry]:
    """Keys and subscriptions belong to an API component: a token that is bound to it may act on them. What a write
    changed holds on this node once it is answered."""
    for entry in _entries(service):
        yield entry if entry.method == "GET" else entry._replace(handler=_settled(service, entry.handler))


def _settled(service: Service, handler: Handler) -> Handler:
    async def handle(request: Request, token: Token) -> Any:
        answer = await handler(request, token)
        await service.node.settled()
        return answer

    return handle


def _entries(service: Service) -> Iterator[Entry]:
    api_keys, admins = _Keys(service), _Tokens(service)
    yield from applications.entries(service)
    yield Entry("/keys", "GET", api_keys.all, "viewer")
    yield Entry("/keys", "POST", api_keys.create, None)
    yield Entry("/keys/{id}", "GET", api_keys.one, "viewer")
    yield Entry("/keys/{id}/rotate", "POST", api_keys.rotate, None)
    yield Entry("/keys/{id}", "DELETE", api_keys.revoke, None)
    yield from credentials.entries(service)
    yield from signing_keys.entries(service)
    yield Entry("/tokens", "GET", admins.all, "admin")
    yield Entry("/tokens", "POST", admins.create, "admin")
    yield Entry("/tokens/{id}", "GET", admins.one, "admin")
    yield Entry("/tokens/{id}", "DELETE", admins.revoke, "admin")


class _Keys:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def _own(self, request: Request, token: Token) -> tuple[str, int]:
        """The id of a key that this token may touch, and the version of its record."""
        require_anywhere(token, "operator")
        id = str(request.path_params["id"])
        record = await self.service.store.get(KEYS, id)
        if record is None:
            raise NotFound(f"There is no key {id}.")
        require(token, "operator", record.value["api"])
        return id, record.version

    async def all(self, request: Request, token: Token) -> Any:
        query = request.query_params
        application, api, plan = query.get("application"), query.get("api"), query.get("plan")
        period, plans = ending(request, self.service), dict[str, str | None]()

        async def show(id: str, record: Record) -> dict[str, Any] | None:
            value = record.value
            fits = application in (None, value["application"]) and api in (None, value["api"])
            if not fits or not token.may("viewer", value["api"]):
                return None
            if period is not None and not keys.ends_within(value, *period):
                return None
            found = await self._shown(id, value, plans)
            return found if plan in (None, found["plan"]) else None

        return await pages.stored(request, self.service.store, KEYS, show)

    async def _shown(self, id: str, value: Value, plans: dict[str, str | None]) -> dict[str, Any]:
        """A key without a plan of its own has its subscription's; `plans` has those that were read already."""
        found = {"id": id, **{name: each for name, each in value.items() if name != "digest"}}
        if found["plan"] is None:
            name = f"{value['application']}/{value['api']}"
            if name not in plans:
                tie = await self.service.store.get(SUBSCRIPTIONS, name)
                plans[name] = tie.value.get("plan") if tie else None
            found["plan"] = plans[name]
        return found

    async def one(self, request: Request, token: Token) -> Any:
        id = str(request.path_params["id"])
        record = await self.service.store.get(KEYS, id)
        if record is None:
            raise NotFound(f"There is no key {id}.")
        require(token, "viewer", record.value["api"])
        return JSONResponse(await self._shown(id, record.value, {}), headers={"ETag": f'"{record.version}"'})

    async def create(self, request: Request, token: Token) -> Any:
        require_anywhere(token, "operator")
        fields = {"application": str, "api": str, "plan": str, "starts": str, "ends": str}
        body = await json_body(request, fields, required=("application", "api"))
        require(token, "operator", body["api"])
        known(self.service, body["api"], body.get("plan"))
        tie = await self.service.store.get(SUBSCRIPTIONS, f"{body['application']}/{body['api']}")
        takes_new(self.service, body["api"], tie.value.get("version") if tie else None)
        id, key = await keys.create_key(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            application=body["application"],
            api=body["api"],
            plan=body.get("plan"),
            starts=moment(body, "starts"),
            ends=moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "key": key, **body}, 201)

    async def rotate(self, request: Request, token: Token) -> Any:
        old, _ = await self._own(request, token)
        body = await json_body(request, {"overlap": int, "ends": str})
        id, key = await keys.rotate_key(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            old,
            overlap=float(body.get("overlap", keys.DAY)),
            ends=moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "key": key, "replaces": old}, 201)

    async def revoke(self, request: Request, token: Token) -> Any:
        id, version = await self._own(request, token)
        expect = expected(request, version)
        await keys.revoke_key(self.service.store, self.service.clock, id, expect=expect, actor=token.name)
        return {"revoked": id}


class _Tokens:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, _token: Token) -> Any:
        query = request.query_params
        name, role = query.get("name"), query.get("role")

        async def show(id: str, record: Record) -> dict[str, Any] | None:
            value = record.value
            fits = name in (None, value["name"]) and (role is None or role in value["roles"])
            return tokens.shown(id, value) if fits else None

        return await pages.stored(request, self.service.store, TOKENS, show)

    async def one(self, request: Request, _token: Token) -> Any:
        id = request.path_params["id"]
        record = await tokens.known_token(self.service.store, id)
        return JSONResponse(tokens.shown(id, record.value), headers={"ETag": f'"{record.version}"'})

    async def create(self, request: Request, token: Token) -> Any:
        fields = {"name": str, "roles": list, "components": list, "ends": str}
        body = await json_body(request, fields, required=("name", "roles"))
        roles, components = strings(body, "roles"), strings(body, "components")
        id, plaintext = await tokens.create_token(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            name=body["name"],
            roles=roles or (),
            components=components,
            ends=moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "token": plaintext, "name": body["name"], "roles": body["roles"]}, 201)

    async def revoke(self, request: Request, token: Token) -> Any:
        id = request.path_params["id"]
        expect = expected(request, (await tokens.known_token(self.service.store, id)).version)
        await tokens.revoke_token(self.service.store, self.service.clock, id, expect=expect, actor=token.name)
        return {"revoked": id}
