"""What is live decides which listeners run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.call import Backend, Call
from gateway.core.clock import SystemClock
from gateway.schema.types import Field, Operation, Record, Scalar, Types
from gateway.server.listeners import Listeners, Version
from gateway.snapshot.spec import ListenerSpec, VersionSpec
from gateway.store.memory_streams import MemoryStreams

BILL = Operation("bill", "writing", Record("bill_input", (Field("order", Scalar("int32")),)))
LISTENER = ListenerSpec(operation="bill", topic="orders")


class Calls:
    """A backend that tells its calls and may be made to wait."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Call] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def invoke(self, call: Call) -> None:
        self.told.put_nowait(call)
        await self.gate.wait()

    async def close(self) -> None: ...

    async def order(self) -> int:
        async with asyncio.timeout(30):
            return int((await self.told.get()).input["order"])


@dataclass(eq=False)
class OneVersion:
    """A version, as `live` builds it."""

    spec: VersionSpec
    backends: Mapping[str, Backend]
    types: Types = field(default_factory=Types)
    operations: Mapping[str, Operation] = field(default_factory=lambda: {"bill": BILL})
    holders: int = 1
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        self.closed.set()


def version(calls: Calls, name: str = "v1", **listeners: ListenerSpec) -> OneVersion:
    spec = VersionSpec(component="shop", version=name, revision="r", base_path="/shop", listeners=listeners)
    return OneVersion(spec, {"bill": calls})


def live(*versions: OneVersion) -> Any:
    found: dict[str, Version] = {each.spec.name: each for each in versions}
    return SimpleNamespace(versions=found)


@pytest.fixture
def streams() -> MemoryStreams:
    return MemoryStreams()


@pytest.fixture
async def listeners(streams: MemoryStreams) -> AsyncIterator[Listeners]:
    found = Listeners(streams, SystemClock(), "node-0")
    yield found
    await found.drain(10)


async def publish(streams: MemoryStreams, order: int) -> str:
    return await streams.append("orders", b'{"order": %d}' % order)


async def test_each_listener_of_each_version_gets_each_message(listeners: Listeners, streams: MemoryStreams) -> None:
    one, two = Calls(), Calls()
    listeners.serve(live(version(one, "v1", bill=LISTENER), version(two, "v2", bill=LISTENER)))
    await publish(streams, 1)
    assert (await one.order(), await two.order()) == (1, 1)
    assert set((await streams.info("orders")).groups) == {"shop@v1/bill", "shop@v2/bill"}


async def test_a_version_that_stays_keeps_its_listener_running(listeners: Listeners, streams: MemoryStreams) -> None:
    calls = Calls()
    stays = version(calls, bill=LISTENER)
    listeners.serve(live(stays))
    listeners.serve(live(stays))
    assert stays.holders == 2
    await publish(streams, 1)
    assert await calls.order() == 1


async def test_a_new_build_takes_over_while_the_old_one_finishes(listeners: Listeners, streams: MemoryStreams) -> None:
    old_calls, new_calls = Calls(), Calls()
    old, new = version(old_calls, bill=LISTENER), version(new_calls, bill=LISTENER)
    old_calls.gate.clear()
    listeners.serve(live(old))
    first = await publish(streams, 1)
    assert await old_calls.order() == 1
    listeners.serve(live(new))
    old.holders -= 1  # the router let go of it
    second = await publish(streams, 2)
    assert await new_calls.order() == 2
    assert not old.closed.is_set()
    old_calls.gate.set()
    async with asyncio.timeout(30):
        await old.closed.wait()
    await listeners.drain(10)
    for id in (first, second):
        assert await streams.status("orders", id) == {"shop@v1/bill": "delivered"}
    assert (new.holders, new.closed.is_set()) == (1, False)


async def test_what_is_not_live_any_more_drains_and_keeps_its_messages(
    listeners: Listeners, streams: MemoryStreams
) -> None:
    calls = Calls()
    gone = version(calls, bill=LISTENER)
    gone.holders = 0  # nobody else holds it
    listeners.serve(live(gone))
    await publish(streams, 1)
    assert await calls.order() == 1
    listeners.serve(live())
    async with asyncio.timeout(30):
        await gone.closed.wait()
    id = await publish(streams, 2)
    assert await streams.status("orders", id) == {"shop@v1/bill": "pending"}
    back = version(calls, bill=LISTENER)
    listeners.serve(live(back))
    assert await calls.order() == 2


async def test_a_listener_that_cannot_run_does_not_stop_the_others(
    listeners: Listeners, streams: MemoryStreams, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    wrong = {
        "odd": LISTENER.model_copy(update={"body": "ordre"}),
        "lost": LISTENER.model_copy(update={"operation": "x"}),
    }
    listeners.serve(live(version(calls, bill=LISTENER, **wrong)))
    await publish(streams, 1)
    assert await calls.order() == 1
    refused = {record.args for record in caplog.records if record.levelno == logging.ERROR}
    assert refused == {("shop@v1/odd",), ("shop@v1/lost",)}


async def test_a_store_that_could_lose_messages_is_warned_of_once(
    listeners: Listeners, streams: MemoryStreams, caplog: pytest.LogCaptureFixture
) -> None:
    """CASES Q76."""
    calls = Calls()
    for _ in range(2):
        listeners.serve(live(version(calls, bill=LISTENER)))
    await publish(streams, 1)
    await calls.order()
    await listeners.drain(10)
    assert caplog.text.count("messages are not safe: Messages in memory end with the process") == 1


async def test_a_crashed_listener_is_logged_and_started_again(
    listeners: Listeners, streams: MemoryStreams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create_group, crashes = streams.create_group, [RuntimeError("a bug")]

    async def crash_once(*arguments: Any) -> bool:
        if crashes:
            raise crashes.pop()
        return await create_group(*arguments)

    monkeypatch.setattr(streams, "create_group", crash_once)
    calls = Calls()
    with caplog.at_level(logging.ERROR, "gateway.events"):
        listeners.serve(live(version(calls, bill=LISTENER)))
        await publish(streams, 1)
        assert await calls.order() == 1
    assert "the listener shop@v1/bill crashed" in caplog.text


async def test_a_shutdown_finishes_what_is_in_flight(listeners: Listeners, streams: MemoryStreams) -> None:
    calls = Calls()
    calls.gate.clear()
    runs = version(calls, bill=LISTENER)
    listeners.serve(live(runs))
    id = await publish(streams, 1)
    await calls.order()
    draining = asyncio.create_task(listeners.drain(30))
    await asyncio.sleep(0)
    calls.gate.set()
    await draining
    assert await streams.status("orders", id) == {"shop@v1/bill": "delivered"}
    assert runs.holders == 1
