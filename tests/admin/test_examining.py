"""What doctor asks besides: the store's servers, open endpoints, and which key secret a node has."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admin.examining import key_check
from gateway.core.clock import ManualClock
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.redis_store import RedisStore
from tests.admin.admin_harness import Bench, problem, shop
from tests.servers import prefix, valkey

__all__ = ["prefix", "valkey"]

STEP = "{id: keys, use: api-key}"


async def opened(node: Bench, steps: str, token: str = "viewer") -> list[str]:
    assert (await node.apply(shop().replace(f"- {STEP}", steps))).status_code == 200
    items = (await node.send("GET", "/open-endpoints", token)).json()["items"]
    return [f"{each['version']} {each['endpoint']} by {each['step']}" for each in items]


@pytest.mark.parametrize(
    ("steps", "by"),
    [
        ("- {use: anonymous}", "anonymous"),
        ("- {id: ways, use: any-of, with: {steps: [{use: api-key}, {use: anonymous}]}}", "ways"),
        (f"- {{use: anonymous}}\n  - {STEP[:-1]}, when: {{method: POST}}}}", "anonymous"),
    ],
)
async def test_an_endpoint_that_lets_everybody_in_is_told_with_the_step_that_does(
    node: Bench, steps: str, by: str
) -> None:
    assert f"shop@v1 GET /greet/{{who}} by {by}" in await opened(node, steps)


@pytest.mark.parametrize("steps", [f"- {STEP}", f"- {STEP}\n  - {{use: anonymous, when: {{method: GET}}}}"])
async def test_an_endpoint_that_is_protected_at_all_times_is_not_told(node: Bench, steps: str) -> None:
    assert await opened(node, steps) == []


async def test_a_bound_token_is_told_of_its_own_components_alone(node: Bench) -> None:
    bound = await node.token("viewer", components=["other"])
    assert await opened(node, "- {use: anonymous}", bound) == []


async def test_the_stores_servers_are_told_to_a_token_that_is_not_bound(
    valkey: str, prefix: str, tmp_path: Path
) -> None:
    made = Bench(RedisStore(valkey, prefix), tmp_path, ManualClock(1_800_000_000.0))
    await made.start()
    try:
        (found,) = (await made.send("GET", "/store", "viewer")).json()["items"]
        assert (found["eviction"], found["maxmemory"]) == ("noeviction", 0)
        bound = await made.token("viewer", components=["shop"])
        problem(await made.send("GET", "/store", bound), 403)
    finally:
        await made.close()
        await made.store.close()


async def test_a_store_that_is_away_is_503(node: Bench) -> None:
    """The token cannot be proved then."""
    node.store.away = True
    problem(await node.send("GET", "/store", "viewer"), 503)


def test_what_a_node_tells_of_its_key_secret_tells_two_apart_and_nothing_else() -> None:
    one, two = (KeyHasher(Secret(f"a secret of the cluster, {number}")) for number in (1, 2))
    assert key_check(one) == key_check(KeyHasher(Secret("a secret of the cluster, 1"))) != key_check(two)
    assert len(key_check(one)) == 16
    assert not one.digest(b"node key check 1").hex().startswith(key_check(one))
