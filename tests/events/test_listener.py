"""One suite for listeners on every implementation of event streams that a node may have."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from gateway.core.call import Call
from gateway.core.clock import SystemClock
from gateway.core.errors import Conflict, NotFound, Problem, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.events.delivery import EXHAUSTED, pauses
from gateway.events.listener import Listener
from gateway.schema.types import Field, Operation, Record, Scalar, Types
from gateway.snapshot.spec import ListenerSpec
from gateway.store.connect import open_streams
from gateway.store.embedded import EmbeddedStore
from gateway.store.redis_streams import RedisStreams
from gateway.store.streams import DeadLetter, Streams
from tests.servers import kill_and_restart

GROUP = "shop@v2/bill"
BILL = Operation("bill", "writing", Record("bill_input", (Field("order", Scalar("int32")),)))
ORDER = Record("Order", (Field("number", Scalar("int32")),))
BILL_BODY = Operation("bill", "writing", Record("bill_input", (Field("order", ORDER),)))

Answer = Callable[[Call], Awaitable[Any]]


class NoLedger(Problem):
    status, title = 503, "The ledger is closed"


class Recorder:
    """A backend that keeps its calls and then answers as it was told."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.calls: list[Call] = []
        self.called = asyncio.Semaphore(0)
        self._answer = answer

    async def invoke(self, call: Call) -> Any:
        self.calls.append(call)
        self.called.release()
        return await self._answer(call) if self._answer is not None else None

    async def close(self) -> None: ...

    async def reached(self, count: int = 1) -> None:
        async with asyncio.timeout(30):
            for _ in range(count):
                await self.called.acquire()


def failing(times: int, error: Exception) -> Answer:
    """Fails so many times, then succeeds."""

    async def answer(call: Call) -> None:
        if call.context.attempt <= times:
            raise error

    return answer


@pytest.fixture(params=["memory", "valkey"])
async def streams(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Streams]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue(request.param)
    found = open_streams(url, prefix)
    yield found
    await found.close()


def listener(
    streams: Streams,
    backend: Recorder,
    *,
    delays: tuple[float, ...] = (),
    concurrency: int = 1,
    operation: Operation = BILL,
    body: str | None = None,
    consumer: str = "c",
    lease: float = 30.0,
) -> Listener:
    spec = ListenerSpec(operation="bill", topic="orders", body=body, concurrency=concurrency, delays=delays)
    clock, types = SystemClock(), Types()
    return Listener(
        GROUP, spec, "shop", "v2", operation, types, backend, streams, clock, consumer,
        lease_seconds=lease, block_seconds=0.05,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(*listeners: Listener) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in listeners]
    try:
        yield
    finally:
        for each in listeners:
            await each.drain(10)
        await asyncio.gather(*tasks)


async def publish(streams: Streams, payload: Any = None, **properties: str) -> str:
    return await streams.append("orders", orjson.dumps({"order": 1} if payload is None else payload), properties)


async def becomes(streams: Streams, id: str, state: str) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(StoreUnavailable):
                if (await streams.status("orders", id)).get(GROUP) == state:
                    return
            await asyncio.sleep(0.01)


async def buried(streams: Streams, id: str) -> DeadLetter:
    await becomes(streams, id, "dead")
    (letter,) = await streams.dead_letters("orders", GROUP)
    assert letter.origin == id
    return letter


async def test_a_message_runs_the_operation_and_is_acknowledged(streams: Streams) -> None:
    backend = Recorder()
    async with running(listener(streams, backend)):
        id = await publish(streams, {"order": 7}, application="partner")
        await becomes(streams, id, "delivered")
    (call,) = backend.calls
    assert (call.operation, call.input) == ("bill", {"order": 7})
    context = call.context
    assert (context.component, context.version, context.operation) == ("shop", "v2", "bill")
    assert (context.protocol, context.attempt, context.message_id) == ("event", 1, id)
    assert context.properties == {"application": "partner"}
    assert (context.identity.method, context.identity.subject) == ("event", f"listener {GROUP}")


