"""`penstock doctor`: how the store's servers are set, and which endpoints are open."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.open_endpoints import examine_open
from gateway.cli.store_servers import examine_servers


def server(**changes: Any) -> dict[str, Any]:
    return {
        "server": "valkey",
        "version": "9.0.1",
        "used": 50,
        "maxmemory": 100,
        "eviction": "noeviction",
        "appendonly": True,
        "appendfsync": "everysec",
        "save": "",
        "failed": "",
        "ping_seconds": 0.0002,
    } | changes


def test_a_server_that_is_set_well_is_told_in_a_line() -> None:
    (found,) = examine_servers([server()])
    assert (found.what, found.state) == ("store", "ok")
    assert found.seen == "valkey 9.0.1, noeviction, append-only file, answers in 0.2 ms"


@pytest.mark.parametrize(
    ("changes", "state", "seen"),
    [
        ({"version": "7.2.4"}, "bad", "too old"),
        ({"server": "redis", "version": "6.2.14"}, "bad", "too old"),
        ({"server": "dragonfly", "version": "1"}, "warn", "unknown server"),
        ({"eviction": "allkeys-lru"}, "bad", "policies, keys and revisions"),
        ({"eviction": "volatile-ttl"}, "bad", "counts, heartbeats and usage"),
        ({"eviction": "allkeys-lru", "maxmemory": 0}, "warn", "if it had a maxmemory"),
        ({"used": 85}, "warn", "are used"),
        ({"appendonly": False}, "bad", "nothing on disk"),
        ({"appendonly": False, "save": "3600 1"}, "warn", "snapshots alone"),
        ({"appendonly": False, "save": None}, "warn", "does not tell"),
        ({"appendfsync": "no"}, "warn", "leaves to the system"),
        ({"failed": "append-only file"}, "bad", "append-only file could not be written"),
        ({"ping_seconds": 0.02}, "warn", "20.0 ms"),
    ],
)
def test_what_is_set_wrong_is_told_with_the_way_out(changes: dict[str, Any], state: str, seen: str) -> None:
    (found,) = examine_servers([server(**changes)])
    assert (found.state, seen in found.seen) == (state, True), found
    assert found.out


@pytest.mark.parametrize("found", [{"server": "redis", "version": "7.0.15"}, {"maxmemory": 0}, {"appendfsync": None}])
def test_what_is_enough_is_not_told(found: dict[str, Any]) -> None:
    assert [each.state for each in examine_servers([server(**found)])] == ["ok"]


def test_each_primary_of_a_cluster_is_looked_at() -> None:
    found = list(examine_servers([server(), server(appendonly=False)]))
    assert [(each.what, each.state) for each in found] == [
        ("store, server 1 of 2", "ok"),
        ("store, server 2 of 2", "bad"),
    ]


def test_a_store_in_memory_is_told_and_one_that_was_not_asked_is_not() -> None:
    assert [each.state for each in examine_servers([])] == ["warn"]
    assert list(examine_servers(None)) == []


def test_open_endpoints_are_told_by_version_and_are_nothing_bad() -> None:
    opened = [{"version": "shop@v1", "endpoint": f"GET /{name}", "step": "anonymous"} for name in "abcde"]
    (found,) = examine_open(opened)
    assert (found.what, found.state) == ("version shop@v1", "told")
    assert found.seen == "open to everybody: GET /a, GET /b, GET /c and 2 more"
