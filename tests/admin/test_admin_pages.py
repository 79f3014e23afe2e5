"""Lists by the page, filters, trials, and how often a credential may be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.admin.app import Admin
from gateway.admin.attempts import ADDRESSES, MOST, Attempts
from gateway.core.clock import ManualClock
from gateway.core.errors import TooManyRequests
from gateway.store.store import APPLICATIONS, KEYS, Write
from tests.admin.admin_harness import PLAN, Bench, bench, policy, problem, shop
from tests.admin.test_admin_routes import ROUTES, Filled, described, filled

__all__ = ["filled"]


async def walk(node: Bench, path: str, token: str = "admin") -> list[list[dict[str, Any]]]:
    """All pages, by their links."""
    found, following = [], path
    while following:
        answer = await node.send("GET", following, token)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        following = answer.links.get("next", {}).get("url", "").removeprefix("/admin/v1")
    return found


async def many(node: Bench, count: int) -> None:
    key = {"application": "a", "api": "shop", "plan": None, "starts": None, "ends": None, "revoked": None, "created": 1}
    writes = [Write(KEYS, f"k-{number:06}", {**key, "digest": "00"}) for number in range(count)]
    await node.store.commit([*writes, Write(APPLICATIONS, "a", {"created": 1})])


async def test_every_key_is_on_exactly_one_page(node: Bench) -> None:
    await many(node, 25)
    pages = await walk(node, "/keys?limit=10")
    assert [len(page) for page in pages] == [10, 10, 5]
    assert len({each["id"] for page in pages for each in page}) == 25


async def test_a_page_reads_no_more_than_itself(node: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys there are: nothing scans, and what is read is bounded."""
    await many(node, 3000)
    read = []
    whole = node.store.page

    async def page(table: str, after: str = "", limit: int = 100) -> Any:
        found = await whole(table, after, limit)
        read.append(len(found))
        return found

    monkeypatch.setattr(node.store, "page", page, raising=False)
    monkeypatch.setattr(node.store, "scan", None, raising=False)
    assert len((await node.send("GET", "/keys?limit=100")).json()["items"]) == 100
    assert sum(read) <= 101