async def test_what_was_published_before_the_listener_was_live_is_delivered(streams: Streams) -> None:
    id = await publish(streams)
    async with running(listener(streams, Recorder())):
        await becomes(streams, id, "delivered")


async def test_with_body_the_whole_payload_is_that_parameter(streams: Streams) -> None:
    backend = Recorder()
    async with running(listener(streams, backend, operation=BILL_BODY, body="order")):
        await becomes(streams, await publish(streams, {"number": 5}), "delivered")
    assert backend.calls[0].input == {"order": {"number": 5}}


def test_a_body_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(DocumentsRefused, match=r"no such parameter.*Name one of: order"):
        listener(open_streams("memory://"), Recorder(), body="ordre")


async def test_a_failure_is_retried_and_the_context_counts_attempts(streams: Streams) -> None:
    backend = Recorder(failing(2, NoLedger("Closed at night.")))
    async with running(listener(streams, backend, delays=(0.01, 0.01, 0.01))):
        await becomes(streams, await publish(streams), "delivered")
    assert [call.context.attempt for call in backend.calls] == [1, 2, 3]


async def test_a_message_that_waits_for_a_retry_shows_why(streams: Streams) -> None:
    async with running(listener(streams, Recorder(failing(9, NoLedger("Closed at night."))), delays=(60,))):
        id = await publish(streams)
        await becomes(streams, id, "retrying")
        (failure,) = await streams.failures("orders", GROUP)
    assert (failure.id, failure.attempts, failure.reason) == (id, 1, "NoLedger: Closed at night.")


async def test_a_message_is_delivered_exactly_as_often_as_allowed_and_then_buried(streams: Streams) -> None:
    """CASES Q80: a limit of 5 is exactly 5 deliveries, then one dead letter with its reason."""
    backend = Recorder(failing(99, NoLedger("Closed at night.")))
    async with running(listener(streams, backend, delays=(0, 0.01, 0, 0.01))):
        letter = await buried(streams, await publish(streams))
    assert [call.context.attempt for call in backend.calls] == [1, 2, 3, 4, 5]
    assert (letter.attempts, letter.reason, letter.error) == (5, "NoLedger", "Closed at night.")


async def test_of_an_undeclared_error_a_dead_letter_tells_only_the_type(streams: Streams) -> None:
    backend = Recorder(failing(9, ValueError("the password is hunter2")))
    async with running(listener(streams, backend)):
        letter = await buried(streams, await publish(streams))
    assert letter.reason == "ValueError"
    assert "hunter2" not in letter.error
    assert backend.calls[0].context.call_id in letter.error


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"order": "seven"}', "$.order"),
        (b'{"order": 1, "extra": 2}', "$.extra"),
        (b"{}", "$.order is required"),
        (b"\x00\xff", "valid"),
        (b'{"order": 1, "order": 2}', "twice"),
    ],
)
async def test_what_does_not_fit_the_contract_is_buried_at_once(streams: Streams, payload: bytes, said: str) -> None:
    backend = Recorder()
    async with running(listener(streams, backend, delays=(60, 60))):
        letter = await buried(streams, await streams.append("orders", payload))
    assert backend.calls == []
    assert (letter.attempts, letter.reason, letter.payload) == (1, "invalid_input", payload)
    assert said in letter.error


async def test_the_other_messages_go_on_behind_a_poisoned_one(streams: Streams) -> None:
    poison = await publish(streams, {"order": "x"})
    good = await publish(streams)
    async with running(listener(streams, Recorder())):
        await becomes(streams, good, "delivered")
    assert (await streams.status("orders", poison))[GROUP] == "dead"


