"""A slot of `concurrency` is held as long as its exchange lasts: a tunnel's and a stream's, too."""

from __future__ import annotations

from tests.policy.policy_harness import Gateway
from tests.policy.test_policy_concurrency import slots
from tests.relay.test_relay_websocket import SHAKE, agreeing, raw_echo, shaking, until
from tests.upstreams import Conversation


async def test_a_websocket_holds_its_slot_until_it_ends() -> None:
    services = Gateway()
    step = slots(services, limit=1, by="ip").step
    assert step is not None
    held = services.counters.leases.held
    async with shaking(agreeing(raw_echo), step) as (client, _, live):  # type: ignore[arg-type]
        client.send(SHAKE)
        assert (await client.head())[0] == 101
        assert list(held.values()) == [1]
        await client.close()
        await until(lambda: not live.running)
        assert held == {}


async def test_an_event_stream_holds_its_slot_until_its_reader_leaves() -> None:
    async def stream(conversation: Conversation) -> None:
        await conversation.head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await conversation.closed()

    services = Gateway()
    step = slots(services, limit=1, by="ip").step
    assert step is not None
    held = services.counters.leases.held
    async with shaking(stream, step) as (client, _recording, live):  # type: ignore[arg-type]
        client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.reader.readuntil(b"data: 1")
        assert list(held.values()) == [1]
        await client.close()
        await until(lambda: not live.running)
        assert held == {}