async def test_a_filter_that_nothing_passes_ends_within_bounds(node: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin.pages.SEEN", 1000)
    await many(node, 2500)
    pages = await walk(node, "/keys?application=nobody")
    assert pages == [[], [], []]


async def test_keys_that_come_and_go_between_pages_hide_no_other(node: Bench) -> None:
    await many(node, 20)
    first = await node.send("GET", "/keys?limit=10")
    await node.store.commit([Write(KEYS, "k-000009", None), Write(KEYS, "k-000003", None)])
    second = await node.send("GET", first.links["next"]["url"].removeprefix("/admin/v1"))
    assert [each["id"] for each in second.json()["items"]] == [f"k-{number:06}" for number in range(10, 20)]


async def test_every_list_has_pages(filled: Filled) -> None:
    """By the document: what answers with items takes a limit and a cursor, or is bounded by itself."""
    own = {"GET /diff", "GET /changelog", "GET /policies/{name}/diff", "GET /versions/{name}/callers"}
    own |= {"GET /versions/{name}/mirror", "GET /store"}  # by endpoint, by server
    lists = [route for route in ROUTES if route.startswith("GET") and route not in own]
    for route in lists:
        answer = await filled.send(route, "admin")
        if answer.headers["content-type"] == "application/json" and "items" in answer.json():
            names = {each["name"] for each in described()[route]["parameters"]}
            assert "limit" in names, route
            assert names & {"cursor", "after"}, route
            problem(await filled.node.send("GET", filled.path(route) + "?limit=1001"), 400)


@pytest.mark.parametrize("cursor", ["%", "é", "AAA=A", "_w"])
async def test_a_cursor_that_was_not_given_out_is_refused(node: Bench, cursor: str) -> None:
    problem(await node.send("GET", "/keys", params={"cursor": cursor}), 400)


async def test_policies_and_audit_have_pages(node: Bench) -> None:
    for name in ("a", "b", "c"):
        await node.apply(policy(name))
    assert [[each["name"] for each in page] for page in await walk(node, "/policies?limit=2")] == [["a", "b"], ["c"]]
    audit = await walk(node, "/audit?limit=2&action=apply")
    assert [each["subject"] for page in audit for each in page] == ["Policy c", "Policy b", "Policy a"]


async def test_the_audit_is_filtered(node: Bench) -> None:
    assert isinstance(node.clock, ManualClock)
    await node.apply(shop())
    node.clock.advance(86_400 * 400)
    await node.apply(policy(), shop("other"), token="admin")
    await node.send("POST", "/applications", "operator", json={"name": "partner"})

    async def subjects(query: str) -> list[str]:
        return [each["subject"] for page in await walk(node, f"/audit?{query}") for each in page]

    assert await subjects("actor=operator") == ["partner"]
    assert await subjects("subject=other@v1") == ["Policy team, ApiComponent other@v1"]
    assert await subjects("action=application.create") == ["partner"]
    assert len(await subjects("since=2000-01-01")) < len(await subjects("until=2100-01-01")) + 1
    problem(await node.send("GET", "/audit?since=yesterday"), 400)


async def test_every_write_may_be_tried_and_writes_nothing(filled: Filled) -> None:
    node = filled.node
    before = await node.store.sequence()
    tried = [route for route in ROUTES if not route.startswith("GET") and route != "POST /explain"]
    for route in tried:
        assert "dry_run" in {each["name"] for each in described()[route]["parameters"]}, route
        if route == "POST /restore":  # takes a file: test_backup
            continue
        path = filled.path(route)
        answer = await filled.send(route, "admin", query="?dry_run=true")
        assert answer.status_code in {200, 404, 409}, (route, path, answer.text)
        if answer.status_code == 200:
            assert answer.json().keys() >= {"items", "touched", "sequence"}, route
            assert answer.json()["sequence"] is None, route
            assert '"key"' not in answer.text, route
            assert '"token"' not in answer.text, route
    assert await node.store.sequence() == before


async def test_a_trial_refuses_what_the_write_would_refuse(node: Bench) -> None:
    problem(await node.send("POST", "/applications?dry_run=true", json={"name": "No Name"}), 400)
    problem(await node.send("POST", "/keys?dry_run=true", json={"application": "nobody", "api": "shop"}), 400)
    problem(await node.send("POST", "/applications?dry_run=maybe", json={"name": "a"}), 400)
    told = (await node.send("POST", "/applications?dry_run=true", json={"name": "a"})).json()
    assert told["items"] == [{"kind": "Application", "name": "a", "action": "create", "detail": ""}]


async def test_an_address_may_be_wrong_so_often_and_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as node:
        assert isinstance(node.clock, ManualClock)
        node.app = Admin(node.service, node.admin.access, lambda: []).app()
        node.client._transport.app = node.app  # type: ignore[attr-defined]
        for _ in range(MOST):
            problem(await node.send("GET", "/versions", "pt_wrong"), 401)
        told = await node.send("GET", "/versions", "pt_wrong")
        assert problem(told, 429)["code"] == "too_many_attempts"
        problem(await node.send("GET", "/versions", "admin"), 429)
        node.clock.advance(float(told.headers["retry-after"]))
        assert (await node.send("GET", "/versions", "admin")).status_code == 200


def test_wrong_credentials_of_one_address_close_no_other() -> None:
    attempts = Attempts(ManualClock(), most=1)
    attempts.wrong("192.0.2.1")
    attempts.wrong("2001:db8::1")
    for same in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::2"):
        with pytest.raises(TooManyRequests):
            attempts.check(same)
    attempts.check("192.0.2.2")
    attempts.check("2001:db8:0:1::1")


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    attempts = Attempts(ManualClock(), most=1)
    for number in range(ADDRESSES + 5):
        attempts.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    attempts.check("10.0.0.0")
    assert len(attempts._left) == ADDRESSES


async def test_every_answer_is_kept_by_nobody_and_framed_by_none(node: Bench) -> None:
    for answer in (await node.send("GET", "/plans"), await node.send("GET", "/plans", None)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_a_head_answers_as_a_get_does(node: Bench) -> None:
    await node.apply(PLAN)
    get, head = await node.send("GET", "/plans/gold"), await node.send("HEAD", "/plans/gold")
    assert (head.status_code, head.headers["etag"]) == (200, get.headers["etag"])
    options = await node.send("OPTIONS", "/plans/gold", None)
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
