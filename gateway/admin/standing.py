"""How a live version stands, changed without another manifest: its life cycle, and its canary. Both are part of the
version's active pointer, so that each change is one commit that every node serves, or none does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError
from starlette.requests import Request

from gateway.admin.access import require
from gateway.admin.bodies import expected, json_body
from gateway.admin.changes import activations
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import Conflict, Detail, InvalidInput
from gateway.core.shares import share
from gateway.manifest.documents import Lifecycle
from gateway.snapshot.spec import CanarySpec

RULE: Final[dict[str, type]] = {"share": str, "header": str, "value": str, "applications": list, "sticky": str}
LIFECYCLE: Final[dict[str, type]] = {
    "status": str,
    "since": str,
    "sunset": str,
    "successor": str,
    "documentation": str,
    "sunset_acts": bool,
    "brownouts": list,
}


def entries(service: Service) -> Iterator[Entry]:
    made = _Standing(service)
    yield Entry("/versions/{name}/lifecycle", "PUT", made.set_lifecycle, None)
    yield Entry("/versions/{name}/lifecycle", "DELETE", made.reinstate, None)
    yield Entry("/versions/{name}/canary", "PUT", made.set_canary, None)
    yield Entry("/versions/{name}/canary", "DELETE", made.abort, None)
    yield Entry("/versions/{name}/canary/promote", "POST", made.promote, None)


def canary_rule(given: Mapping[str, Any], before: CanarySpec | None = None) -> CanarySpec:
    """Who gets a canary; what is not given stays. InvalidInput."""
    members = dict(given)
    try:
        if "share" in members:
            members["share"] = share(str(members["share"]))
        rule = CanarySpec.model_validate({**(before.model_dump() if before is not None else {}), **members})
    except ValidationError as error:
        raise InvalidInput("This is no rule for a canary.", details=_details(error)) from None
    except ValueError as error:
        raise InvalidInput(f"The share of the canary is {error}", target="share") from None
    if rule.value and not rule.header:
        raise InvalidInput("`value` is the value of a `header`: name that, too.", target="header")
    return rule


def _details(error: ValidationError) -> list[Detail]:
    return [Detail(".".join(map(str, each["loc"])), each["msg"], each["type"]) for each in error.errors()]


class _Standing:
    def __init__(self, service: Service) -> None:
        self.service = service

    def _may(self, request: Request, token: Token) -> str:
        name: str = request.path_params["name"]
        require(token, "publisher", name.partition("@")[0])
        return name

    def _expected(self, request: Request, name: str) -> int | None:
        """The version's own ETag: its life cycle and its canary are parts of it."""
        return expected(request, self.service.versions.pointer(name)[1])

    async def set_lifecycle(self, request: Request, token: Token) -> Any:
        """In place of the manifest's own, until it is taken back."""
        name = self._may(request, token)
        body = await json_body(request, LIFECYCLE, required=("status",))
        life = self._lifecycle(name, body)
        written = life.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        audit = {"action": f"version.{life.status}", "lifecycle": written}

        def change(pointer: dict[str, Any]) -> dict[str, Any]:
            return pointer | {"lifecycle": written}

        told = await self.service.versions.repoint(
            name, token.name, change, expect=self._expected(request, name), **audit
        )
        return {**told, "lifecycle": written}

    def _lifecycle(self, name: str, body: dict[str, Any]) -> Lifecycle:
        """InvalidInput for one that cannot be meant. What is deprecated is so from now on, unless it says when."""
        if body["status"] == "deprecated" and "since" not in body:
            now = datetime.fromtimestamp(self.service.clock.time(), UTC)
            body["since"] = now.replace(microsecond=0).isoformat()
        try:
            life = Lifecycle.model_validate_json(orjson.dumps(body))
        except ValidationError as error:
            raise InvalidInput("This is no life cycle of a version.", details=_details(error)) from None
        if life.status == "draft":
            raise InvalidInput("A live version is no draft. Take it away instead: DELETE.", target="status")
        self._check_successor(name, life.successor)
        return life

    def _check_successor(self, name: str, successor: str | None) -> None:
        component = name.partition("@")[0]
        known = [each.partition("@")[2] for each in self.service.versions.names() if each.startswith(f"{component}@")]
        if successor is not None and (successor not in known or name == f"{component}@{successor}"):
            others = ", ".join(each for each in known if name != f"{component}@{each}") or "no other"
            raise InvalidInput(f"{component} has no other version {successor}. There is: {others}.", target="successor")

    async def reinstate(self, request: Request, token: Token) -> Any:
        """The manifest's own life cycle holds again."""

        def change(pointer: dict[str, Any]) -> dict[str, Any]:
            if "lifecycle" not in pointer:
                raise Conflict("Nothing was set on this version: its manifest tells its life cycle.")
            return {key: value for key, value in pointer.items() if key != "lifecycle"}

        name = self._may(request, token)
        expect = self._expected(request, name)
        return await self.service.versions.repoint(name, token.name, change, expect=expect, action="version.reinstate")

    async def set_canary(self, request: Request, token: Token) -> Any:
        name = self._may(request, token)
        body = await json_body(request, RULE)
        if isinstance(body.get("applications"), list):
            body["applications"] = tuple(body["applications"])

        def change(pointer: dict[str, Any]) -> dict[str, Any]:
            running = _running(pointer)
            before = CanarySpec.model_validate({key: running[key] for key in CanarySpec.model_fields if key in running})
            rule = canary_rule(body, before).model_dump(mode="json")
            return pointer | {"canary": {**running, **rule}}

        expect = self._expected(request, name)
        return await self.service.versions.repoint(
            name, token.name, change, expect=expect, action="canary.set", rule=_told(body)
        )

    async def abort(self, request: Request, token: Token) -> Any:
        name = self._may(request, token)
        return await abort_canary(self.service, name, token.name, expect=self._expected(request, name))

    async def promote(self, request: Request, token: Token) -> Any:
        name = self._may(request, token)
        return await promote_canary(self.service, name, token.name)


async def abort_canary(
    service: Service, name: str, actor: str, *, of: str | None = None, expect: int | None = None, **why: Any
) -> dict[str, Any]:
    """Everybody gets the active revision again. `of`: only if the canary is that revision."""

    def change(pointer: dict[str, Any]) -> dict[str, Any]:
        running = _running(pointer)
        if of not in (None, running["revision"]):
            raise Conflict(f"The canary is another revision now: {running['revision']}.")
        return {key: value for key, value in pointer.items() if key != "canary"}

    return await service.versions.repoint(name, actor, change, expect=expect, action="canary.abort", **why)


async def promote_canary(service: Service, name: str, actor: str) -> dict[str, Any]:
    """The canary is the active revision; `rollback` leads back to the one before."""

    def change(pointer: dict[str, Any]) -> dict[str, Any]:
        running = _running(pointer)
        history = [*pointer.get("history", []), pointer["revision"]][-50:]
        kept = {key: value for key, value in pointer.items() if key not in {"canary", "rolled_back", "guard"}}
        kept |= {key: running[key] for key in ("guard",) if key in running}
        more = {"revision": running["revision"], "since": service.clock.time(), "actor": actor}
        return kept | activations(pointer) | more | {"history": history, "pins": {}}

    return await service.versions.repoint(name, actor, change, action="canary.promote")


def _running(pointer: Mapping[str, Any]) -> dict[str, Any]:
    running = pointer.get("canary")
    if not running:
        raise Conflict("This version has no canary. Start one: penstock publish PATH --canary 10%.")
    return dict(running)


def _told(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in body.items()}
