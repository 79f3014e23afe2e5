"""Operations that publish to a topic, or ask for a message's state."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.backend.topic import KIND
from gateway.core.call import Backend, Call, Context
from gateway.core.errors import NotFound
from gateway.core.findings import DocumentsRefused
from gateway.core.identity import Identity
from gateway.core.kinds import Services
from gateway.events.topics import Topics
from gateway.schema.contract import read_operation
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import TopicSpec
from gateway.store.memory_streams import MemoryStreams

MESSAGE = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "format": "decimal"},
        "at": {"type": "string", "format": "date-time"},
    },
}


def operation(name: str, **properties: Any) -> Operation:
    return read_operation(name, {"input": {"type": "object", "properties": properties}}, Types())


def bound(topics: Topics, of: Operation, **config: Any) -> Backend:
    assert KIND.operation is not None
    given = KIND.operation.model_validate({"topic": "orders", **config})
    return KIND.bind(given, None, of, Types(), Services(topics=topics))


@pytest.fixture
def streams() -> MemoryStreams:
    return MemoryStreams()


@pytest.fixture
def topics(streams: MemoryStreams) -> Topics:
    return Topics(streams, {"orders": TopicSpec(name="orders", message=MESSAGE)})


async def test_a_canonical_payload_is_published_with_who_called(streams: MemoryStreams, topics: Topics) -> None:
    backend = bound(topics, operation("publish", payload=MESSAGE))
    payload = {"amount": Decimal("1.50"), "at": datetime(2026, 1, 2, tzinfo=UTC)}
    context = Context("c-1", identity=Identity("key-1", "api-key", application="partner"))
    answer = await backend.invoke(Call("publish", {"payload": payload}, context))
    (message,) = await streams.browse("orders")
    assert answer == {"id": message.id, "topic": "orders"}
    assert orjson.loads(message.payload) == {"amount": "1.50", "at": "2026-01-02T00:00:00Z"}
    assert message.properties == {"call_id": "c-1", "application": "partner"}


async def test_an_anonymous_callers_message_names_no_application(streams: MemoryStreams, topics: Topics) -> None:
    backend = bound(topics, operation("publish", payload=MESSAGE))
    await backend.invoke(Call("publish", {"payload": {}}, Context("c-2")))
    (message,) = await streams.browse("orders")
    assert message.properties == {"call_id": "c-2"}
    await backend.close()


async def test_the_state_of_a_message_is_told(streams: MemoryStreams, topics: Topics) -> None:
    await streams.create_group("orders", "shop@v2/bill")
    id = await topics.publish("orders", {})
    backend = bound(topics, operation("status", message_id={"type": "string"}), status=True)
    listeners = [{"listener": "shop@v2/bill", "state": "pending"}]
    answer = await backend.invoke(Call("status", {"message_id": id}, Context("c")))
    assert answer == {"id": id, "topic": "orders", "state": "pending", "listeners": listeners}
    with pytest.raises(NotFound):
        await backend.invoke(Call("status", {"message_id": "1-0"}, Context("c")))
    await backend.close()


async def test_the_state_of_a_message_is_for_the_application_that_published_it(topics: Topics) -> None:
    publish = bound(topics, operation("publish", payload=MESSAGE))
    status = bound(topics, operation("status", message_id={"type": "string"}), status=True)

    def of(application: str) -> Context:
        return Context("c", identity=Identity(application, "api-key", application=application))

    ids = [(await publish.invoke(Call("publish", {"payload": {}}, of("partner"))))["id"] for _ in range(3)]
    for id in ids:
        assert (await status.invoke(Call("status", {"message_id": id}, of("partner"))))["state"] == "accepted"
        with pytest.raises(NotFound):
            await status.invoke(Call("status", {"message_id": id}, of("visitor")))


@pytest.mark.parametrize(("status", "needed"), [(False, "payload"), (True, "message_id")])
def test_an_operation_without_the_field_it_needs_is_refused(topics: Topics, status: bool, needed: str) -> None:
    with pytest.raises(DocumentsRefused, match=needed):
        bound(topics, operation("publish", other={"type": "string"}), status=status)
