"""One suite, two wires: what a chain means is the same on a real socket and in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import pytest

from gateway.core import chain as chains
from gateway.core.errors import Conflict, Forbidden, InternalError, Unavailable
from gateway.core.exchange import SWITCH, Exchange, Reply, Wait
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Cut, MemoryWire
from tests.serving import Client, cell, chain, connected, served


class Asked(Protocol):
    """A request in progress, on either wire."""

    def feed(self, data: bytes) -> None: ...
    def end_body(self) -> None: ...
    def disconnect(self) -> None: ...
    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]: ...
    async def begun(self) -> int: ...
    async def piece(self) -> bytes: ...


class InMemory:
    def __init__(self, live: LiveCell, method: str, path: str, length: int) -> None:
        self._wire = MemoryWire.open(live, method, path, length=length)
        self.feed, self.end_body, self.disconnect = self._wire.feed, self._wire.end_body, self._wire.disconnect

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        status, fields = await self._wire.head()
        return status, dict(fields), await self._wire.rest()

    async def begun(self) -> int:
        return (await self._wire.head())[0]

    async def piece(self) -> bytes:
        return await self._wire.read()


class OnSocket:
    def __init__(self, client: Client, method: str, path: str, length: int) -> None:
        self._client, self._method, self._length = client, method.encode(), length
        framing = b"Transfer-Encoding: chunked\r\n" if length < 0 else b"Content-Length: %d\r\n" % length
        client.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n".encode() + (framing if length else b"") + b"\r\n")

    def feed(self, data: bytes) -> None:
        self._client.send(b"%x\r\n%b\r\n" % (len(data), data) if self._length < 0 else data)

    def end_body(self) -> None:
        if self._length < 0:
            self._client.send(b"0\r\n\r\n")

    def disconnect(self) -> None:
        self._client.writer.transport.abort()

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        try:
            return await self._client.answer(self._method)
        except asyncio.IncompleteReadError as error:
            raise Cut from error

    async def begun(self) -> int:
        return (await self._client.head())[0]

    async def piece(self) -> bytes:
        try:
            return await anext(aiter(self._client.chunks()), b"")
        except asyncio.IncompleteReadError as error:
            raise Cut from error


Ask = Callable[..., Asked]
Asking = Callable[[LiveCell], contextlib.AbstractAsyncContextManager[Ask]]


@contextlib.asynccontextmanager
async def _memory(live: LiveCell) -> AsyncIterator[Ask]:
    yield lambda method="GET", path="/", length=0: InMemory(live, method, path, length)


@contextlib.asynccontextmanager
async def _socket(live: LiveCell) -> AsyncIterator[Ask]:
    async with served(live) as address, connected(address) as client:
        yield lambda method="GET", path="/", length=0: OnSocket(client, method, path, length)


@pytest.fixture(params=[_memory, _socket], ids=["memory", "socket"])
def asking(request: pytest.FixtureRequest) -> Asking:
    return request.param  # type: ignore[no-any-return]


def closed(live: LiveCell) -> list[Exchange]:
    return live.observe.exchanges  # type: ignore[attr-defined,no-any-return]


def ok(_exchange: Exchange) -> Reply:
    return Reply(200, body=b"ok")


async def test_steps_run_in_written_order(asking: Asking) -> None:
    ran: list[str] = []
    live = cell(lambda _: ran.append("one"), lambda _: ran.append("two"), ok)
    async with asking(live) as ask:
        assert (await ask().answer())[2] == b"ok"
    assert ran == ["one", "two"]


async def test_an_early_reply_ends_the_chain(asking: Asking) -> None:
    async with asking(cell(lambda _: Reply(202, body=b"early"), ok)) as ask:
        status, _, body = await ask().answer()
    assert (status, body) == (202, b"early")


async def test_a_problem_is_rendered_by_the_chain(asking: Asking) -> None:
    def refuse(_exchange: Exchange) -> None:
        raise Conflict("Taken.")

    live = cell(refuse, ok)
    live.current.any = chain(refuse, ok)  # type: ignore[attr-defined]
    async with asking(live) as ask:
        status, fields, body = await ask().answer()
    assert (status, fields[b"content-type"]) == (409, b"application/problem+json")
    assert b"Taken." in body


async def test_an_error_is_a_500_that_tells_the_id_and_nothing_else(asking: Asking) -> None:
    def broken(_exchange: Exchange) -> None:
        raise ValueError("hush")

    async with asking(cell(broken, ok)) as ask:
        status, fields, body = await ask().answer()
    assert status == InternalError.status
    assert fields[b"x-request-id"] in body
    assert b"hush" not in body


async def test_a_chain_that_answers_nothing_is_a_500(asking: Asking) -> None:
    async with asking(cell(lambda _: None)) as ask:
        assert (await ask().answer())[0] == 500


def _marking(mark: bytes) -> Callable[[Exchange, Reply], None]:
    return lambda _exchange, reply: reply.add(b"X-After", mark)


async def test_afters_of_the_steps_that_passed_run_on_a_refusal_too(asking: Asking) -> None:
    def refuse(_exchange: Exchange) -> None:
        raise Forbidden

    order: list[int] = []
    afters = tuple((index, lambda _e, _r, index=index: order.append(index)) for index in (2, 1, 0))
    async with asking(cell(lambda _: None, lambda _: None, refuse, ok, afters=afters)) as ask:
        assert (await ask().answer())[0] == 403
    assert order == [1, 0]


async def test_an_after_whose_step_was_skipped_does_not_run(asking: Asking) -> None:
    def skipped(exchange: Exchange) -> None:
        exchange.skipped |= 1

    async with asking(cell(skipped, ok, afters=((0, _marking(b"no")),))) as ask:
        assert b"x-after" not in (await ask().answer())[1]


async def test_an_after_that_fails_makes_a_500_and_the_others_still_run(asking: Asking) -> None:
    def broken(_exchange: Exchange, _reply: Reply) -> None:
        raise ValueError

    afters = ((1, broken), (0, _marking(b"cors")))
    async with asking(cell(lambda _: None, lambda _: None, ok, afters=afters)) as ask:
        status, fields, _ = await ask().answer()
    assert (status, fields[b"x-after"]) == (500, b"cors")


async def test_a_refusal_by_a_later_step_gives_back(asking: Asking) -> None:
    given: list[str] = []

    def refuse(_exchange: Exchange) -> None:
        raise Forbidden

    async with asking(cell(lambda e: e.on_refusal(lambda _: given.append("slot")), refuse, ok)) as ask:
        await ask().answer()
    assert given == ["slot"]


async def test_a_failure_of_the_last_step_gives_nothing_back(asking: Asking) -> None:
    given: list[str] = []

    def fails(_exchange: Exchange) -> None:
        raise Unavailable

    async with asking(cell(lambda e: e.on_refusal(lambda _: given.append("slot")), fails)) as ask:
        assert (await ask().answer())[0] == 503
    assert given == []


async def test_an_exchange_closes_once_and_leaves_its_router(asking: Asking) -> None:
    count: list[Exchange] = []
    live = cell(lambda e: e.on_close(count.append), ok)
    async with asking(live) as ask:
        await ask().answer()
        (exchange,) = closed(live)
    assert count == [exchange]
    assert (live.current.entered, live.current.left) == (1, 1)  # type: ignore[attr-defined]
    assert (exchange.done, exchange.status, exchange.sent) == (True, 200, 2)
    assert exchange.ended_at >= exchange.started_at > 0


async def test_a_wait_delivered_at_once_goes_on(asking: Asking) -> None:
    def step(exchange: Exchange) -> Wait:
        wait = Wait(exchange, lambda e, value: setattr(e, "parsed", value))
        wait.deliver(7)
        return wait

    async with asking(cell(step, lambda e: Reply(200, body=b"%d" % e.parsed))) as ask:
        assert (await ask().answer())[2] == b"7"


async def test_a_wait_delivered_later_goes_on(asking: Asking) -> None:
    def step(exchange: Exchange) -> Wait:
        wait = Wait(exchange, lambda _e, value: Reply(200, body=value))
        asyncio.get_running_loop().call_soon(wait.deliver, b"late")
        return wait

    async with asking(cell(step)) as ask:
        assert (await ask().answer())[2] == b"late"


async def test_a_wait_may_end_in_another_wait_or_in_a_problem(asking: Asking) -> None:
    def refuse(_exchange: Exchange, _value: Any) -> None:
        raise Conflict

    def again(exchange: Exchange, _value: Any) -> Wait:
        second = Wait(exchange, refuse)
        asyncio.get_running_loop().call_soon(second.deliver, None)
        return second

    def step(exchange: Exchange) -> Wait:
        first = Wait(exchange, again)
        first.deliver(None)
        return first

    async with asking(cell(step, ok)) as ask:
        assert (await ask().answer())[0] == 409


async def test_a_coroutine_may_reply_go_on_or_refuse(asking: Asking) -> None:
    async def step(exchange: Exchange) -> Reply | None:
        await asyncio.sleep(0)
        if exchange.head.path == b"/refuse":
            raise Conflict
        return Reply(203) if exchange.head.path == b"/reply" else None

    async with asking(cell(step, ok)) as ask:
        statuses = [(await ask(path=path).answer())[0] for path in ("/go-on", "/reply", "/refuse")]
    assert statuses == [200, 203, 409]


async def test_a_future_may_reply_fail_or_be_cancelled(asking: Asking) -> None:
    def step(exchange: Exchange) -> asyncio.Future[Reply | None]:
        future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        end = {
            b"/reply": lambda: future.set_result(Reply(203)),
            b"/fail": lambda: future.set_exception(Conflict()),
            b"/cancel": future.cancel,
        }
        asyncio.get_running_loop().call_soon(end[exchange.head.path])
        return future

    async with asking(cell(step, ok)) as ask:
        statuses = [(await ask(path=path).answer())[0] for path in ("/reply", "/fail", "/cancel")]
    assert statuses == [203, 409, 503]


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_switch_goes_on_in_the_other_chain_behind_the_same_step(asking: Asking, waiting: bool) -> None:
    def switch(exchange: Exchange) -> Any:
        exchange.chain = chain(switch, lambda _: Reply(200, body=b"other"))
        if not waiting:
            return SWITCH
        wait = Wait(exchange, lambda _e, _v: SWITCH)
        wait.deliver(None)
        return wait

    async with asking(cell(switch, ok)) as ask:
        assert (await ask().answer())[2] == b"other"


def buffering(limit: int) -> LiveCell:
    return cell(lambda e: e.wire.buffer(e, limit), lambda e: Reply(200, body=b"got " + (e.body or b"")))


@pytest.mark.parametrize("length", [6, -1])
async def test_a_body_is_buffered_whole(asking: Asking, length: int) -> None:
    async with asking(buffering(6)) as ask:
        asked = ask("POST", length=length)
        asked.feed(b"abc")
        asked.feed(b"def")
        asked.end_body()
        assert (await asked.answer())[2] == b"got abcdef"


async def test_a_request_without_a_body_is_buffered_as_nothing(asking: Asking) -> None:
    async with asking(buffering(6)) as ask:
        assert (await ask().answer())[2] == b"got "


@pytest.mark.parametrize("length", [7, -1])
async def test_a_body_beyond_the_limit_is_413(asking: Asking, length: int) -> None:
    """CASES H38"""
    async with asking(buffering(6)) as ask:
        asked = ask("POST", length=length)
        asked.feed(b"abcdefg")
        asked.end_body()
        assert (await asked.answer())[0] == 413


class Echo:
    """A sink that sends back what it gets; its exchange's last step returns a wait that is never delivered."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.gone = False

    def body(self, data: bytes) -> None:
        self.exchange.wire.write(self.exchange, data.upper())

    def body_end(self) -> None:
        self.exchange.wire.end(self.exchange)

    def client_gone(self) -> None:
        self.gone = True

    def pause(self) -> None: ...
    def resume(self) -> None: ...