async def test_no_more_messages_run_at_once_than_its_concurrency(streams: Streams) -> None:
    gate, most, now = asyncio.Event(), 0, 0

    async def answer(_call: Call) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1

    backend = Recorder(answer)
    ids = [await publish(streams) for _ in range(7)]
    async with running(listener(streams, backend, concurrency=3)):
        await backend.reached(3)
        assert (await streams.info("orders")).groups[GROUP].waiting == 4
        gate.set()
        for id in ids:
            await becomes(streams, id, "delivered")
    assert most == 3


async def test_a_killed_consumers_message_goes_to_another_when_its_lease_is_over(streams: Streams) -> None:
    """CASES Q75: killed before the acknowledgement."""
    await streams.create_group("orders", GROUP)
    id = await publish(streams)
    assert await streams.read("orders", GROUP, "killed", lease_seconds=0.05)
    backend = Recorder()
    async with running(listener(streams, backend, consumer="other", delays=(0,))):
        await becomes(streams, id, "delivered")
    assert [call.context.attempt for call in backend.calls] == [2]


async def test_a_message_whose_consumers_were_all_killed_is_buried_without_another_run(streams: Streams) -> None:
    """CASES Q80: also when killed during the move."""
    await streams.create_group("orders", GROUP)
    id = await publish(streams)
    assert await streams.read("orders", GROUP, "killed", lease_seconds=0.05)
    backend = Recorder()
    async with running(listener(streams, backend, consumer="other")):
        letter = await buried(streams, id)
    assert backend.calls == []
    assert letter.reason == EXHAUSTED


async def test_the_lease_of_long_work_is_extended(streams: Streams) -> None:
    """CASES Q81: nobody else gets the message while it is worked on."""
    extended, gate = asyncio.Semaphore(0), asyncio.Event()
    extend = streams.extend

    async def counted(*arguments: Any) -> None:
        await extend(*arguments)
        extended.release()

    streams.extend = counted  # type: ignore[method-assign, assignment]

    async def answer(_call: Call) -> None:
        await gate.wait()

    slow, other = Recorder(answer), Recorder()
    async with running(listener(streams, slow, lease=0.6)):
        id = await publish(streams)
        await slow.reached()
        async with running(listener(streams, other, consumer="other", lease=0.6)):
            async with asyncio.timeout(30):
                for _ in range(4):
                    await extended.acquire()
            gate.set()
            await becomes(streams, id, "delivered")
    assert len(slow.calls) == 1
    assert other.calls == []


async def test_a_drain_lets_what_is_in_flight_finish_and_takes_nothing_more(streams: Streams) -> None:
    gate = asyncio.Event()

    async def answer(_call: Call) -> None:
        await gate.wait()

    backend = Recorder(answer)
    one = listener(streams, backend)
    first, second = await publish(streams), await publish(streams)
    task = asyncio.create_task(one.run())
    await backend.reached()
    draining = asyncio.create_task(one.drain(30))
    await asyncio.sleep(0)
    assert not draining.done()
    gate.set()
    await draining
    await task
    assert await streams.status("orders", first) == {GROUP: "delivered"}
    assert await streams.status("orders", second) == {GROUP: "pending"}
    assert len(backend.calls) == 1


async def test_what_does_not_finish_in_time_is_given_back_at_once(streams: Streams) -> None:
    async def answer(_call: Call) -> None:
        await asyncio.Event().wait()

    stuck, other = Recorder(answer), Recorder()
    one = listener(streams, stuck)
    task = asyncio.create_task(one.run())
    id = await publish(streams)
    await stuck.reached()
    await one.drain(0)
    await task
    async with running(listener(streams, other, consumer="other", delays=(0,))):
        await becomes(streams, id, "delivered")
    assert other.calls[0].context.attempt == 2


