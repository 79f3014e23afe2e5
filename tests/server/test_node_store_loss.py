"""A node whose store is away: what is cached goes on, what cannot be decided is 503 (CASES A62)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.nodes import Node, rules, until
from tests.server.own_store import TOKEN, Store, goes_on_without_its_store, is_whole_again, serve, shop, statuses, store

__all__ = ["shop", "store"]  # the fixtures


def test_the_configured_admin_token_is_used_and_not_printed(shop: tuple[Node, str]) -> None:
    node, _ = shop
    assert node.token == node.context()["token"] == TOKEN
    assert node.admin("GET", "/versions").status_code == 200
    assert not any("token" in line or TOKEN in line for line in node.said)


def test_a_stopped_store_leaves_what_is_cached_and_comes_back_without_a_restart(
    shop: tuple[Node, str], store: Store
) -> None:
    node, key = shop
    before = node.pids()
    store.stop()
    goes_on_without_its_store(node, key)
    store.start()
    is_whole_again(node, key, "stopped")
    assert sorted(node.pids()) == sorted(before)


def test_a_frozen_store_is_no_different_from_a_stopped_one(shop: tuple[Node, str], store: Store) -> None:
    node, key = shop
    before = node.pids()
    store.freeze()
    try:
        goes_on_without_its_store(node, key)
    finally:
        store.thaw()
    is_whole_again(node, key, "frozen")
    assert sorted(node.pids()) == sorted(before)


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "read-only"],
)
def test_a_store_that_takes_no_writes_still_tells_what_it_has(
    shop: tuple[Node, str], store: Store, fault: tuple[str, ...], cure: tuple[str, ...]
) -> None:
    """Limits cannot count; keys and routes go on; changes and messages are refused, and nothing of them is kept."""
    node, key = shop
    before = node.pids()
    store.tell(*fault)
    try:
        until(lambda: statuses(node, key, "closed") == {503}, "the closed limit refuses")
        refused = node.get("/shop/v1/closed", key)
        assert (refused.headers["content-type"], refused.headers["retry-after"]) == ("application/problem+json", "1")
        assert statuses(node, key, "who") == {200}
        assert statuses(node, key, "open") == {200}
        assert statuses(node, "pk_unknown", "who") == {401}
        assert node.order(key, 3).status_code == 503
        assert node.apply(rules("never")).status_code == 503
        assert node.admin("GET", "/versions").status_code == 200
    finally:
        store.tell(*cure)
    is_whole_again(node, key, f"after-{fault[0].lower()}")
    assert sorted(node.pids()) == sorted(before)


def test_connections_that_the_store_resets_again_and_again_are_made_again(shop: tuple[Node, str], store: Store) -> None:
    node, key = shop
    for _ in range(10):
        store.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert statuses(node, key, "closed", 4) <= {200, 503}
        assert statuses(node, key, "open", 4) == {200}
    is_whole_again(node, key, "reset")


def test_a_restart_without_the_store_serves_the_last_known_good(store: Store, tmp_path: Path) -> None:
    with serve(tmp_path, store) as node:
        node.start()
        node.publish_shop("kept")
        key = node.key("kept")
        assert node.stop() == 0
        store.stop()
        node.launch()
        node.url, node.admin_url = node.line(r"gateway +(\S+)"), node.line(r"admin +(\S+)")
        assert statuses(node, key, "who") == {200}
        assert node.get("/shop/v1/who", key).headers["x-mark"] == "kept"
        assert node.logged("The store is away")
        goes_on_without_its_store(node, key)
        store.start()
        is_whole_again(node, key, "back")


def test_keys_are_not_decided_by_what_is_too_old(store: Store, tmp_path: Path) -> None:
    with serve(tmp_path, store, PENSTOCK_MAX_STALE="3") as node:
        node.start()
        node.publish_shop()
        key = node.key("aging")
        until(lambda: statuses(node, key, "who") == {200}, "the key opens the shop")
        store.stop()
        until(lambda: statuses(node, key, "who") == {503}, "what is known is too old")
        assert node.stop() == 0
        node.launch()
        node.url = node.line(r"gateway +(\S+)")
        assert statuses(node, key, "who") == {503}, "a restart makes it no younger"
        store.start()
        until(lambda: statuses(node, key, "who") == {200}, "it is fresh again")


def test_a_node_without_store_and_without_a_past_refuses_everything_until_the_store_is_there(
    store: Store, tmp_path: Path
) -> None:
    store.stop()
    with serve(tmp_path, store) as node:
        node.launch()
        node.url, node.admin_url = node.line(r"gateway +(\S+)"), node.line(r"admin +(\S+)")
        node.token = TOKEN
        refused = node.get("/shop/v1/who")
        assert refused.status_code == 503
        assert refused.json()["code"] == "nothing_to_serve"
        assert node.health()["ready"] is False
        store.start()
        until(lambda: node.get("/shop/v1/who").status_code in {401, 404}, "it serves what the store has, if anything")
        until(lambda: node.context()["token"] == TOKEN, "the first token is there")
