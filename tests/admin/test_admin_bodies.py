"""What a body must not have (CASES M70), and what is durable before a write is answered (CASES M72)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.clock import SystemClock
from gateway.store.embedded import EmbeddedStore
from gateway.store.redis_store import RedisStore
from gateway.store.store import APPLICATIONS, KEYS, TOKENS
from tests.admin.admin_harness import YAML, Bench, bench, policy, problem
from tests.admin.test_admin_routes import BODIES, ROUTES, Filled, filled
from tests.servers import kill_and_restart

__all__ = ["filled"]

OURS = {  # members of records that are the gateway's own to set
    "digest": "00", "created": 0, "revoked": None, "id": "k-0", "actor": "somebody", "secrets": [], "sequence": 1,
    "history": [], "at": 0, "applied": {}, "activations": [],
}  # fmt: skip


async def test_no_route_takes_a_member_that_it_does_not_name(filled: Filled) -> None:
    """CASES M70: every route with a JSON body, every member of a record that is the gateway's own."""
    node, before = filled.node, await filled.node.store.sequence()
    documents = {"POST /apply", "POST /restore", "PUT /policies/{name}", "PUT /plans/{name}", "PUT /topics/{name}"}
    routes = [route for route in ROUTES if route.split()[0] in {"POST", "PUT", "PATCH"} and route not in documents]
    bodyless = {"POST /versions/{name}/canary/promote", "POST /topics/{topic}/dead-letters/{listener}/{id}/redrive"}
    bodyless |= {"POST /signing-keys/rotate", "POST /signing-keys/{kid}/retire"}
    for route in sorted({*routes} - bodyless):
        for member, value in OURS.items():
            body = {**BODIES.get(route, {}), member: value}
            answer = await node.send(route.split()[0], filled.path(route), json=body)
            told = problem(answer, 400)
            assert told["target"] == member, (route, member, told)
    assert await node.store.sequence() == before


@pytest.mark.parametrize("member", ["revision: 9", "actor: somebody", "at: 0", "applied: {}", "revisions: {}"])
async def test_no_document_sets_what_is_the_gateways_own(node: Bench, member: str) -> None:
    """CASES M70."""
    answer = await node.send("PUT", "/policies/team", headers=YAML, content=policy() + member + "\n")
    problem(answer, 422)
    problem(await node.send("GET", "/policies/team"), 404)


async def test_nobody_gives_himself_a_role(node: Bench) -> None:
    """CASES M70: tokens are the admin's to make, and of what roles there are."""
    problem(await node.send("POST", "/tokens", "operator", json={"name": "me", "roles": ["admin"]}), 403)
    problem(await node.send("POST", "/tokens", json={"name": "me", "roles": ["root"]}), 400)
    bound = await node.token("admin", components=["shop"])
    problem(await node.send("POST", "/tokens", bound, json={"name": "me", "roles": ["admin"]}), 403)


async def test_what_was_answered_outlives_a_store_that_is_killed_right_after(
    tmp_path: Path, embedded: EmbeddedStore
) -> None:
    """CASES M72: the change and its audit entry are on disk before the 2xx. The store is killed after each answer."""
    store = RedisStore(embedded.url, "durable", SystemClock())
    async with bench(tmp_path / "node", store, SystemClock()) as node:
        for number in range(3):
            made = await node.send("POST", "/applications", json={"name": f"app-{number}"})
            assert made.status_code == 201, made.text
            await kill_and_restart(embedded)
    entries = await store.audit(1000)
    for number in range(3):
        name = f"app-{number}"
        assert await store.get(APPLICATIONS, name) is not None
        assert [each for each in entries if (each["action"], each["subject"]) == ("application.create", name)]
    await store.close()


async def test_the_audit_of_a_write_holds_no_secret(filled: Filled) -> None:
    """CASES M72: of whatever makes or is given one."""
    given = "chosen-by-somebody-0123456789"
    node = filled.node
    body = {"type": "basic", "application": "partner", "password": given}
    assert (await node.send("POST", "/credentials", json=body)).status_code == 201
    made = [
        (await node.send("POST", "/keys", json=BODIES["POST /keys"])).json()["key"],
        (await node.send("POST", "/tokens", json=BODIES["POST /tokens"])).json()["token"],
        (await node.send("POST", "/credentials", json=BODIES["POST /credentials"])).json()["secret"],
    ]
    audit = str(await node.store.audit(1000))
    assert [secret for secret in [given, *made] if secret in audit] == []
    for table in (KEYS, TOKENS):
        async for _, record in node.store.scan(table):
            assert record.value["digest"] not in audit
