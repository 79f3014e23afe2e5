"""Credentials other than API keys on the admin REST."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.admin.admin_harness import PLAN, Bench, problem, shop


@pytest.fixture
async def partner(node: Bench) -> Bench:
    assert (await node.apply(shop(), PLAN)).status_code == 200
    assert (await node.send("POST", "/applications", json={"name": "partner"})).status_code == 201
    return node


async def make(node: Bench, type: str, **more: Any) -> dict[str, Any]:
    answer = await node.send("POST", "/credentials", json={"type": type, "application": "partner", **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_credential_is_made_shown_rotated_and_revoked(partner: Bench) -> None:
    made = await make(partner, "basic", name="web", api="shop", plan="gold")
    path = f"/credentials/{made['id']}"
    shown = (await partner.send("GET", path)).json()
    assert (shown["name"], shown["api"], shown["plan"], shown["overlap"]) == ("web", "shop", None, None)
    rotated = await partner.send("POST", f"{path}/rotate", json={"overlap": 60})
    assert rotated.status_code == 201
    assert rotated.json()["secret"] != made["secret"]
    assert (await partner.send("GET", path)).json()["overlap"] == partner.clock.time() + 60
    assert (await partner.send("DELETE", path)).json() == {"revoked": made["id"]}
    assert (await partner.send("GET", path)).json()["revoked"] == partner.clock.time()
    problem(await partner.send("POST", f"{path}/rotate", json={}), 409)


async def test_a_credential_holds_on_the_node_once_it_is_answered(partner: Bench) -> None:
    made = await make(partner, "oauth-client", scopes=["orders:read"])
    assert partner.control.directory.credential("oauth-client", made["name"]) is not None


async def test_credentials_are_listed_by_application_api_and_type(partner: Bench) -> None:
    await make(partner, "basic", api="shop")
    await make(partner, "hmac")
    for query, types in (
        ("", ["basic", "hmac"]),
        ("?api=shop", ["basic", "hmac"]),
        ("?api=other", ["hmac"]),
        ("?type=hmac", ["hmac"]),
        ("?application=nobody", []),
    ):
        items = (await partner.send("GET", f"/credentials{query}")).json()["items"]
        assert sorted(each["type"] for each in items) == types, query


@pytest.mark.parametrize(
    ("body", "status", "target"),
    [
        ({"type": "basic"}, 400, "application"),
        ({"type": "magic", "application": "partner"}, 400, "type"),
        ({"type": "basic", "application": "nobody"}, 404, None),
        ({"type": "basic", "application": "partner", "api": "nothing"}, 400, "api"),
        ({"type": "basic", "application": "partner", "plan": "nothing"}, 400, "plan"),
        ({"type": "basic", "application": "partner", "scopes": [1]}, 400, None),
        ({"type": "basic", "application": "partner", "id": "c-1"}, 400, "id"),
        ({"type": "basic", "application": "partner", "ends": "soon"}, 400, "ends"),
        ({"type": "certificate", "application": "partner", "fingerprint": "x"}, 400, "fingerprint"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(
    partner: Bench, body: dict[str, Any], status: int, target: str | None
) -> None:
    told = problem(await partner.send("POST", "/credentials", json=body), status)
    assert target in (None, told.get("target"))


async def test_a_name_that_is_taken_is_a_conflict(partner: Bench) -> None:
    await make(partner, "basic", name="web")
    told = problem(
        await partner.send("POST", "/credentials", json={"type": "basic", "application": "partner", "name": "web"}), 409
    )
    assert "already" in told["detail"]


async def test_an_unknown_credential_is_not_found(partner: Bench) -> None:
    for method, path in (
        ("GET", "/credentials/c-1"),
        ("POST", "/credentials/c-1/rotate"),
        ("DELETE", "/credentials/c-1"),
    ):
        problem(await partner.send(method, path), 404)


async def test_a_plan_stays_while_a_credential_is_on_it(partner: Bench) -> None:
    made = await make(partner, "basic", plan="gold")
    told = problem(await partner.send("DELETE", "/plans/gold"), 409)
    assert made["id"] in told["detail"]
    await partner.send("DELETE", f"/credentials/{made['id']}")
    assert (await partner.send("DELETE", "/plans/gold")).status_code == 200


async def test_a_refused_secret_is_never_quoted(partner: Bench) -> None:
    """CASES C41."""
    for body in ({"password": "planted-1"}, {"secret": "planted-2-of-another-type-that-is-long-enough"}):
        answer = await partner.send("POST", "/credentials", json={"type": "basic", "application": "partner", **body})
        assert "planted" not in problem(answer, 400)["detail"]


async def test_two_that_are_made_at_once_with_one_name_leave_one(partner: Bench) -> None:
    body = {"type": "hmac", "application": "partner", "name": "signer", "api": "shop"}
    answers = await asyncio.gather(*(partner.send("POST", "/credentials", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
