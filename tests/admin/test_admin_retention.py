"""Which revisions stay, and that a list of them reads no more than its page."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin import retention
from gateway.store.store import POLICIES, REVISION_INDEX, REVISIONS, Write
from tests.admin.admin_harness import Bench, policy, shop


async def listed(node: Bench, path: str = "/revisions") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        answer = await node.send("GET", path)
        items += answer.json()["items"]
        if "next" not in answer.links:
            return items
        path = answer.links["next"]["url"].removeprefix("/admin/v1")


async def active(node: Bench) -> str:
    return str((await node.send("GET", "/versions/shop@v1")).json()["revision"])


class Reading:
    """A store that notes which pages are read, and how long they are."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.read: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def page(self, table: str, after: str = "", limit: int = 100) -> Any:
        found = await self.store.page(table, after, limit)
        self.read.append((table, len(found)))
        return found


async def test_a_list_of_revisions_is_paged_in_the_store_and_reads_no_bundle(node: Bench) -> None:
    for number in range(5):
        await node.apply(shop(text=f"t{number}"), shop("other", text=f"t{number}"))
        node.clock.advance(1)
    await listed(node)
    node.service.store = reading = Reading(node.service.store)  # type: ignore[assignment]
    found = await listed(node, "/revisions?limit=3")
    assert [each["name"] for each in found] == ["other@v1"] * 5 + ["shop@v1"] * 5
    times = [each["at"] for each in found if each["name"] == "shop@v1"]
    assert times == sorted(times, reverse=True), "the newest first"
    assert {table for table, _ in reading.read} == {REVISION_INDEX}
    assert max(count for _, count in reading.read) <= 4, "a page, and whether there is another"
    assert [each["name"] for each in await listed(node, "/revisions?name=shop@v1&limit=2")] == ["shop@v1"] * 5


async def test_revisions_that_were_stored_before_there_was_an_index_are_listed_once(node: Bench) -> None:
    await node.apply(shop())
    first = await active(node)
    await node.apply(shop(text="two"))
    old = [key async for key, _ in node.service.store.scan(REVISION_INDEX)]
    await node.store.commit([Write(REVISION_INDEX, key, None) for key in old])
    node.service.revisions.indexed = False
    assert {each["revision"] for each in await listed(node)} == {first, await active(node)}
    await node.send("POST", "/versions/shop@v1/rollback", json={})
    await node.apply(shop(text="two"))
    assert len(await listed(node)) == 2, "what is published again is the same revision"


async def test_of_a_version_stay_the_newest_and_what_its_history_names(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEPT", 3)
    await node.apply(shop())
    first = await active(node)
    for number in range(8):
        node.clock.advance(1)
        await node.apply(shop(text=f"t{number}"), no_activate="true")
    found = await listed(node)
    assert len(found) == 4
    assert found[-1]["revision"] == first, "it is active, however old"
    stored = {key async for key, _ in node.store.scan(REVISIONS)}
    assert stored == {each["revision"] for each in found}
    newest = found[0]["revision"]
    await node.send("POST", "/versions/shop@v1/rollback", json={"to": newest})
    for number in range(8, 16):
        node.clock.advance(1)
        await node.apply(shop(text=f"t{number}"), no_activate="true")
    kept = {each["revision"] for each in await listed(node)}
    assert {first, newest} <= kept
    assert (await node.send("POST", "/versions/shop@v1/rollback", json={})).json()["to"] == first


async def test_of_a_policy_stay_the_newest_and_what_something_needs(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEPT_OF_POLICY", 3)
    following = shop().replace("use: api-key}", "use: api-key}\n  - team")
    pinning = shop("other").replace("use: api-key}", "use: api-key}\n  - team@2")
    await node.apply(policy(team="t1"))
    await node.apply(following)  # published with revision 1
    await node.apply(policy(team="t2"))
    await node.apply(pinning)
    for number in range(3, 12):
        assert (await node.apply(policy(team=f"t{number}"))).status_code == 200
    record = await node.store.get(POLICIES, "team")
    assert record is not None
    assert sorted(map(int, record.value["revisions"])) == [1, 2, 9, 10, 11]
    assert record.value["applied"].keys() == record.value["revisions"].keys()
    rolled = await node.send(
        "POST", "/versions/shop@v1/rollback", json={"to": await active(node), "with_policies": True}
    )
    assert rolled.json()["pins"] == {"team": 1}, "every way back stays open"
    assert (await node.apply(policy(team="t12"))).status_code == 200
