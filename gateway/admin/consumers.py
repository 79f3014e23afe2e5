"""Consumers on the admin REST: keys, tokens, dead letters; composes applications, subscriptions and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import applications, credentials, signing_keys
from gateway.admin.access import require, require_anywhere
from gateway.admin.bodies import json_body, moment, number, strings
from gateway.admin.routing import PREFIX, Entry, Handler
from gateway.admin.service import Service
from gateway.admin.subscribing import ending, known, takes_new
from gateway.consumers import keys, tokens
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, NotFound
from gateway.store.store import KEYS, SUBSCRIPTIONS


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
    api_keys, admins, letters = _Keys(service), _Tokens(service), _DeadLetters(service)
    yield from applications.entries(service)
    yield Entry("/keys", "GET", api_keys.all, "viewer")
    yield Entry("/keys", "POST", api_keys.create, None)
    yield Entry("/keys/{id}/rotate", "POST", api_keys.rotate, None)
    yield Entry("/keys/{id}", "DELETE", api_keys.revoke, None)
    yield from credentials.entries(service)
    yield from signing_keys.entries(service)
    yield Entry("/tokens", "GET", admins.all, "admin")
    yield Entry("/tokens", "POST", admins.create, "admin")
    yield Entry("/tokens/{id}", "DELETE", admins.revoke, "admin")
    yield Entry("/topics/{topic}/dead-letters", "GET", letters.all, "viewer")
    yield Entry("/topics/{topic}/dead-letters/{listener:path}/{id}/redrive", "POST", letters.redrive, "operator")


class _Keys:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def _own(self, request: Request, token: Token) -> str:
        """The id of a key that this token may touch."""
        require_anywhere(token, "operator")
        id = str(request.path_params["id"])
        record = await self.service.store.get(KEYS, id)
        if record is None:
            raise NotFound(f"There is no key {id}.")
        require(token, "operator", record.value["api"])
        return id

    async def all(self, request: Request, token: Token) -> Any:
        query = request.query_params
        found = keys.list_keys(
            self.service.store, query.get("application"), query.get("api"), ending(request, self.service)
        )
        shown = [dict(each) async for each in found if token.may("viewer", each["api"])]
        plans = {key: record.value.get("plan") async for key, record in self.service.store.scan(SUBSCRIPTIONS)}
        for each in shown:  # a key without a plan of its own has its subscription's
            each["plan"] = each["plan"] or plans.get(f"{each['application']}/{each['api']}")
        return {"items": shown}

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
        old = await self._own(request, token)
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
        id = await self._own(request, token)
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
        await tokens.revoke_token(self.service.store, self.service.clock, id, actor=token.name)
        return {"revoked": id}


class _DeadLetters:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, token: Token) -> Any:
        """Of one listener (`?listener=shop@v2/bill_order`), or of every listener that is live; oldest first. Where a
        listener has more, a `Link` leads to its next page (RFC 8288)."""
        topic = request.path_params["topic"]
        wanted = request.query_params.get("listener")
        groups = [wanted] if wanted else self._groups(topic)
        groups = [each for each in groups if token.may("viewer", each.partition("@")[0])]
        limit = number(request, "limit", 1, 1000) or 100
        after = request.query_params.get("after", "")
        if after and not wanted:
            raise BadRequest("`after` is a dead letter of one listener: name it, ?listener=NAME@VERSION/OPERATION.")
        items, links = [], []
        for group in groups:
            found = await self.service.streams.dead_letters(topic, group, limit, after)
            items += [{"listener": group, **_letter(letter)} for letter in found]
            if len(found) == limit:
                query = urlencode({"listener": group, "limit": limit, "after": found[-1].id})
                links.append(f'<{PREFIX}/topics/{quote(topic)}/dead-letters?{query}>; rel="next"')
        return JSONResponse({"items": items}, headers={"Link": ", ".join(links)} if links else None)

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