async def test_a_listener_subscribes_again_when_its_topic_was_deleted(streams: Streams) -> None:
    """CASES Q85: deletion during delivery."""
    gate = asyncio.Event()

    async def answer(_call: Call) -> None:
        await gate.wait()

    backend = Recorder(answer)
    async with running(listener(streams, backend)):
        await publish(streams)
        await backend.reached()
        await streams.delete("orders")
        gate.set()
        await becomes(streams, await publish(streams), "delivered")


class Flaky:
    """Streams of which one call loses its answer, after or before it was applied."""

    def __init__(self, streams: Streams, name: str, applied: bool) -> None:
        self._streams = streams
        self._name = name
        self._applied = applied

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._streams, name)
        if name != self._name:
            return found

        async def lose(*arguments: Any, **named: Any) -> Any:
            lost, self._name = self._name == name, ""
            answer = await found(*arguments, **named) if self._applied or not lost else None
            if lost:
                raise StoreUnavailable("gone for a moment")
            return answer

        return lose


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("step", ["create_group", "ack", "retry", "dead_letter"])
async def test_a_step_whose_answer_was_lost_is_made_once_more(streams: Streams, step: str, applied: bool) -> None:
    times = {"retry": 1, "dead_letter": 99}.get(step, 0)
    backend = Recorder(failing(times, NoLedger()))
    flaky: Any = Flaky(streams, step, applied)
    async with running(listener(flaky, backend, delays=() if step == "dead_letter" else (0.01,))):
        await becomes(streams, await publish(streams), "dead" if step == "dead_letter" else "delivered")
    assert len(backend.calls) == (2 if step == "retry" else 1)
    assert len(await streams.dead_letters("orders", GROUP)) == (step == "dead_letter")


async def test_a_restart_of_the_store_loses_nothing_that_was_accepted(embedded: EmbeddedStore) -> None:
    """CASES Q76: kill -9 of the store while messages are published and delivered."""
    streams = RedisStreams(embedded.url)
    gate = asyncio.Event()

    async def answer(call: Call) -> None:
        if call.input["order"] == 3:
            await gate.wait()

    backend = Recorder(answer)
    async with running(listener(streams, backend, concurrency=2, delays=(0, 0, 0, 0, 0), lease=5)):
        ids = [await publish(streams, {"order": number}) for number in range(20)]
        await backend.reached(4)
        await kill_and_restart(embedded)
        gate.set()
        for id in ids:
            await becomes(streams, id, "delivered")
        assert await streams.dead_letters("orders", GROUP) == []
    await streams.close()
    assert {call.input["order"] for call in backend.calls} == set(range(20))


async def test_a_late_receipt_is_refused_after_the_lease(streams: Streams) -> None:
    """CASES Q81."""
    await streams.create_group("orders", GROUP)
    id = await publish(streams)
    await streams.read("orders", GROUP, "slow", lease_seconds=0.02)
    async with running(listener(streams, Recorder(), delays=(0,))):
        await becomes(streams, id, "delivered")
    with pytest.raises(Conflict):
        await streams.ack("orders", GROUP, id, 1)


async def test_a_drain_of_a_listener_that_never_ran_ends(streams: Streams) -> None:
    one = listener(streams, Recorder())
    await one.drain(1)
    await one.run()
    with pytest.raises(NotFound):
        await streams.read("orders", GROUP, "c")


def test_pauses_of_an_outage_grow_to_seconds() -> None:
    waits = pauses()
    found = [next(waits) for _ in range(10)]
    assert found[:3] == [0.05, 0.1, 0.2]
    assert found[-1] == 5.0


class Away:
    """Streams that nobody reaches."""

    def __init__(self) -> None:
        self.tried = asyncio.Event()

    def __getattr__(self, _name: str) -> Any:
        async def unreachable(*_arguments: Any, **_named: Any) -> None:
            self.tried.set()
            raise StoreUnavailable("connection refused")

        return unreachable


async def test_a_listener_whose_store_is_away_can_be_drained() -> None:
    away: Any = Away()
    one = listener(away, Recorder())
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(30):
        await away.tried.wait()
        await one.drain(10)
        await task


