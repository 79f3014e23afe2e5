"""One suite for every implementation of the cells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from gateway.core.errors import StoreUnavailable
from gateway.store.cells import LARGEST, Cells
from gateway.store.connect import open_cells
from gateway.store.redis_cells import RedisCells
from tests.servers import forget_scripts


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    return "memory://" if kind == "memory" else str(request.getfixturevalue(kind))


async def opened(url: str, prefix: str) -> Cells:
    cells = open_cells(url, prefix)
    cells.open()
    if isinstance(cells, RedisCells):
        assert cells._opening is not None
        await cells._opening
    return cells


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def cells(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Cells]:
    found = await opened(url_of(request.param, request), prefix)
    yield found
    await found.close()


async def told(call: Any, *arguments: Any, **named: Any) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call(*arguments, found.set_result, **named)
    return await found


async def write(cells: Cells, key: str, ttl: float = 60.0, tags: Any = (), **values: str) -> Any:
    fields = {name.encode(): value.encode() for name, value in values.items()}
    return await told(cells.write, key, fields, ttl, tags=tags)


async def test_what_was_written_is_read(cells: Cells) -> None:
    assert await told(cells.read, "a", [b"x", b"y"]) == [None, None]
    assert await write(cells, "a", x="1")
    assert await write(cells, "a", y="2")
    assert await told(cells.read, "a", [b"x", b"y", b"z"]) == [b"1", b"2", None]
    assert await told(cells.read, "b", [b"x"]) == [None]


async def test_any_bytes_come_back_as_they_were(cells: Cells) -> None:
    value = bytes(range(256)) * 1000
    assert await told(cells.write, "a", {b"\r\n$": value}, 60.0)
    assert await told(cells.read, "a", [b"\r\n$"]) == [value]


async def test_a_value_that_is_too_large_is_refused(cells: Cells) -> None:
    assert await told(cells.write, "a", {b"x": bytes(LARGEST + 1)}, 60.0) is False
    assert await told(cells.settle, "a", b"m", bytes(LARGEST + 1), 60.0) is False


async def test_a_purge_takes_every_key_of_the_tag_and_no_other(cells: Cells) -> None:
    for number in range(1200):
        cells.write(f"k{number}", {b"x": b"1"}, 60.0, lambda _done: None, tags=["red"])
    await write(cells, "blue", tags=["blue"], x="1")
    await write(cells, "both", tags=["blue", "red"], x="1")
    assert await cells.purge("red") == 1201
    assert await told(cells.read, "k7", [b"x"]) == [None]
    assert await told(cells.read, "both", [b"x"]) == [None]
    assert await told(cells.read, "blue", [b"x"]) == [b"1"]
    assert await cells.purge("red") == 0


async def test_what_was_begun_before_a_purge_is_not_written_after_it(cells: Cells) -> None:
    """A response that is on its way while its tag is purged would bring back what was purged."""
    await write(cells, "a", tags=["red"], x="old")
    await cells.purge("red")
    assert await told(cells.write, "a", {b"x": b"old"}, 60.0, tags=["red"], age=5.0) is False
    assert await told(cells.write, "other", {b"x": b"old"}, 60.0, tags=["red"], age=5.0) is False
    assert await told(cells.write, "a", {b"x": b"old"}, 60.0, age=5.0) is False
    assert await told(cells.read, "a", [b"x"]) == [None]


async def test_a_key_has_no_more_than_so_many_fields(cells: Cells) -> None:
    for number in range(20):
        await told(cells.write, "a", {b"m": b"marker", b"%d" % number: b"1"}, 60.0, most=5)
    found = await told(cells.read, "a", [b"m", *(b"%d" % number for number in range(20))])
    assert found[0] == b"marker"
    assert found[-1] == b"1", "the newest is there"
    assert sum(value is not None for value in found) == 5


async def test_of_many_claims_one_holds(cells: Cells) -> None:
    answers = await asyncio.gather(*(told(cells.claim, "a", b"%d" % number, 60.0) for number in range(50)))
    assert sum(answer is True for answer in answers) == 1
    winner = b"%d" % answers.index(True)
    assert {answer for answer in answers if answer is not True} == {winner}


async def test_a_claim_is_settled_and_released_by_its_holder_alone(cells: Cells) -> None:
    await told(cells.claim, "a", b"mine", 60.0)
    assert await told(cells.settle, "a", b"other", b"stolen", 60.0) is False
    cells.release("a", b"other")
    assert await told(cells.settle, "a", b"mine", b"done", 60.0) is True
    assert await told(cells.claim, "a", b"other", 60.0) == b"done"
    cells.release("a", b"done")
    assert await told(cells.claim, "a", b"other", 60.0) is True


async def test_a_release_tells_when_it_is_done_and_whether_it_was_ones_own(cells: Cells) -> None:
    await told(cells.claim, "a", b"mine", 60.0)
    assert await told(cells.release, "a", b"other") is False
    assert await told(cells.release, "a", b"mine") is True
    assert await told(cells.claim, "a", b"other", 60.0) is True


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_two_workers_see_one_store(kind: str, request: pytest.FixtureRequest, prefix: str) -> None:
    one, other = [await opened(url_of(kind, request), prefix) for _ in range(2)]
    await write(one, "a", tags=["red"], x="1")
    assert await told(other.read, "a", [b"x"]) == [b"1"]
    assert await other.purge("red") == 1
    assert await told(one.read, "a", [b"x"]) == [None]
    await one.close()
    await other.close()


async def test_every_key_ends(valkey: str, prefix: str) -> None:
    cells = await opened(valkey, prefix)
    await write(cells, "a", tags=["red"], x="1")
    await told(cells.claim, "c", b"mine", 60.0)
    await cells.purge("blue")
    await told(cells.read, "a", [b"x"])
    with redis.Redis.from_url(valkey) as client:
        names = [bytes(name) for name in client.scan_iter(f"{prefix}:*")]
        assert len(names) == 4
        assert all(client.pttl(name) > 0 for name in names)
        assert not any(word in name for name in names for word in (b"red", b"blue"))
    await cells.close()


async def test_a_server_that_forgot_its_scripts_is_told_them_again(valkey: str, prefix: str) -> None:
    cells = await opened(valkey, prefix)
    await write(cells, "a", x="1")
    forget_scripts(valkey)
    assert await write(cells, "a", x="2") is True
    await cells.close()


async def test_a_store_that_is_away_is_told_as_none(prefix: str) -> None:
    cells = await opened("redis://127.0.0.1:1/0", prefix)
    assert await told(cells.read, "a", [b"x"]) is None
    assert await write(cells, "a", x="1") is None
    assert await write(cells, "a", tags=["red"], x="1") is None
    assert await told(cells.claim, "a", b"mine", 60.0) is None
    assert await told(cells.settle, "a", b"mine", b"x", 60.0) is None
    with pytest.raises(StoreUnavailable):
        await cells.purge("red")
    await cells.close()


async def test_the_twin_plays_a_store_that_is_away() -> None:
    from gateway.store.memory_cells import MemoryCells

    cells = MemoryCells()
    cells.away = True
    assert await told(cells.read, "a", [b"x"]) is None
    assert await told(cells.claim, "a", b"mine", 60.0) is None
