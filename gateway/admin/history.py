"""What was before, on the admin REST: the revisions of named policies and the activations of versions, and the way
back to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request

from gateway.admin import pages
from gateway.admin.access import require
from gateway.admin.bodies import json_body, number
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import Conflict, NotFound
from gateway.snapshot.diff import differences
from gateway.store.store import POLICIES


def entries(service: Service) -> Iterator[Entry]:
    policies, versions = _Policies(service), _Activations(service)
    yield Entry("/policies/{name}/revisions", "GET", policies.all, "viewer")
    yield Entry("/policies/{name}/revisions/{number}", "GET", policies.one, "viewer")
    yield Entry("/policies/{name}/diff", "GET", policies.diff, "viewer")
    yield Entry("/policies/{name}/rollback", "POST", policies.rollback, "policy-editor")
    yield Entry("/versions/{name}/activations", "GET", versions.all, None)
    yield Entry("/versions/{name}/activations", "POST", versions.activate, None)


def _revision(name: str, value: Mapping[str, Any], number: str) -> dict[str, Any]:
    """NotFound when the policy has none of that number."""
    if number not in value["revisions"]:
        raise NotFound(f"The policy {name} has no revision {number}. There are: {', '.join(value['revisions'])}.")
    about = value.get("applied", {}).get(number, {})
    return {
        "revision": int(number),
        "current": int(number) == value["revision"],
        "at": about.get("at"),
        "actor": about.get("actor"),
        "restores": about.get("restores"),
    }


class _Policies:
    def __init__(self, service: Service) -> None:
        self.service = service

    def _value(self, request: Request) -> tuple[str, dict[str, Any]]:
        name = request.path_params["name"]
        return name, self.service.records.one(POLICIES, name)[0]

    async def all(self, request: Request, _token: Token) -> Any:
        """The oldest first."""
        name, value = self._value(request)
        found = [_revision(name, value, number) for number in value["revisions"]]
        return pages.listed(request, [{**each, "key": f"{each['revision']:012}"} for each in found], "key", hide=True)

    async def one(self, request: Request, _token: Token) -> Any:
        name, value = self._value(request)
        number = request.path_params["number"]
        return {"name": name, **_revision(name, value, number), "steps": value["revisions"][number]}

    async def diff(self, request: Request, _token: Token) -> Any:
        """By default the last two."""
        name, value = self._value(request)
        newest = int(value["revision"])
        to = number(request, "to", 1, 10**9) or newest
        first = number(request, "from", 1, 10**9) or max(1, to - 1)
        for each in (first, to):
            _revision(name, value, str(each))
        found = differences({"steps": value["revisions"][str(first)]}, {"steps": value["revisions"][str(to)]})
        return {"from": first, "to": to, "items": [each.as_json() for each in found]}

    async def rollback(self, request: Request, token: Token) -> Any:
        """An earlier revision's steps become the newest revision, so that no number ever changes its meaning."""
        name = request.path_params["name"]
        body = await json_body(request, {"to": int})

        def change(value: dict[str, Any]) -> dict[str, Any]:
            current = int(value["revision"])
            target = str(body.get("to", current - 1))
            if target == "0":
                raise Conflict(f"The policy {name} has no earlier revision to go back to.")
            _revision(name, value, target)
            return rolled_back(value, target, self.service.clock.time(), token.name)

        return await self.service.records.put_back(POLICIES, name, token.name, change)


def rolled_back(value: Mapping[str, Any], target: str, now: float, actor: str) -> dict[str, Any]:
    """The record of a policy with one more revision. Conflict when it would be the one of now."""
    current = int(value["revision"])
    steps = value["revisions"][target]
    if value["revisions"][str(current)] == steps:
        raise Conflict(f"Revision {target} is what holds already, as revision {current}.")
    number = str(max(map(int, value["revisions"])) + 1)
    about = {"at": now, "actor": actor, "restores": int(target)}
    return {
        **value,
        "revision": int(number),
        "revisions": {**value["revisions"], number: steps},
        "applied": {**value.get("applied", {}), number: about},
        "at": now,
        "actor": actor,
    }


class _Activations:
    def __init__(self, service: Service) -> None:
        self.service = service

    def _may(self, request: Request, token: Token, role: str) -> str:
        name: str = request.path_params["name"]
        require(token, role, name.partition("@")[0])
        return name

    async def all(self, request: Request, token: Token) -> Any:
        """Of the last fifty, the oldest first; the last one is that of now."""
        name = self._may(request, token, "viewer")
        pointer, _ = self.service.versions.pointer(name)
        now = {key: pointer[key] for key in ("revision", "since", "actor")}
        now |= {"pins": pointer["pins"]} if pointer.get("pins") else {}
        found = [*({**each, "active": False} for each in pointer.get("activations", [])), {**now, "active": True}]
        keyed = [{**each, "key": f"{each['since']:020.6f}"} for each in found]
        return pages.listed(request, keyed, "key", hide=True)

    async def activate(self, request: Request, token: Token) -> Any:
        name = self._may(request, token, "publisher")
        body = await json_body(request, {"revision": str, "with_policies": bool}, required=("revision",))
        pointer, _ = self.service.versions.pointer(name)
        if body["revision"] == pointer["revision"]:
            raise Conflict(f"{name} serves revision {body['revision']} already.")
        return await self.service.versions.rollback(
            name, token.name, to=body["revision"], with_policies=body.get("with_policies", False), action="activate"
        )
