"""Publishing to topics, and what became of a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.core.errors import Gone, InvalidInput, NotFound
from gateway.events.topics import Topics
from gateway.schema.json_codec import loads
from gateway.snapshot.spec import TopicSpec
from gateway.store.connect import open_streams
from gateway.store.streams import Message, StreamFull, Streams

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "format": "int32"},
        "at": {"type": "string", "format": "date-time"},
        "amount": {"type": "number", "format": "decimal"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "state": {"type": "string", "default": "new"},
    },
    "required": ["id"],
}


@pytest.fixture(params=["memory", "valkey"])
async def streams(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Streams]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue(request.param)
    found = open_streams(url, prefix)
    yield found
    await found.close()


@pytest.fixture
def topics(streams: Streams) -> Topics:
    specs = (TopicSpec(name="any", max_length=3), TopicSpec(name="orders", message=ORDER))
    return Topics(streams, {spec.name: spec for spec in specs})


async def kept(streams: Streams, topic: str) -> Message:
    (message,) = await streams.browse(topic)
    return message


@pytest.mark.parametrize("payload", [None, True, 7, -1.5, "é\0", [], [1, {"a": None}], {"a": {"b": [2]}}])
async def test_any_json_is_kept_as_it_is(topics: Topics, streams: Streams, payload: Any) -> None:
    id = await topics.publish("any", payload, {"type": "é"})
    message = await kept(streams, "any")
    assert (message.id, orjson.loads(message.payload), message.properties) == (id, payload, {"type": "é"})


@pytest.mark.parametrize("payload", [float("nan"), {"a": float("inf")}, {1: 2}, object(), "\ud800", 2**70])
async def test_what_is_no_json_is_refused(topics: Topics, streams: Streams, payload: Any) -> None:
    with pytest.raises(InvalidInput):
        await topics.publish("any", payload)
    assert await streams.browse("any") == []


@pytest.mark.parametrize("properties", [{"a": 1}, {"": "x"}, {"a": "\ud800"}])
async def test_properties_that_are_no_texts_are_refused(topics: Topics, properties: Any) -> None:
    with pytest.raises(InvalidInput):
        await topics.publish("any", 1, properties)


async def test_a_payload_that_does_not_fit_the_topics_schema_is_refused_with_places(
    topics: Topics, streams: Streams
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await topics.publish("orders", {"id": "1", "lines": [{"sku": 5}], "more": 1})
    assert [each.target for each in refused.value.details] == ["$.id", "$.lines[0].sku", "$.more"]
    assert await streams.browse("orders") == []


async def test_a_message_that_fits_is_kept_in_one_spelling_with_its_defaults(topics: Topics, streams: Streams) -> None:
    amount = loads(b"123456789012345678.10")
    assert isinstance(amount, Decimal)
    await topics.publish("orders", {"id": 1.0, "amount": amount, "at": "2026-01-02T03:04:05Z"})
    found = orjson.loads((await kept(streams, "orders")).payload)
    assert found == {"id": 1, "amount": "123456789012345678.10", "at": "2026-01-02T03:04:05Z", "state": "new"}


async def test_an_unknown_topic_is_named_with_those_that_there_are(topics: Topics) -> None:
    with pytest.raises(NotFound, match=r"no topic order\. Known: any, orders"):
        await topics.publish("order", 1)
    with pytest.raises(NotFound):
        await topics.status("order", "1-0")


async def test_new_specs_count_from_their_assignment(topics: Topics) -> None:
    await topics.publish("orders", {"id": 1})
    topics.specs = {"orders": TopicSpec(name="orders", message={"type": "string"})}
    await topics.publish("orders", "one")
    with pytest.raises(InvalidInput):
        await topics.publish("orders", {"id": 1})
    with pytest.raises(NotFound):
        await topics.publish("any", 1)


async def test_a_topic_that_is_full_of_unfinished_messages_refuses_another(topics: Topics, streams: Streams) -> None:
    """CASES Q78, Q83."""
    await streams.create_group("any", "g")
    for number in range(3):
        await topics.publish("any", number)
    with pytest.raises(StreamFull):
        await topics.publish("any", 3)


async def test_without_listeners_a_message_is_accepted(topics: Topics) -> None:
    id = await topics.publish("any", 1)
    assert await topics.status("any", id) == {"id": id, "topic": "any", "state": "accepted", "listeners": []}


async def test_a_status_tells_each_listener_and_the_worst_of_them(topics: Topics, streams: Streams) -> None:
    for group in ("b", "a"):
        await streams.create_group("any", group)
    id = await topics.publish("any", 1)

    async def told() -> tuple[str, dict[str, str]]:
        status = await topics.status("any", id)
        assert [each["listener"] for each in status["listeners"]] == ["a", "b"]
        return status["state"], {each["listener"]: each["state"] for each in status["listeners"]}

    assert await told() == ("pending", {"a": "pending", "b": "pending"})
    await streams.read("any", "a", "c")
    await streams.ack("any", "a", id)
    assert await told() == ("pending", {"a": "delivered", "b": "pending"})
    await streams.read("any", "b", "c")
    await streams.retry("any", "b", id, 0, reason="x")
    assert await told() == ("retrying", {"a": "delivered", "b": "retrying"})
    (message,) = await streams.read("any", "b", "c", block_seconds=10)
    letter = await streams.dead_letter("any", "b", message, "x")
    assert await told() == ("dead", {"a": "delivered", "b": "dead"})
    await streams.redrive("any", "b", letter)
    assert (await told())[0] == "pending"
    (message,) = await streams.read("any", "b", "c", block_seconds=10)
    await streams.ack("any", "b", message.id)
    assert (await told())[0] == "delivered"


@pytest.mark.parametrize("id", ["1-0", "nonsense", "", "9999999999999-0"])
async def test_an_id_that_was_never_given_out_is_not_found(topics: Topics, id: str) -> None:
    with pytest.raises(NotFound):
        await topics.status("any", id)


async def test_a_message_that_was_trimmed_is_gone(topics: Topics) -> None:
    """CASES Q84."""
    first = await topics.publish("any", 0)
    for number in range(3):
        await topics.publish("any", number)
    with pytest.raises(Gone):
        await topics.status("any", first)