def echoing(sinks: list[Echo]) -> LiveCell:
    def step(exchange: Exchange) -> Wait:
        sink = Echo(exchange)
        sinks.append(sink)
        chains.start(exchange, Reply(200, body=None), None)
        exchange.wire.pipe(exchange, sink)
        return Wait(exchange, lambda _e, _v: None)

    return cell(step)


async def test_bodies_stream_both_ways(asking: Asking) -> None:
    async with asking(echoing([])) as ask:
        asked = ask("POST", length=-1)
        assert await asked.begun() == 200
        for data in (b"abc", b"def"):
            asked.feed(data)
            assert await asked.piece() == data.upper()
        asked.end_body()
        assert await asked.piece() == b""


async def test_what_was_buffered_is_piped_whole(asking: Asking) -> None:
    live = cell(lambda e: e.wire.buffer(e, 100), echoing([]).current.any.steps[0])  # type: ignore[attr-defined]
    async with asking(live) as ask:
        asked = ask("POST", length=3)
        asked.feed(b"abc")
        asked.end_body()
        assert (await asked.answer())[2] == b"ABC"


async def test_a_client_that_goes_away_is_told_to_the_sink_and_closes_the_exchange(asking: Asking) -> None:
    """CASES A60"""
    sinks: list[Echo] = []
    live = echoing(sinks)
    async with asking(live) as ask:
        asked = ask("POST", length=-1)
        asked.feed(b"abc")
        await asked.begun()
        asked.disconnect()
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
    assert sinks[0].gone
    assert (exchange.done, live.current.left) == (True, 1)  # type: ignore[attr-defined]


