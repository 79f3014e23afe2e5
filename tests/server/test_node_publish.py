"""Publishing on a running node: live for every worker, or nothing changed (PERFORMANCE: reload; CASES A65, C42)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.conftest import Shop
from tests.server.nodes import SHOP, TOPIC, Node, client, rules, until

UNBUILDABLE = """
kind: ApiComponent
name: broken
version: v1
base_path: /broken
operations: {ask: {python: nowhere}}
policies: [{use: anonymous}]
rest: {GET /ask: ask}
"""


RELAYING = """
kind: ApiComponent
name: relaying
title: "{}"
version: v1
base_path: /relaying
backends: {{up: {{http: {{targets: ["http://127.0.0.1:9"]}}}}}}
policies: [{{use: anonymous}}]
rest: {{"ANY /up/**": {{relay: up}}}}
"""


@pytest.fixture(autouse=True)
def as_it_was(shop: Shop) -> Iterator[None]:
    shop.node.publish_shop("one")
    yield
    shop.node.publish_shop("one")


def marks(shop: Shop, count: int = 8) -> set[str]:
    """What replies of both workers are marked with."""
    return {shop.node.get("/shop/v1/who", shop.key).headers["x-mark"] for _ in range(count)}


def newest_audit(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = node.admin("GET", "/audit?limit=1").json()["items"][0]
    return found


class Load:
    """Clients that ask all the time, each on a connection of its own, until the context ends; `answers` has what they
    got, and errors."""

    def __init__(self, shop: Shop, clients: int = 2) -> None:
        self.shop = shop
        self.answers: list[int | str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        with client(headers={"X-API-KEY": self.shop.key}) as asking:
            while not self._stop.is_set():
                try:
                    self.answers.append(asking.get(f"{self.shop.node.url}/shop/v1/who").status_code)
                except httpx2.TransportError as error:
                    self.answers.append(repr(error))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.answered(20)
        return self

    def answered(self, more: int) -> None:
        wanted = len(self.answers) + more
        until(lambda: len(self.answers) >= wanted, "clients were answered")

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_policy_changes_under_load_without_a_failed_request(shop: Shop) -> None:
    with Load(shop) as load:
        for number in range(6):
            assert shop.node.apply(rules(f"n{number}")).status_code == 200
            assert marks(shop) == {f"n{number}"}
            load.answered(20)
    assert set(load.answers) == {200}


def test_a_version_changes_under_load_without_a_failed_request(shop: Shop) -> None:
    with Load(shop) as load:
        for number in range(4):
            changed = SHOP.replace("name: shop\n", f"name: shop\ntitle: Shop {number}\n")
            assert shop.node.apply(changed).status_code == 200
            load.answered(20)
    assert set(load.answers) == {200}


def test_what_a_worker_cannot_build_is_refused_and_leaves_only_an_audit_entry(shop: Shop) -> None:
    node = shop.node
    before = node.health()
    refused = node.apply(UNBUILDABLE, rules("half"))
    assert refused.status_code == 409, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert "no runtime hosts a process named nowhere" in refused.json()["detail"]
    assert "Nothing was changed." in refused.json()["detail"]
    assert [each["name"] for each in node.admin("GET", "/versions").json()["items"]] == ["shop@v1"]
    assert node.admin("GET", "/revisions?name=broken@v1").json()["items"] == []
    after = node.health()
    assert (after["snapshot"], after["error"], after["prepared"]) == (before["snapshot"], "", {})
    assert node.get("/broken/ask").status_code == 404
    assert marks(shop) == {"one"}
    entry = newest_audit(node)
    assert (entry["action"], entry["outcome"]) == ("apply", "refused")
    assert "nowhere" in entry["error"]


def test_of_two_publishers_at_once_one_wins_and_the_other_hears_why(shop: Shop) -> None:
    node = shop.node
    start = threading.Barrier(2)

    def publish(mark: str) -> httpx2.Response:
        start.wait()
        return node.apply(rules(mark))

    for number in range(3):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(publish, [f"left{number}", f"right{number}"]))
        statuses = sorted(each.status_code for each in answers)
        assert statuses in ([200, 200], [200, 412])
        policy = node.admin("GET", "/policies/house-rules").json()
        texts = [each.text for each in answers if each.status_code == 412]
        assert all("house-rules" in text for text in texts)
        kept = [steps[0]["with"]["response"]["set"]["X-Mark"] for steps in policy["revisions"].values()]
        winners = [
            mark
            for mark, each in zip([f"left{number}", f"right{number}"], answers, strict=True)
            if each.status_code == 200
        ]
        assert set(winners) <= set(kept), "what was answered with 200 is a revision of its own"


def test_a_rollback_brings_the_old_revision_back_on_every_worker(shop: Shop) -> None:
    node = shop.node
    before = node.admin("GET", "/versions/shop@v1").json()["revision"]
    assert node.apply(SHOP.replace("GET /open:", "GET /opened:")).status_code == 409, "it breaks consumers"
    assert node.apply(SHOP.replace("GET /open:", "GET /opened:"), force="true").status_code == 200
    assert {node.get("/shop/v1/opened", shop.key).status_code for _ in range(8)} == {200}
    back = node.admin("POST", "/versions/shop@v1/rollback", json={})
    assert back.status_code == 200, back.text
    assert back.json()["to"] == before
    assert {node.get("/shop/v1/opened", shop.key).status_code for _ in range(8)} == {404}
    assert newest_audit(node)["action"] == "rollback"


def test_a_revoked_key_is_refused_by_every_worker_within_a_second(shop: Shop) -> None:
    node = shop.node
    key = node.key("short-lived")
    until(lambda: {node.get("/shop/v1/who", key).status_code for _ in range(8)} == {200}, "every worker knows the key")
    (id,) = [each["id"] for each in node.admin("GET", "/keys?application=short-lived").json()["items"]]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(until_refused, node, key)
        assert node.admin("DELETE", f"/keys/{id}").status_code == 200
        assert asked.result() >= 1
    assert {node.get("/shop/v1/who", key).status_code for _ in range(12)} == {401}


def until_refused(node: Node, key: str) -> int:
    asked = 1
    while node.get("/shop/v1/who", key).status_code == 200:
        asked += 1
    return asked


def test_publishing_again_and_again_leaks_no_descriptor(shop: Shop) -> None:
    """A version without listeners: those of a replaced version read on for a second, each on a connection."""
    node = shop.node
    watched = [*node.workers_pids(), node.control_pid()]
    assert node.apply(RELAYING.format("Relaying")).status_code == 200
    before = [descriptors(pid) for pid in watched]
    for number in range(8):
        assert node.apply(RELAYING.format(number)).status_code == 200
    until(
        lambda: all(descriptors(pid) <= count + 4 for pid, count in zip(watched, before, strict=True)),
        "what the old versions held is closed",
    )
    assert len(list((node.data / "snapshot").glob("*.json"))) <= 7
    assert node.admin("DELETE", "/versions/relaying@v1").status_code in {200, 204}


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_proposal_of_a_publisher_that_died_is_swept(shop: Shop) -> None:
    """Its node has another run now; nobody would ever withdraw it. Those of other nodes: see test_control.py."""
    import asyncio

    from gateway.store.connect import open_store
    from gateway.store.store import PROPOSALS, Write

    (name,) = [each["name"] for each in shop.node.admin("GET", "/nodes").json()["items"]]

    async def propose() -> None:
        store = open_store(shop.node.store_url)
        body = {"writes": [], "at": 0.0, "node": name, "run": "gone"}
        await store.commit([Write(PROPOSALS, "left-behind", body, 0)])
        await store.close()

    async def left() -> list[str]:
        store = open_store(shop.node.store_url)
        found = [key async for key, _ in store.scan(PROPOSALS)]
        await store.close()
        return found

    asyncio.run(propose())
    until(lambda: asyncio.run(left()) == [], "the proposal is gone")
    assert shop.node.apply(TOPIC, rules("swept")).status_code == 200
