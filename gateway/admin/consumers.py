"""Consumers on the admin REST: applications, subscriptions, keys, tokens, dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin.bodies import json_body
from gateway.admin.service import Service
from gateway.consumers import keys, tokens
from gateway.consumers.tokens import Token
from gateway.core.errors import InvalidInput, NotFound
from gateway.store.store import APPLICATIONS, PLANS, SUBSCRIPTIONS

Handler = Callable[[Request, Token], Awaitable[Any]]
Entry = tuple[str, str, Handler, str]


def routes(service: Service) -> Iterator[Entry]:
    """(path, method, handler, role). What a write changed holds on this node once it is answered."""
    for path, method, handler, role in _entries(service):
        yield path, method, handler if method == "GET" else _settled(service, handler), role


def _settled(service: Service, handler: Handler) -> Handler:
    async def handle(request: Request, token: Token) -> Any:
        answer = await handler(request, token)
        await service.node.settled()
        return answer

    return handle


def _entries(service: Service) -> Iterator[Entry]:
    applications, credentials, admins = _Applications(service), _Keys(service), _Tokens(service)
    letters = _DeadLetters(service)
    yield "/applications", "GET", applications.all, "viewer"
    yield "/applications", "POST", applications.create, "operator"
    yield "/applications/{name}", "GET", applications.one, "viewer"
    yield "/applications/{name}", "DELETE", applications.delete, "operator"
    yield "/subscriptions", "GET", applications.subscriptions, "viewer"
    yield "/subscriptions", "POST", applications.subscribe, "operator"
    yield "/keys", "GET", credentials.all, "viewer"
    yield "/keys", "POST", credentials.create, "operator"
    yield "/keys/{id}/rotate", "POST", credentials.rotate, "operator"
    yield "/keys/{id}", "DELETE", credentials.revoke, "operator"
    yield "/tokens", "GET", admins.all, "admin"
    yield "/tokens", "POST", admins.create, "admin"
    yield "/tokens/{id}", "DELETE", admins.revoke, "admin"
    yield "/topics/{topic}/dead-letters", "GET", letters.all, "viewer"
    yield "/topics/{topic}/dead-letters/{listener:path}/{id}/redrive", "POST", letters.redrive, "operator"


class _Applications:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, _request: Request, _token: Token) -> Any:
        return {"items": [{"name": key, **record.value} async for key, record in self.service.store.scan(APPLICATIONS)]}

    async def one(self, request: Request, _token: Token) -> Any:
        name = request.path_params["name"]
        record = await self.service.store.get(APPLICATIONS, name)
        if record is None:
            raise NotFound(f"There is no application {name}.")
        return JSONResponse({"name": name, **record.value}, headers={"ETag": f'"{record.version}"'})

    async def create(self, request: Request, token: Token) -> Any:
        body = await json_body(request, {"name": str, "title": str, "owner": str}, required=("name",))
        await keys.create_application(self.service.store, self.service.clock, actor=token.name, **body)
        return JSONResponse({"id": body["name"], **body}, 201)

    async def delete(self, request: Request, token: Token) -> Any:
        name = request.path_params["name"]
        await keys.delete_application(self.service.store, name, actor=token.name)
        return {"deleted": name}

    async def subscriptions(self, _request: Request, _token: Token) -> Any:
        return {"items": [dict(record.value) async for _, record in self.service.store.scan(SUBSCRIPTIONS)]}

    async def subscribe(self, request: Request, token: Token) -> Any:
        fields = {"application": str, "api": str, "plan": str}
        body = await json_body(request, fields, required=("application", "api"))
        _known(self.service, body["api"], body.get("plan"))
        await keys.subscribe(self.service.store, self.service.clock, actor=token.name, **body)
        return JSONResponse(body, 201)


def _known(service: Service, api: str, plan: str | None) -> None:
    """A key for an API that is not there, or a plan that nobody wrote, is a typing error."""
    there = [each["name"] for each in service.components()]
    if api not in there:
        raise InvalidInput(f"There is no API {api}. Live are: {', '.join(there) or 'none'}.", target="api")
    plans = service.node.state.rows(PLANS)
    if plan is not None and plan not in plans:
        raise InvalidInput(f"There is no plan {plan}. There are: {', '.join(sorted(plans)) or 'none'}.", target="plan")


class _Keys:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, _token: Token) -> Any:
        query = request.query_params
        found = keys.list_keys(self.service.store, query.get("application"), query.get("api"))
        return {"items": [dict(each) async for each in found]}

    async def create(self, request: Request, token: Token) -> Any:
        fields = {"application": str, "api": str, "plan": str, "starts": str, "ends": str}
        body = await json_body(request, fields, required=("application", "api"))
        _known(self.service, body["api"], body.get("plan"))
        id, key = await keys.create_key(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            application=body["application"],
            api=body["api"],
            plan=body.get("plan"),
            starts=_moment(body, "starts"),
            ends=_moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "key": key, **body}, 201)

    async def rotate(self, request: Request, token: Token) -> Any:
        body = await json_body(request, {"overlap": int, "ends": str})
        id, key = await keys.rotate_key(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            request.path_params["id"],
            overlap=float(body.get("overlap", keys.DAY)),
            ends=_moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "key": key, "replaces": request.path_params["id"]}, 201)

    async def revoke(self, request: Request, token: Token) -> Any:
        id = request.path_params["id"]
        await keys.revoke_key(self.service.store, self.service.clock, id, actor=token.name)
        return {"revoked": id}


class _Tokens:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, _request: Request, _token: Token) -> Any:
        return {"items": [dict(each) async for each in tokens.list_tokens(self.service.store)]}

    async def create(self, request: Request, token: Token) -> Any:
        fields = {"name": str, "roles": list, "components": list, "ends": str}
        body = await json_body(request, fields, required=("name", "roles"))
        id, plaintext = await tokens.create_token(
            self.service.store,
            self.service.hasher,
            self.service.clock,
            name=body["name"],
            roles=[str(role) for role in body["roles"]],
            components=body.get("components"),
            ends=_moment(body, "ends"),
            actor=token.name,
        )
        return JSONResponse({"id": id, "token": plaintext, "name": body["name"], "roles": body["roles"]}, 201)

    async def revoke(self, request: Request, token: Token) -> Any:
        id = request.path_params["id"]
        await tokens.revoke_token(self.service.store, self.service.clock, id, actor=token.name)
        return {"revoked": id}


class _DeadLetters:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, _token: Token) -> Any:
        """Of one listener (`?listener=shop@v2/bill_order`), or of every listener that is live."""
        topic = request.path_params["topic"]
        wanted = request.query_params.get("listener")
        groups = [wanted] if wanted else self._groups(topic)
        items = []
        for group in groups:
            for letter in await self.service.streams.dead_letters(topic, group):
                items.append({"listener": group, **_letter(letter)})
        return {"items": items}

    def _groups(self, topic: str) -> list[str]:
        snapshot = self.service.snapshot()
        return [
            f"{version.name}/{name}"
            for version in snapshot.versions
            for name, listener in version.listeners.items()
            if listener.topic == topic
        ]

    async def redrive(self, request: Request, token: Token) -> Any:
        parts = request.path_params
        again = await self.service.streams.redrive(parts["topic"], parts["listener"], parts["id"])
        entry = {"actor": token.name, "action": "dead-letter.redrive", "subject": f"{parts['topic']} {parts['id']}"}
        await self.service.store.commit([], entry)
        return {"id": again}


def _letter(letter: Any) -> dict[str, Any]:
    """Payloads stay out: they are the consumers' data. Reasons, counts and times are what an operator needs."""
    shown = ("id", "origin", "reason", "error", "attempts", "at")
    return {name: getattr(letter, name) for name in shown if hasattr(letter, name)}


def _moment(body: dict[str, Any], name: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or time; a date means its first second in UTC."""
    text = body.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"`{name}` is a date or time such as 2027-01-31 or 2027-01-31T12:00Z.", target=name
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