async def test_a_disconnect_cancels_a_waiting_coroutine(asking: Asking) -> None:
    """CASES A60"""
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(_exchange: Exchange) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asking(cell(forever)) as ask:
        asked = ask()
        await running.wait()
        asked.disconnect()
        await asyncio.wait_for(cancelled.wait(), 10)


@pytest.mark.parametrize("length", [None, 10])
async def test_a_failure_after_the_head_left_cuts_the_reply(asking: Asking, length: int | None) -> None:
    async def step(exchange: Exchange) -> None:
        chains.start(exchange, Reply(200, body=None), length)
        exchange.wire.write(exchange, b"half")
        await asyncio.sleep(0)
        raise Conflict

    live = cell(step)
    async with asking(live) as ask:
        with pytest.raises(Cut):
            await ask().answer()
    assert len(closed(live)) == 1


@pytest.mark.parametrize("data", [b"short", b"far too long"])
async def test_a_stream_of_another_length_than_announced_is_cut(asking: Asking, data: bytes) -> None:
    def step(exchange: Exchange) -> Wait:
        chains.start(exchange, Reply(200, body=None), 10)
        exchange.wire.write(exchange, data)
        exchange.wire.end(exchange)
        return Wait(exchange, lambda _e, _v: None)

    async with asking(cell(step)) as ask:
        with pytest.raises(Cut):
            await ask().answer()


async def test_a_late_delivery_to_a_finished_exchange_is_dropped(asking: Asking) -> None:
    """CASES A63"""
    waits: list[Wait] = []

    def step(exchange: Exchange) -> Wait:
        waits.append(Wait(exchange, lambda _e, _v: Reply(500)))
        asyncio.get_running_loop().call_soon(chains.fail, exchange, Conflict())
        return waits[0]

    async with asking(cell(step)) as ask:
        assert (await ask().answer())[0] == 409
        waits[0].deliver(None)


async def test_a_field_that_would_break_the_message_is_a_500(asking: Asking) -> None:
    """CASES F22"""
    async with asking(cell(lambda _: Reply(200, [(b"A", b"x\r\nSet-Cookie: y")]))) as ask:
        status, fields, _ = await ask().answer()
    assert (status, b"set-cookie" in fields) == (500, False)


async def test_the_path_is_checked_before_any_step_sees_it(asking: Asking) -> None:
    """CASES P26"""
    live = cell(ok)
    async with asking(live) as ask:
        assert (await ask(path="/a/../b").answer())[0] == 400
    assert live.current.entered == 0  # type: ignore[attr-defined]
    assert [exchange.status for exchange in closed(live)] == [400]
