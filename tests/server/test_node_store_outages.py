"""Outages of the store of half a minute each, under clients that ask all the time (CASES A62; PERFORMANCE: store
outage). The quick ones, which wait for events alone, are in test_node_store_loss.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest
import redis

from tests import soak
from tests.server.keepalive import Clients
from tests.server.nodes import Node, until
from tests.server.own_store import Store, is_whole_again, shop, statuses, store

__all__ = ["shop", "store"]  # the fixtures

OUTAGE: Final = 30.0  # seconds
KEYS: Final = 60_000  # that a start loads slowly
pytestmark = pytest.mark.soak


def requests(key: str, *, counted: int) -> dict[bytes, set[int]]:
    """`counted`: the status of a closed limit."""

    def get(path: str, key: str) -> bytes:
        return f"GET /shop/v1/{path} HTTP/1.1\r\nHost: shop\r\nX-API-KEY: {key}\r\n\r\n".encode()

    return {
        get("who", key): {200},
        get("open", key): {200, 429},
        get("closed", key): {counted, 429},
        get("who", "no"): {401},
    }


def stop(store: Store) -> Callable[[], None]:
    store.stop()
    return store.start


def freeze(store: Store) -> Callable[[], None]:
    store.freeze()
    return store.thaw


def fill(store: Store) -> Callable[[], None]:
    store.tell("CONFIG", "SET", "maxmemory", "1")
    return lambda: store.tell("CONFIG", "SET", "maxmemory", "0")


def demote(store: Store) -> Callable[[], None]:
    store.tell("REPLICAOF", "127.0.0.1", "1")
    return lambda: store.tell("REPLICAOF", "NO", "ONE")


def load(store: Store) -> Callable[[], None]:
    """A restart that takes about half a minute to load its data, and refuses everything meanwhile."""
    with redis.Redis.from_url(store.url) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(KEYS):
            pipeline.set(f"ballast-{number}", "x")
        pipeline.execute()
    store.stop()
    store.launch("--key-load-delay", f"{int(OUTAGE / KEYS * 1e6)}")
    with redis.Redis.from_url(store.url) as client:
        until(lambda: _loads(client), "the store says that it is loading")
    return lambda: None


def _loads(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.RedisError:
        return False
    pytest.fail("the store had loaded before anybody could see that")


@pytest.mark.parametrize("outage", [stop, freeze, fill, demote, load])
def test_an_outage_of_30_s_leaves_every_request_answered_by_its_policy(
    shop: tuple[Node, str], store: Store, outage: Callable[[Store], Callable[[], None]], record: soak.Record
) -> None:
    node, key = shop
    pids = sorted(node.pids())
    cure = outage(store)
    until(lambda: statuses(node, key, "closed") <= {503}, "the closed limit refuses")
    began = time.monotonic()
    with Clients(node.url, requests(key, counted=503), 4) as clients:
        while time.monotonic() < began + OUTAGE - 5:
            clients.answered(10)
            time.sleep(0.5)
    cure()
    tally = clients.tally
    record("requests, failed", f"{tally.answered}, {len(tally.failed)}")
    record("slowest reply, p99", f"{max(tally.seconds) * 1000:.0f} ms, {tally.percentile(0.99) * 1000:.1f} ms")
    assert tally.failed == []
    is_whole_again(node, key, outage.__name__)
    assert sorted(node.pids()) == pids
