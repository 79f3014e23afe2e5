"""What a consumer may ask about its own key (`/-/key`)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import NotFound
from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, MemoryWire
from gateway.live.key_check import place_key_check
from gateway.live.space import refusing_router
from gateway.store.store import APPLICATIONS, KEYS, SUBSCRIPTIONS
from tests.policy.policy_harness import MAX_STALE, Gateway, json_of

KEY = b"pk_" + b"a" * 43


@pytest.fixture
def gateway() -> Gateway:
    found = Gateway()
    found.add_key(KEY, ends=found.clock.time() + 3600.5)
    return found


async def ask(gateway: Gateway, *keys: bytes, method: str = "GET") -> Answer:
    router = refusing_router("nothing", lambda _exchange: NotFound())
    place_key_check(router, "/-", gateway.directory, gateway.hasher, gateway.clock)
    live = LiveCell(router, id_source("id"), gateway.clock)
    return await MemoryWire.request(live, method, "/-/key", [(b"x-api-key", key) for key in keys])


async def test_a_key_tells_whose_it_is_and_when_it_ends(gateway: Gateway) -> None:
    answer = await ask(gateway, KEY)
    assert answer.status == 200
    told: dict[str, Any] = json_of(answer)
    assert (told["application"], told["api"], told["plan"]) == ("partner", "shop", "gold")
    assert (told["ends"], told["ends_in"], told["starts"]) == ("2023-11-14T23:13:20Z", 3600, None)
    assert KEY not in answer.body
    assert dict(answer.headers)[b"cache-control"] == b"no-store"


async def test_unknown_revoked_and_ended_keys_read_the_same(gateway: Gateway) -> None:
    """CASES C40."""
    answers = [await ask(gateway, b"pk_" + b"b" * 43)]
    for more in ({"revoked": 1.0}, {"ends": 1.0}, {"starts": gateway.clock.time() + 1}):
        gateway.add_key(KEY, **more)
        answers.append(await ask(gateway, KEY))
    told = [
        {name: value for name, value in json_of(each).items() if name not in {"id", "instance"}} for each in answers
    ]
    assert {each.status for each in answers} == {401}
    assert told == [told[0]] * 4


async def test_a_suspended_application_and_one_without_a_subscription_are_told(gateway: Gateway) -> None:
    gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", None)
    assert json_of(await ask(gateway, KEY))["code"] == "forbidden"
    gateway.directory.current.put(APPLICATIONS, "partner", {"status": "suspended"})
    assert json_of(await ask(gateway, KEY))["code"] == "application_suspended"


async def test_no_key_two_keys_and_a_huge_one_are_refused(gateway: Gateway) -> None:
    """CASES C41."""
    assert [(await ask(gateway, *keys)).status for keys in ((), (KEY, KEY), (b"x" * 600,))] == [401, 400, 400]


async def test_what_is_too_old_decides_nothing(gateway: Gateway) -> None:
    gateway.clock.advance(MAX_STALE + 1)
    assert (await ask(gateway, KEY)).status == 503


async def test_only_reading_is_offered(gateway: Gateway) -> None:
    assert (await ask(gateway, KEY, method="POST")).status == 405


async def test_a_record_of_another_release_is_no_obstacle(gateway: Gateway) -> None:
    record = {"digest": gateway.hasher.digest(KEY).hex(), "application": "partner", "api": "shop", "later": 1}
    gateway.directory.current.put(KEYS, "k1", record)
    assert (await ask(gateway, KEY)).status == 200
