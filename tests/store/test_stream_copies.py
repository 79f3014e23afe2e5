"""Messages go into a backup with their subscriptions' positions, retries and dead letters, and come back so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.core.errors import InvalidInput
from gateway.store.client import Script
from gateway.store.redis_streams import RedisStreams
from gateway.store.stream_copies import RedisStreamCopies, Row
from gateway.store.stream_copy_scripts import RENAME
from gateway.store.streams import Streams


@asynccontextmanager
async def opened(url: str, prefix: str, entries: int = 500) -> AsyncIterator[tuple[RedisStreams, RedisStreamCopies]]:
    streams, copies = RedisStreams(url, prefix), RedisStreamCopies(url, prefix, entries)
    try:
        yield streams, copies
    finally:
        await streams.close()
        await copies.close()


async def filled(streams: Streams) -> list[str]:
    """`orders`: ids 0 finished, 1 failed, 2 dead, 3 redriven and 4 leased by `bill`; 5 new. `mail` saw none."""
    await streams.create_group("orders", "bill")
    ids = [await streams.append("orders", b"\x00order %d" % n, {"n": str(n)}) for n in range(5)]
    found = await streams.read("orders", "bill", "c1", 5, lease_seconds=0.001)
    await streams.ack("orders", "bill", ids[0])
    await streams.retry("orders", "bill", ids[1], 3600, reason="timeout")
    await streams.dead_letter("orders", "bill", found[2], "poison", "it is bad")
    letter = await streams.dead_letter("orders", "bill", found[3], "poison", "it is bad")
    ids[3] = await streams.redrive("orders", "bill", letter)
    await streams.create_group("orders", "mail", "end")
    ids.append(await streams.append("orders", b"order 5"))
    return ids


async def put(copies: RedisStreamCopies, rows: list[tuple[str, Row]]) -> None:
    for topic in {topic for topic, _ in rows}:
        await copies.begin(topic)
        await copies.put(topic, [row for name, row in rows if name == topic])
        await copies.activate(topic)


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_topic_comes_back_as_it_was(kind: str, request: pytest.FixtureRequest, prefix: str) -> None:
    url = request.getfixturevalue(kind)
    async with opened(url, prefix) as (streams, copies), opened(url, prefix + "-other") as (others, back):
        ids = await filled(streams)
        await put(back, [each async for each in copies.rows()])
        assert await others.browse("orders") == await streams.browse("orders")
        assert (await others.info("orders")).last == (await streams.info("orders")).last
        assert await others.failures("orders", "bill") == await streams.failures("orders", "bill")
        assert await others.dead_letters("orders", "bill") == await streams.dead_letters("orders", "bill")
        for id in ids:
            assert await others.status("orders", id) == await streams.status("orders", id)
        again = await others.read("orders", "bill", "c2", 9)
        assert [(each.id, each.attempt) for each in again] == [(ids[4], 2), (ids[3], 1), (ids[5], 1)]
        assert [each.payload for each in await others.read("orders", "mail", "c2", 9)] == [b"order 5"]
        assert await others.append("orders", b"next") > ids[5]


async def test_what_a_topic_got_since_stays_behind_what_comes_back(valkey: str, prefix: str) -> None:
    async with opened(valkey, prefix) as (streams, copies):
        await filled(streams)
        rows = [each async for each in copies.rows()]
        await streams.append("orders", b"later")
        (first, *_) = await streams.read("orders", "mail", "c", 9)
        await streams.dead_letter("orders", "mail", first, "poison")
        await streams.create_group("orders", "later")
        before = await streams.browse("orders")
        await put(copies, rows)
        assert await streams.browse("orders") == before
        assert [each.payload for each in await streams.dead_letters("orders", "mail")] == [b"order 5"]
        assert [each.payload for each in await streams.read("orders", "mail", "d", 9)] == [b"order 5", b"later"]
        found = {each.payload for each in await streams.read("orders", "later", "d", 9)}
        assert found >= {b"order 5", b"later"}
        assert set((await streams.info("orders")).groups) == {"bill", "mail", "later"}


Between = Callable[[int], Awaitable[object]]


def watched(copies: RedisStreamCopies, between: Between) -> list[int]:
    """Calls `between` with the number of each part that was merged, and keeps what its script answered."""
    run, answers = copies._client.run, list[int]()

    async def watching(script: Script, *told: Any) -> Any:
        answer = await run(script, *told)
        if script is RENAME:
            answers.append(answer)
            await between(len(answers))
        return answer

    copies._client.run = watching  # type: ignore[method-assign]
    return answers


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_what_a_topic_got_since_is_copied_part_by_part_while_it_gets_more(
    kind: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    async with opened(request.getfixturevalue(kind), prefix, entries=3) as (streams, copies):
        await filled(streams)
        rows = [each async for each in copies.rows()]
        for number in range(7):
            await streams.append("orders", b"since %d" % number)
        for each in await streams.read("orders", "mail", "c", 5):
            await streams.dead_letter("orders", "mail", each, "poison")

        async def more(part: int) -> None:
            if part == 2:
                await streams.append("orders", b"meanwhile")

        answers = watched(copies, more)
        await put(copies, rows)
        found = [each.payload for each in await streams.browse("orders")]
        assert found[-9:] == [b"order 5", *(b"since %d" % number for number in range(7)), b"meanwhile"]
        dead = [each.payload for each in await streams.dead_letters("orders", "mail")]
        assert sorted(dead) == [b"order 5", *(b"since %d" % number for number in range(4))]
        assert answers == [0, 0, 0, 0, 1]


async def test_a_large_message_is_a_part_of_its_own(valkey: str, prefix: str) -> None:
    async with opened(valkey, prefix) as (streams, copies):
        await filled(streams)
        rows = [each async for each in copies.rows()]
        for number in range(3):
            await streams.append("orders", b"%d" % number * 1_000_000)
        answers = watched(copies, _nothing)
        await put(copies, rows)
        assert [each.payload[:1] for each in await streams.browse("orders")][-3:] == [b"0", b"1", b"2"]
        assert answers == [0, 0, 1]


async def test_one_that_was_killed_between_two_parts_has_changed_nothing_and_is_repeated(
    valkey: str, prefix: str
) -> None:
    async with opened(valkey, prefix, entries=2) as (streams, copies):
        await filled(streams)
        rows = [each async for each in copies.rows()]
        for number in range(5):
            await streams.append("orders", b"since %d" % number)
        before = await streams.browse("orders")

        async def killed(_part: int) -> None:
            raise ConnectionError

        run = copies._client.run
        watched(copies, killed)
        with pytest.raises(ConnectionError):
            await put(copies, rows)
        assert await streams.browse("orders") == before
        copies._client.run = run  # type: ignore[method-assign]
        await put(copies, rows)
        assert await streams.browse("orders") == before


async def _nothing(_part: int) -> None: ...


async def test_a_store_that_lost_all_and_got_new_messages_has_both(valkey: str, prefix: str) -> None:
    async with opened(valkey, prefix) as (streams, copies), opened(valkey, prefix + "-other") as (others, back):
        await streams.create_group("orders", "bill")
        await streams.append("orders", b"old")
        rows = [each async for each in copies.rows()]
        await others.append("orders", b"new")
        await put(back, rows)
        found = await others.read("orders", "bill", "c", 9)
        assert [each.payload for each in found] == [b"old", b"new"]


async def test_a_topic_that_was_emptied_gives_no_id_twice(valkey: str, prefix: str) -> None:
    async with opened(valkey, prefix) as (streams, copies), opened(valkey, prefix + "-other") as (others, back):
        await streams.create_group("orders", "bill")
        first = await streams.append("orders", b"1", max_length=1)
        await streams.read("orders", "bill", "c1")
        await streams.ack("orders", "bill", first)
        await streams.append("orders", b"2", max_length=1)
        await put(back, [each async for each in copies.rows()])
        with pytest.raises(Exception, match="was trimmed"):
            await others.status("orders", first)


@pytest.mark.parametrize("row", [[], ["entry", "1-0"], ["other", "1", "2"]])
async def test_what_is_no_row_is_refused(valkey: str, prefix: str, row: Row) -> None:
    async with opened(valkey, prefix) as (_, copies):
        await copies.begin("orders")
        with pytest.raises(InvalidInput, match="no row of a message"):
            await copies.put("orders", [row])


async def test_a_message_that_came_while_it_was_read_comes_back_too(valkey: str, prefix: str) -> None:
    """The newest id is noted before the entries are read: entries may be newer than that."""
    async with opened(valkey, prefix) as (streams, copies), opened(valkey, prefix + "-other") as (others, back):
        await filled(streams)
        early = [each async for each in copies.rows()]
        await streams.append("orders", b"one more")
        late = [each async for each in copies.rows()]
        assert len(early) < len(late)
        mixed = [early[0], *late[1:]] if early[0][1][0] == late[0][1][0] else late
        await put(back, mixed)
        assert await others.browse("orders") == await streams.browse("orders")