async def test_a_killed_process_loses_nothing_and_finishes_nothing_twice(valkey: str, prefix: str) -> None:
    """CASES Q75: kill -9 of a consumer that has acknowledged some, works on some and has not seen the others."""
    streams, backend = open_streams(valkey, prefix), Recorder()
    ids = [await publish(streams, {"order": number}) for number in range(12)]
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.events.victim", valkey, prefix, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    async with asyncio.timeout(60):
        done = orjson.loads(await victim.stdout.readline())
    victim.kill()
    await victim.wait()
    async with running(listener(streams, backend, delays=(0, 0), concurrency=3)):
        for id in ids:
            await becomes(streams, id, "delivered")
    await streams.close()
    again = sorted(call.input["order"] for call in backend.calls)
    assert sorted([*done, *again]) == list(range(12))
    assert {call.context.attempt for call in backend.calls} == {1, 2}


async def test_every_message_ends_delivered_or_buried_and_never_runs_too_often(streams: Streams) -> None:
    """CASES Q: what was accepted is delivered or a dead letter, with three consumers of which one is taken away."""

    async def answer(call: Call) -> None:
        if call.context.attempt <= call.input["order"] % 7:
            raise NoLedger("Closed.")

    backends = [Recorder(answer) for _ in range(3)]
    ids = [await publish(streams, {"order": number}) for number in range(42)]
    first, *others = [
        listener(streams, backend, delays=(0, 0.01, 0), concurrency=4, consumer=f"c{number}")
        for number, backend in enumerate(backends)
    ]
    async with running(*others):
        async with running(first):
            await backends[0].reached(5)
        for number, id in enumerate(ids):
            await becomes(streams, id, "delivered" if number % 7 < 4 else "dead")
    runs = Counter(call.input["order"] for backend in backends for call in backend.calls)
    assert runs == {number: min(number % 7 + 1, 4) for number in range(42)}
    assert len(await streams.dead_letters("orders", GROUP)) == 18


async def test_work_that_lost_its_lease_ends_without_harm(streams: Streams) -> None:
    """CASES Q81: its late acknowledgement is refused, and the message stays with the one that has it now."""
    gate, stolen, refused = asyncio.Event(), asyncio.Event(), asyncio.Event()
    extend = streams.extend

    async def unlucky(*arguments: Any) -> None:
        if not stolen.is_set():
            raise StoreUnavailable("gone for a moment")
        try:
            await extend(*arguments)
        except Conflict:
            refused.set()
            raise

    streams.extend = unlucky  # type: ignore[method-assign, assignment]

    async def answer(_call: Call) -> None:
        await gate.wait()

    slow = Recorder(answer)
    async with running(listener(streams, slow, lease=0.1)):
        id = await publish(streams)
        await slow.reached()
        (taken,) = await streams.read("orders", GROUP, "other", block_seconds=30)
        stolen.set()
        async with asyncio.timeout(30):
            await refused.wait()
        gate.set()
    assert await streams.status("orders", id) == {GROUP: "pending"}
    await streams.ack("orders", GROUP, id, taken.attempt)
    assert await streams.status("orders", id) == {GROUP: "delivered"}
    assert len(slow.calls) == 1


async def test_an_outage_is_logged_once_and_its_end_too(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    """No busy loop, no flood of lines."""
    read, failures, back = streams.read, 4, asyncio.Event()

    async def away(*arguments: Any, **named: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("connection refused")
        back.set()
        return await read(*arguments, **named)

    streams.read = away  # type: ignore[method-assign, assignment]
    with caplog.at_level("INFO", "gateway.events"):
        async with running(listener(streams, Recorder())):
            async with asyncio.timeout(30):
                await back.wait()
            await becomes(streams, await publish(streams), "delivered")
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{GROUP} waits for the store: connection refused", f"{GROUP} goes on"]
