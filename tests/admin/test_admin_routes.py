"""CASES M68: every route of openapi/admin.yaml × no credential, wrong role, other tenant, expired.

The table below has a line for each; a route without one fails `test_every_route_has_a_line_here`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from ruamel.yaml import YAML as Yaml

from gateway.core.clock import ManualClock
from gateway.core.runtimes import RuntimeTarget
from gateway.runtime.processes import Contracts
from gateway.runtime.registry import Registry
from gateway.runtime.remotes import Remotes
from tests.admin.admin_harness import PLAN, TOPIC, YAML, Bench, bench, policy, problem, shop

Tenant = Literal["refused", "filtered", "shared"]
"""What a token that is bound to another component gets: nothing; what is not of others; what belongs to none."""

DOCUMENT = Path(__file__).resolve().parents[2] / "openapi" / "admin.yaml"
ROLES = ("viewer", "publisher", "policy-editor", "operator")
ROUTES: dict[str, tuple[str, Tenant]] = {
    "GET /metrics": ("viewer", "refused"),
    "GET /whoami": ("viewer", "shared"),
    "POST /apply": ("publisher", "refused"),
    "GET /components": ("viewer", "filtered"),
    "GET /components/{name}": ("viewer", "refused"),
    "GET /versions": ("viewer", "filtered"),
    "GET /versions/{name}": ("viewer", "refused"),
    "DELETE /versions/{name}": ("publisher", "refused"),
    "POST /versions/{name}/rollback": ("publisher", "refused"),
    "GET /versions/{name}/activations": ("viewer", "refused"),
    "POST /versions/{name}/activations": ("publisher", "refused"),
    "PUT /versions/{name}/lifecycle": ("publisher", "refused"),
    "DELETE /versions/{name}/lifecycle": ("publisher", "refused"),
    "PUT /versions/{name}/canary": ("publisher", "refused"),
    "DELETE /versions/{name}/canary": ("publisher", "refused"),
    "POST /versions/{name}/canary/promote": ("publisher", "refused"),
    "GET /versions/{name}/callers": ("viewer", "refused"),
    "GET /versions/{name}/mirror": ("viewer", "refused"),
    "GET /usage": ("viewer", "filtered"),
    "GET /revisions": ("viewer", "filtered"),
    "GET /revisions/{revision}": ("viewer", "refused"),
    "GET /diff": ("viewer", "refused"),
    "GET /changelog": ("viewer", "refused"),
    "POST /explain": ("viewer", "filtered"),
    "GET /snapshot": ("viewer", "filtered"),
    "GET /policy-kinds": ("viewer", "shared"),
    "GET /policy-kinds/{name}": ("viewer", "shared"),
    "GET /nodes": ("viewer", "filtered"),
    "GET /nodes/{name}": ("viewer", "filtered"),
    "GET /environments": ("viewer", "filtered"),
    "GET /environments/{node}": ("viewer", "filtered"),
    "GET /runtimes": ("viewer", "shared"),
    "GET /runtimes/{name}": ("viewer", "shared"),
    "GET /processes": ("viewer", "filtered"),
    "GET /store": ("viewer", "refused"),
    "GET /open-endpoints": ("viewer", "filtered"),
    "GET /audit": ("viewer", "filtered"),
    "GET /backup": ("admin", "refused"),
    "POST /restore": ("admin", "refused"),
    "GET /policies": ("viewer", "shared"),
    "GET /policies/{name}": ("viewer", "shared"),
    "PUT /policies/{name}": ("policy-editor", "refused"),
    "DELETE /policies/{name}": ("policy-editor", "refused"),
    "GET /policies/{name}/revisions": ("viewer", "shared"),
    "GET /policies/{name}/revisions/{number}": ("viewer", "shared"),
    "GET /policies/{name}/diff": ("viewer", "shared"),
    "POST /policies/{name}/rollback": ("policy-editor", "refused"),
    "GET /plans": ("viewer", "shared"),
    "GET /plans/{name}": ("viewer", "shared"),
    "PUT /plans/{name}": ("policy-editor", "refused"),
    "DELETE /plans/{name}": ("policy-editor", "refused"),
    "GET /topics": ("viewer", "shared"),
    "GET /topics/{name}": ("viewer", "shared"),
    "PUT /topics/{name}": ("publisher", "refused"),
    "DELETE /topics/{name}": ("publisher", "refused"),
    "GET /topics/{topic}/subscriptions": ("viewer", "filtered"),
    "GET /topics/{topic}/dead-letters": ("viewer", "filtered"),
    "POST /topics/{topic}/dead-letters/{listener}/{id}/redrive": ("operator", "refused"),
    "GET /applications": ("viewer", "filtered"),
    "POST /applications": ("operator", "refused"),
    "GET /applications/{name}": ("viewer", "refused"),
    "PUT /applications/{name}": ("operator", "refused"),
    "PATCH /applications/{name}": ("operator", "refused"),
    "DELETE /applications/{name}": ("operator", "refused"),
    "GET /subscriptions": ("viewer", "filtered"),
    "POST /subscriptions": ("operator", "refused"),
    "GET /subscriptions/{application}/{api}": ("viewer", "refused"),
    "PATCH /subscriptions/{application}/{api}": ("operator", "refused"),
    "DELETE /subscriptions/{application}/{api}": ("operator", "refused"),
    "GET /keys": ("viewer", "filtered"),
    "POST /keys": ("operator", "refused"),
    "GET /keys/{id}": ("viewer", "refused"),
    "POST /keys/{id}/rotate": ("operator", "refused"),
    "DELETE /keys/{id}": ("operator", "refused"),
    "GET /credentials": ("viewer", "filtered"),
    "POST /credentials": ("operator", "refused"),
    "GET /credentials/{id}": ("viewer", "refused"),
    "POST /credentials/{id}/rotate": ("operator", "refused"),
    "DELETE /credentials/{id}": ("operator", "refused"),
    "GET /tokens": ("admin", "refused"),
    "POST /tokens": ("admin", "refused"),
    "GET /tokens/{id}": ("admin", "refused"),
    "DELETE /tokens/{id}": ("admin", "refused"),
    "POST /cache/purge": ("operator", "refused"),
    "GET /signing-keys": ("admin", "refused"),
    "POST /signing-keys/rotate": ("admin", "refused"),
    "POST /signing-keys/{kid}/retire": ("admin", "refused"),
}
OPEN = {"GET /health", "GET /sign-in"}  # which anybody may ask; what is told then: test_admin_access, …_signing_in
NAMES = {
    "applications": "partner",
    "components": "shop",
    "versions": "shop@v1",
    "policies": "team",
    "plans": "gold",
    "topics": "events",
    "policy-kinds": "api-key",
    "nodes": "n1",
    "runtimes": "far",
}
DEFAULTS = {
    "{node}": "n1", "{number}": "1", "{application}": "partner", "{api}": "shop", "{topic}": "events",
    "{listener}": "shop@v1/greet",
}  # fmt: skip
QUERIES = {"GET /diff": "?from=shop@v1&to=shop@v1", "GET /changelog": "?from=shop@v1&to=shop@v1"}
BODIES: dict[str, dict[str, Any]] = {
    "POST /keys": {"application": "partner", "api": "shop"},
    "POST /subscriptions": {"application": "partner", "api": "shop"},
    "POST /applications": {"name": "more"},
    "POST /credentials": {"type": "hmac", "application": "partner", "api": "shop"},
    "POST /tokens": {"name": "ci", "roles": ["viewer"]},
    "POST /versions/{name}/activations": {"revision": "0"},
    "POST /cache/purge": {"version": "shop@v1"},
    "POST /explain": {"method": "GET", "url": "/shop/v1/greet/x"},
    "PUT /versions/{name}/lifecycle": {"status": "published"},
}
TEXTS = {
    "POST /apply": shop(text="bye"),
    "PUT /policies/{name}": policy(team="red"),
    "PUT /plans/{name}": PLAN,
    "PUT /topics/{name}": TOPIC,
}


@cache
def described() -> dict[str, dict[str, Any]]:
    paths = Yaml(typ="safe").load(DOCUMENT)["paths"]
    return {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}


class Filled:
    """A node with something of every kind; `paths` has a path of each route that is there."""

    def __init__(self, node: Bench) -> None:
        self.node = node
        self.ids: dict[str, str] = {}

    async def fill(self) -> None:
        node = self.node
        target = RuntimeTarget(name="far", unix=Path("/nowhere"))
        node.service.processes = Contracts(Registry({}), Remotes([target]))
        assert (await node.apply(shop(), shop("other"), policy(), PLAN, TOPIC)).status_code == 200
        await node.send("POST", "/applications", json={"name": "partner"})
        for what, body in (("keys", "POST /keys"), ("credentials", "POST /credentials"), ("tokens", "POST /tokens")):
            made = await node.send("POST", f"/{what}", json=BODIES[body])
            assert made.status_code == 201, made.text
            self.ids[what] = made.json()["id"]
        self.ids["revisions"] = (await node.send("GET", "/versions/shop@v1")).json()["revision"]

    def path(self, route: str) -> str:
        path = route.partition(" ")[2]
        first = path.split("/")[1]
        for name, value in DEFAULTS.items():
            path = path.replace(name, value)
        path = path.replace("{name}", NAMES.get(first, ""))
        return re.sub(r"\{(id|revision)\}", self.ids.get(first, "0-1"), path) + QUERIES.get(route, "")

    async def send(
        self,
        route: str,
        token: str | None,
        headers: dict[str, str] | None = None,
        *,
        bare: bool = False,
        query: str = "",
    ) -> httpx2.Response:
        method, sent = route.partition(" ")[0], headers or {}
        more: dict[str, Any] = {"json": BODIES[route]} if route in BODIES else {}
        if route in TEXTS:
            sent, more = YAML | sent, {"content": TEXTS[route]}
        return await self.node.send(method, self.path(route) + query, token, sent, bare=bare, **more)


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Filled]:
    async with bench(tmp_path) as node:
        made = Filled(node)
        await made.fill()
        yield made


def test_every_route_has_a_line_here() -> None:
    """CASES M68."""
    assert described().keys() - OPEN == ROUTES.keys()


def test_the_document_tells_the_role_that_a_route_takes() -> None:
    for route, (role, _) in ROUTES.items():
        assert role in described()[route]["description"], route


async def test_no_route_answers_without_a_credential(filled: Filled) -> None:
    """CASES M68: 401, and how to ask."""
    for route in ROUTES:
        answer = await filled.send(route, None)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer"), route


@pytest.mark.parametrize("token", ["pt_wrong", "admin admin", "first", " "])
async def test_no_route_answers_an_unknown_token(filled: Filled, token: str) -> None:
    """CASES M68: no default credential."""
    for route in ROUTES:
        problem(await filled.send(route, token), 401)


async def test_no_route_answers_a_token_that_has_ended(filled: Filled) -> None:
    """CASES M68: expired."""
    clock = filled.node.clock
    assert isinstance(clock, ManualClock)
    token = await filled.node.token("admin", ends=clock.time() + 60)
    assert (await filled.send("GET /versions", token)).status_code == 200
    clock.advance(60)
    for route in ROUTES:
        problem(await filled.send(route, token), 401)


async def test_no_route_answers_a_role_that_does_not_fit(filled: Filled) -> None:
    """CASES M68: wrong role."""
    for route, (role, _) in ROUTES.items():
        for wrong in (each for each in ROLES if role not in {each, "viewer"}):
            told = problem(await filled.send(route, wrong), 403)
            assert role in told["detail"], (route, wrong)


async def test_every_route_answers_the_role_that_fits(filled: Filled) -> None:
    for route, (role, _) in sorted(ROUTES.items(), key=lambda each: each[0].startswith("DELETE")):
        assert (await filled.send(route, role)).status_code not in {401, 403, 405, 428, 500}, route


async def test_no_route_shows_or_changes_what_belongs_to_another_component(filled: Filled) -> None:
    """CASES M68: other tenant."""
    theirs = await filled.node.token(*ROLES, "admin", components=["other"])
    before = await filled.node.store.sequence()
    for route, (_, tenant) in ROUTES.items():
        answer = await filled.send(route, theirs)
        if tenant == "refused":
            assert answer.status_code in {403, 404}, (route, answer.text)
        else:
            assert answer.status_code == 200, (route, answer.text)
            assert tenant == "shared" or '"shop' not in answer.text, (route, answer.text)
            assert tenant == "shared" or '"partner"' not in answer.text, (route, answer.text)
    assert await filled.node.store.sequence() == before
