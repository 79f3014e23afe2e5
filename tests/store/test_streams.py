"""One suite for every implementation of event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import Conflict, Gone, InvalidInput, NotFound, StoreUnavailable
from gateway.store.connect import open_streams
from gateway.store.embedded import EmbeddedStore
from gateway.store.redis_streams import RedisStreams
from gateway.store.streams import GroupInfo, Message, StreamFull, Streams
from tests.servers import kill_and_restart


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def streams(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Streams]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue(request.param)
    found = open_streams(url, prefix)
    yield found
    await found.close()


async def fill(streams: Streams, count: int) -> list[str]:
    return [await streams.append("t", b"%d" % number) for number in range(count)]


async def again(streams: Streams, attempt: int, group: str = "g") -> Message:
    """The redelivery of a message whose delay is a moment."""
    async with asyncio.timeout(10):
        (message,) = await streams.read("t", group, "c2", block_seconds=10)
    assert message.attempt == attempt
    return message


async def test_a_message_arrives_as_it_was_appended(streams: Streams) -> None:
    """CASES Q85: NUL and large bodies."""
    await streams.create_group("t", "g")
    payload = b"\0\xff" * 500_000
    id = await streams.append("t", payload, {"type": "é", "n": "1"})
    assert await streams.read("t", "g", "c") == [Message(id, payload, {"type": "é", "n": "1"}, 1, id)]


async def test_each_group_gets_every_message_and_each_consumer_its_share(streams: Streams) -> None:
    for group in ("g", "h"):
        await streams.create_group("t", group)
    ids = await fill(streams, 4)
    one = await streams.read("t", "g", "c1", 2)
    two = await streams.read("t", "g", "c2", 10)
    assert [message.id for message in one + two] == ids
    assert [message.id for message in await streams.read("t", "h", "c1", 10)] == ids


async def test_a_group_starts_at_the_beginning_or_at_the_end(streams: Streams) -> None:
    old = await streams.append("t", b"old")
    assert await streams.create_group("t", "all", "beginning")
    assert await streams.create_group("t", "new", "end")
    assert not await streams.create_group("t", "new", "beginning")
    new = await streams.append("t", b"new")
    assert [message.id for message in await streams.read("t", "all", "c", 10)] == [old, new]
    assert [message.id for message in await streams.read("t", "new", "c", 10)] == [new]
    assert await streams.status("t", old) == {"all": "pending"}


async def test_reading_without_a_subscription_is_refused(streams: Streams) -> None:
    with pytest.raises(NotFound, match="no subscription g"):
        await streams.read("t", "g", "c")


async def test_a_waiting_reader_gets_the_next_message(streams: Streams) -> None:
    await streams.create_group("t", "g")
    reading = asyncio.create_task(streams.read("t", "g", "c", block_seconds=30))
    await asyncio.sleep(0)
    await streams.append("t", b"x")
    async with asyncio.timeout(10):
        assert [message.payload for message in await reading] == [b"x"]


async def test_reading_an_empty_topic_ends_after_its_seconds(streams: Streams) -> None:
    await streams.create_group("t", "g")
    async with asyncio.timeout(10):
        assert await streams.read("t", "g", "c", block_seconds=0.02) == []


async def test_an_acknowledged_message_is_delivered(streams: Streams) -> None:
    await streams.create_group("t", "g")
    id = await streams.append("t", b"x")
    assert await streams.status("t", id) == {"g": "pending"}
    (message,) = await streams.read("t", "g", "c")
    assert await streams.status("t", id) == {"g": "pending"}
    await streams.ack("t", "g", id, message.attempt)
    assert await streams.status("t", id) == {"g": "delivered"}
    await streams.ack("t", "g", id)


async def test_a_message_of_a_dead_consumer_goes_to_another(streams: Streams) -> None:
    """CASES Q75."""
    await streams.create_group("t", "g")
    (id,) = await fill(streams, 1)
    await streams.read("t", "g", "dead", lease_seconds=0.001)
    assert (await again(streams, 2)).id == id


async def test_a_late_acknowledgement_with_an_old_receipt_is_a_conflict(streams: Streams) -> None:
    """CASES Q81."""
    await streams.create_group("t", "g")
    await fill(streams, 1)
    (first,) = await streams.read("t", "g", "slow", lease_seconds=0.001)
    second = await again(streams, 2)
    for late in (
        streams.ack("t", "g", first.id, first.attempt),
        streams.extend("t", "g", first.id, first.attempt),
        streams.retry("t", "g", first.id, 1, attempt=first.attempt),
        streams.dead_letter("t", "g", first, "late"),
    ):
        with pytest.raises(Conflict, match="receipt"):
            await late
    await streams.ack("t", "g", second.id, 2)
    with pytest.raises(Conflict, match="finished"):
        await streams.ack("t", "g", second.id, 2)


async def test_an_extended_lease_keeps_the_message(streams: Streams) -> None:
    await streams.create_group("t", "g")
    await fill(streams, 1)
    (message,) = await streams.read("t", "g", "c", lease_seconds=30)
    await streams.extend("t", "g", message.id, 1, 0.0)
    await again(streams, 2)
    await streams.extend("t", "g", message.id, 2, 60)
    assert await streams.read("t", "g", "c") == []


async def test_a_retry_comes_again_after_its_delay_with_its_reason_kept(streams: Streams) -> None:
    await streams.create_group("t", "g")
    (id,) = await fill(streams, 1)
    await streams.read("t", "g", "c")
    await streams.retry("t", "g", id, 600, reason="no answer", attempt=1)
    assert await streams.read("t", "g", "c") == []
    (failure,) = await streams.failures("t", "g")
    assert (failure.id, failure.attempts, failure.reason) == (id, 1, "no answer")
    assert await streams.status("t", id) == {"g": "retrying"}
    assert (await streams.info("t")).groups["g"] == GroupInfo(0, 0, 1, 0)
    await streams.retry("t", "g", id, 0)
    await again(streams, 2)
    assert await streams.status("t", id) == {"g": "retrying"}
    assert await streams.failures("t", "g") == []


async def test_released_messages_go_to_others_at_once(streams: Streams) -> None:
    await streams.create_group("t", "g")
    ids = await fill(streams, 3)
    await streams.read("t", "g", "leaving", 3)
    await streams.retry("t", "g", ids[0], 600)
    assert await streams.release("t", "g", "leaving") == 2
    assert [message.id for message in await streams.read("t", "g", "c", 10)] == ids[1:]


async def test_a_poison_message_becomes_a_dead_letter_with_reason_and_count(streams: Streams) -> None:
    """CASES Q80."""
    await streams.create_group("t", "g")
    id = await streams.append("t", b"poison", {"a": "b"})
    (message,) = await streams.read("t", "g", "c")
    for attempt in range(1, 5):
        await streams.retry("t", "g", id, 0, attempt=attempt)
        message = await again(streams, attempt + 1)
    dead = await streams.dead_letter("t", "g", message, "gave_up", "it always fails")
    (letter,) = await streams.dead_letters("t", "g")
    assert (letter.id, letter.origin, letter.payload, letter.properties) == (dead, id, b"poison", {"a": "b"})
    assert (letter.attempts, letter.reason, letter.error) == (5, "gave_up", "it always fails")
    assert await streams.status("t", id) == {"g": "dead"}
    assert await streams.read("t", "g", "c") == []
    assert (await streams.info("t")).groups["g"] == GroupInfo(0, 0, 0, 1)


async def bury(streams: Streams, group: str = "g") -> str:
    (message,) = await streams.read("t", group, "c")
    return await streams.dead_letter("t", group, message, "gave_up")


async def test_a_redriven_message_goes_to_its_own_group_only(streams: Streams) -> None:
    for group in ("g", "h"):
        await streams.create_group("t", group)
    (id,) = await fill(streams, 1)
    dead = await bury(streams)
    new = await streams.redrive("t", "g", dead)
    assert await streams.dead_letters("t", "g") == []
    assert await streams.status("t", id) == {"g": "pending", "h": "pending"}
    assert await streams.read("t", "g", "c") == [Message(new, b"0", {}, 1, id)]
    assert [message.id for message in await streams.read("t", "h", "c", 10)] == [id]
    await streams.ack("t", "g", new, 1)
    assert await streams.status("t", id) == {"g": "delivered", "h": "pending"}
    assert await streams.status("t", new) == {"g": "delivered"}
    with pytest.raises(NotFound, match="no dead letter"):
        await streams.redrive("t", "g", dead)


async def test_a_redriven_message_can_die_again(streams: Streams) -> None:
    await streams.create_group("t", "g")
    (id,) = await fill(streams, 1)
    await streams.redrive("t", "g", await bury(streams))
    await bury(streams)
    (letter,) = await streams.dead_letters("t", "g")
    assert letter.origin == id
    assert await streams.status("t", id) == {"g": "dead"}


async def test_dead_letters_are_paged_and_discarded(streams: Streams) -> None:
    await streams.create_group("t", "g")
    await fill(streams, 3)
    dead = [await bury(streams) for _ in range(3)]
    assert [letter.id for letter in await streams.dead_letters("t", "g", 2)] == dead[:2]
    assert [letter.id for letter in await streams.dead_letters("t", "g", 2, after=dead[1])] == dead[2:]
    assert await streams.discard("t", "g", dead[0])
    assert not await streams.discard("t", "g", dead[0])


async def test_trimming_drops_only_what_every_group_has_finished(streams: Streams) -> None:
    """CASES Q78."""
    await streams.create_group("t", "g")
    ids = [await streams.append("t", b"%d" % n, max_length=3) for n in range(3)]
    with pytest.raises(StreamFull, match="not finished"):
        await streams.append("t", b"3", max_length=3)
    await streams.read("t", "g", "c", 3)
    with pytest.raises(StreamFull):
        await streams.append("t", b"3", max_length=3)
    await streams.ack("t", "g", ids[0])
    new = await streams.append("t", b"3", max_length=3)
    assert [message.id for message in await streams.browse("t")] == [*ids[1:], new]
    with pytest.raises(Gone):
        await streams.status("t", ids[0])


async def test_a_topic_without_groups_keeps_its_newest_messages(streams: Streams) -> None:
    ids = [await streams.append("t", b"x", max_length=5) for _ in range(250)]
    assert [message.id for message in await streams.browse("t")] == ids[-5:]
    new = await streams.append("t", b"x", max_length=2)
    assert [message.id for message in await streams.browse("t")] == [ids[-1], new]


async def test_a_named_message_is_appended_once(streams: Streams) -> None:
    """CASES Q79."""
    first = await streams.append("t", b"x", {"a": "b"}, dedupe="order-1")
    same = await asyncio.gather(*(streams.append("t", b"x", {"a": "b"}, dedupe="order-1") for _ in range(10)))
    assert set(same) == {first}
    assert (await streams.info("t")).length == 1
    with pytest.raises(Conflict, match="order-1"):
        await streams.append("t", b"y", {"a": "b"}, dedupe="order-1")


async def test_browsing_resumes_behind_an_id_and_says_when_it_cannot(streams: Streams) -> None:
    """CASES Q84."""
    ids = [await streams.append("t", b"x", max_length=3) for _ in range(5)]
    assert [message.id for message in await streams.browse("t", ids[2], 1)] == [ids[3]]
    assert [message.id for message in await streams.browse("t", ids[1])] == ids[2:]
    with pytest.raises(Gone):
        await streams.browse("t", ids[0])


async def test_browsing_waits_for_the_next_message(streams: Streams) -> None:
    id = await streams.append("t", b"x")
    browsing = asyncio.create_task(streams.browse("t", id, block_seconds=30))
    await asyncio.sleep(0)
    new = await streams.append("t", b"y")
    async with asyncio.timeout(10):
        assert [message.id for message in await browsing] == [new]


async def test_info_counts_what_each_group_has_before_it(streams: Streams) -> None:
    await streams.create_group("t", "g")
    ids = await fill(streams, 4)
    await streams.read("t", "g", "c", 1)
    info = await streams.info("t")
    assert (info.length, info.first, info.last) == (4, ids[0], ids[-1])
    assert info.groups == {"g": GroupInfo(3, 1, 0, 0)}


async def test_a_deleted_topic_leaves_nothing(streams: Streams) -> None:
    await streams.create_group("t", "g")
    id = await streams.append("t", b"x", dedupe="d")
    await bury(streams)
    await streams.delete("t")
    info = await streams.info("t")
    assert (info.length, dict(info.groups)) == (0, {})
    with pytest.raises(NotFound):
        await streams.status("t", id)
    await streams.append("t", b"y", dedupe="d")
    assert (await streams.info("t")).length == 1


async def test_a_dropped_group_holds_nothing_back(streams: Streams) -> None:
    await streams.create_group("t", "g")
    await streams.append("t", b"x", max_length=1)
    await streams.drop_group("t", "g")
    await streams.append("t", b"y", max_length=1)
    assert [message.payload for message in await streams.browse("t")] == [b"y"]


@pytest.mark.parametrize("id", ["", "x", "1", "1-2-3", "-", "9" * 40 + "-0"])
async def test_a_malformed_id_is_no_message(streams: Streams, id: str) -> None:
    with pytest.raises(NotFound):
        await streams.status("t", id)


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "x" * 256])
async def test_a_name_that_cannot_be_a_key_is_refused(streams: Streams, name: str) -> None:
    with pytest.raises(InvalidInput):
        await streams.append(name, b"x")


async def test_an_id_that_was_never_given_out_is_not_found(streams: Streams) -> None:
    await streams.append("t", b"x")
    with pytest.raises(NotFound):
        await streams.status("t", "9999999999999-0")


async def test_nothing_acknowledged_is_lost_over_a_killed_store(embedded: EmbeddedStore) -> None:
    """CASES Q76: appended is kept, leased comes again, buried stays buried, acknowledged does not come again."""
    streams = RedisStreams(embedded.url)
    await streams.create_group("t", "g")
    ids = await fill(streams, 50)
    messages = await streams.read("t", "g", "c", 10, lease_seconds=0.001)
    await streams.ack("t", "g", ids[0])
    await streams.dead_letter("t", "g", messages[1], "gave_up")
    await kill_and_restart(embedded)
    back = await streams.read("t", "g", "c", 100)
    assert [message.id for message in back] == ids[2:]
    assert [message.attempt for message in back] == [2] * 8 + [1] * 40
    assert [letter.origin for letter in await streams.dead_letters("t", "g")] == [ids[1]]
    await streams.close()


async def test_a_store_that_may_forget_messages_is_told(valkey: str, cluster: str) -> None:
    """CASES Q76: the tests' servers have no append-only file."""
    for url in (valkey, cluster, "memory://"):
        streams = open_streams(url)
        (hazard,) = await streams.hazards()
        assert "append-only" in hazard or "memory" in hazard
        await streams.close()


async def test_the_embedded_store_keeps_messages(embedded: EmbeddedStore) -> None:
    streams = RedisStreams(embedded.url)
    assert await streams.hazards() == []
    await streams.close()


async def test_a_full_store_refuses_messages_and_lets_consumers_go_on(embedded: EmbeddedStore) -> None:
    """CASES Q77."""
    streams = RedisStreams(embedded.url)
    await streams.create_group("t", "g")
    ids = await fill(streams, 3)
    await streams._client.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="answered OutOfMemory"):
        await streams.append("t", b"x")
    messages = await streams.read("t", "g", "c", 3)
    assert [message.id for message in messages] == ids
    await streams.ack("t", "g", ids[0], 1)
    await streams._client.execute("CONFIG", "SET", "maxmemory", "0")
    await streams.append("t", b"x")
    assert (await streams.info("t")).groups["g"] == GroupInfo(1, 2, 0, 0)
    await streams.close()
