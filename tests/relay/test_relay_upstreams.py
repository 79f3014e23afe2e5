"""Upstreams with several targets, health, circuits, retries, times and bounds: a started gateway before raw ones."""

from __future__ import annotations

import asyncio
import contextlib
import time as machine
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import BadGateway, GatewayTimeout, Unavailable
from gateway.core.exchange import Exchange
from gateway.core.identity import Identity
from gateway.core.live import LiveCell
from gateway.relay.network import Network
from gateway.relay.pool import HttpUpstream, open_upstream
from gateway.relay.settings import Balancing, Breaking, Ejection, Hashing, Health
from tests import soak
from tests.relay.upstream_harness import Time, black_hole, until
from tests.serving import Client, Routes, cell, chain, connected, served, talking
from tests.upstreams import OK, Answering, Conversation, RecordingUpstream, always, once, upstream

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
FAILING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick"


@contextlib.asynccontextmanager
async def relaying(
    *answering: Answering | None, **options: Any
) -> AsyncIterator[tuple[Client, list[RecordingUpstream], HttpUpstream]]:
    """A client of a gateway that relays everything to these upstreams."""
    async with contextlib.AsyncExitStack() as stack:
        recordings = [await stack.enter_async_context(upstream(each)) for each in answering]
        opened = open_upstream([each.url for each in recordings], **options)
        stack.push_async_callback(opened.close)
        client = await stack.enter_async_context(talking(cell(opened.relay(None, ()))))
        yield client, recordings, opened


async def status(client: Client, request: bytes = GET) -> int:
    client.send(request)
    return (await client.answer())[0]


def counted(recordings: list[RecordingUpstream]) -> list[int]:
    return [len(each.received) for each in recordings]


async def silent(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.closed()


# choosing


async def test_requests_follow_the_weights() -> None:
    async with upstream() as one, upstream() as two:
        opened = open_upstream([(one.url, 3), (two.url, 1)])
        async with talking(cell(opened.relay(None, ()))) as client:
            for _ in range(8):
                await status(client)
        await opened.close()
    assert (len(one.received), len(two.received)) == (6, 2)


@pytest.mark.parametrize(
    ("hashing", "one", "other"),
    [
        (Hashing("header", "X-User"), b"GET /%d HTTP/1.1\r\nHost: a\r\nX-User: 7\r\n\r\n", None),
        (Hashing("cookie", "user"), b"GET /%d HTTP/1.1\r\nHost: a\r\nCookie: a=b; user=7\r\n\r\n", None),
        (Hashing("query", "user"), b"GET /%d?a=b&user=7&c=d HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (Hashing("client-ip"), b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (Hashing("parameter", "id"), b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (Hashing("application"), b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (Hashing("path"), b"GET /same?%d HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ],
    ids=lambda value: value.of if isinstance(value, Hashing) else "",
)
async def test_requests_with_one_key_go_to_one_target(hashing: Hashing, one: bytes, other: None) -> None:
    def identify(exchange: Exchange) -> None:
        exchange.identity = Identity("partner", "test", application="partner")

    async with upstream() as first, upstream() as second, upstream() as third:
        opened = open_upstream([first.url, second.url, third.url], balancing=Balancing(hashing=hashing))
        routes = Routes(any=chain(identify, opened.relay(None, ("id",))), params=(b"7",))
        async with talking(LiveCell(routes)) as client:
            for number in range(6):
                await status(client, one % number)
        await opened.close()
    assert sorted(counted([first, second, third])) == [0, 0, 6]


async def test_typed_calls_are_hashed_by_their_own_request_and_application() -> None:
    async with upstream() as one, upstream() as two:
        for hashing, call in (
            (Hashing("header", "X-User"), {"fields": [(b"X-User", b"7")]}),
            (Hashing("application"), {"application": "partner"}),
        ):
            before = counted([one, two])
            opened = open_upstream([one.url, two.url], balancing=Balancing(hashing=hashing))
            for _ in range(4):
                await opened.fetch(b"GET", b"/", **call)  # type: ignore[arg-type]
            await opened.close()
            after = counted([one, two])
            assert sorted(now - then for now, then in zip(after, before, strict=True)) == [0, 4]


def test_a_parameter_that_the_route_does_not_have_is_refused_when_it_is_built() -> None:
    opened = open_upstream(["http://127.0.0.1:1"], balancing=Balancing(hashing=Hashing("parameter", "id")))
    with pytest.raises(ValueError, match="id"):
        opened.relay(None, ())


async def test_the_least_loaded_target_gets_the_next_request() -> None:
    release = asyncio.Event()

    async def slow(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await release.wait()
            conversation.send(OK)

    balancing = Balancing(least_loaded=True)
    async with relaying(slow, None, balancing=balancing) as (client, recordings, opened):
        address = client.writer.get_extra_info("peername")
        async with contextlib.AsyncExitStack() as stack:
            held = []
            while not recordings[0].received:
                each = await stack.enter_async_context(connected(address))
                each.send(GET)
                await until(lambda: sum(counted(recordings)) > len(held))
                held.append(each)
            before = counted(recordings)
            for _ in range(20):
                assert await status(client) == 200
            assert counted(recordings) == [before[0], before[1] + 20]
            release.set()
            for each in held:
                assert (await each.answer())[0] == 200
        assert [pool.active for pool in opened._rotation.pools] == [0, 0]


# A58: 502 and 504 that never lie


async def test_a58_a_refused_connection_is_502() -> None:
    async with upstream() as recording:
        url = recording.url
    opened = open_upstream([url])
    async with talking(cell(opened.relay(None, ()))) as client:
        assert await status(client) == 502
        assert await status(client, POST) == 502
    await opened.close()


async def test_a58_a_black_hole_is_504_after_the_connect_timeout() -> None:
    async with black_hole() as port:
        opened = open_upstream([f"http://127.0.0.1:{port}"], connect_timeout=0.2, retries=0)
        with pytest.raises(GatewayTimeout, match="accept"):
            await opened.fetch(b"GET", b"/")
        await opened.close()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", None),
    ],
)
@pytest.mark.parametrize("watching", [False, True])
async def test_a58_a_response_that_breaks_off_is_502_or_cut_and_a_post_is_sent_once(
    response: bytes, expected: int | None, watching: bool
) -> None:
    options: dict[str, Any] = {"retries": 3, "retry_on": frozenset((502,))} if watching else {"retries": 3}
    async with relaying(once(response), **options) as (client, (recording,), _):
        client.send(POST)
        if expected is None:
            with pytest.raises(asyncio.IncompleteReadError):
                await client.answer()
        else:
            assert (await client.answer())[0] == expected
    assert len(recording.received) == 1


def trickling(begun: bytes) -> Answering:
    """One byte at a time behind what was begun, until the gateway has enough of it."""

    async def trickles(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(begun)
        with contextlib.suppress(ConnectionError):
            while not conversation.writer.is_closing():
                conversation.send(b"x")
                await conversation.writer.drain()
                await asyncio.sleep(0.02)

    return trickles


async def test_a58_one_byte_at_a_time_ends_by_the_total_timeout_and_is_cut() -> None:
    async with relaying(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), total_timeout=0.3) as (
        client,
        _,
        opened,
    ):
        client.send(GET)
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()
        assert opened._rotation.active == 0


async def test_a58_a_head_that_trickles_is_504_by_its_timeout() -> None:
    async with relaying(trickling(b"HTTP/1.1 200 OK\r\nX: "), timeout=0.3) as (client, _, _opened):
        assert await status(client) == 504


async def test_a58_the_total_timeout_covers_the_wait_for_a_connection() -> None:
    async with relaying(silent, total_timeout=0.2, max_connections=1) as (client, (recording,), opened):
        client.send(GET)
        await recording.heard()
        with pytest.raises(GatewayTimeout, match="took too long"):
            await opened.fetch(b"GET", b"/")
        assert (await client.answer())[0] == 504
        assert opened._rotation.network.deadlines._timed <= set(opened._rotation.pools)


async def test_a58_a_client_that_is_late_with_its_body_is_not_told_that_the_upstream_was() -> None:
    async with relaying(silent, total_timeout=0.2) as (client, _, _opened):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert (await client.answer())[0] == 408


@pytest.mark.soak
async def test_a58_timeouts_are_within_a_tenth(record: soak.Record) -> None:
    took = {}
    for options, url in (({"timeout": 3.0}, None), ({"total_timeout": 3.0}, None), ({"connect_timeout": 3.0}, "hole")):
        async with upstream(silent) as recording, black_hole() as hole:
            opened = open_upstream([f"http://127.0.0.1:{hole}" if url else recording.url], retries=0, **options)
            started = machine.monotonic()
            with pytest.raises(GatewayTimeout):
                await opened.fetch(b"GET", b"/")
            took[next(iter(options))] = machine.monotonic() - started
            await opened.close()
    record("timeouts of 3 s", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    assert all(2.7 <= seconds <= 3.3 for seconds in took.values())


# A59: circuits


async def test_a59_an_open_circuit_is_503_with_retry_after_and_half_open_admits_one() -> None:
    answers = [FAILING]
    gate = asyncio.Event()

    async def sick(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            if answers[0] is OK:
                await gate.wait()
            conversation.send(answers[0])

    time = Time()
    balancing = Balancing(breaking=Breaking(failures=3, open=30))
    async with relaying(sick, balancing=balancing, clock=time) as (client, (recording,), opened):
        assert [await status(client) for _ in range(3)] == [503] * 3
        client.send(GET)
        refused, fields, body = await client.answer()
        assert (refused, fields[b"retry-after"], b"sick" in body) == (503, b"30", False)
        assert len(recording.received) == 3
        answers[0] = OK
        time.advance(30)
        await until(lambda: opened._rotation.choose(None) is not None)
        async with contextlib.AsyncExitStack() as stack:
            address = client.writer.get_extra_info("peername")
            probe = await stack.enter_async_context(connected(address))
            probe.send(GET)
            await recording.heard(4)
            assert [await status(client) for _ in range(5)] == [503] * 5
            gate.set()
            assert (await probe.answer())[0] == 200
        assert [await status(client) for _ in range(5)] == [200] * 5
    assert len(recording.received) == 9


async def test_a59_a_probe_whose_client_goes_away_lets_the_next_one_through() -> None:
    answers: list[Answering] = [always(FAILING)]

    async def turns(conversation: Conversation) -> None:
        await answers[0](conversation)

    time = Time()
    balancing = Balancing(breaking=Breaking(failures=1, open=30))
    async with relaying(turns, balancing=balancing, clock=time) as (client, (recording,), opened):
        assert await status(client) == 503
        time.advance(30)
        await until(lambda: opened._rotation.choose(None) is not None)
        answers[0] = silent
        async with connected(client.writer.get_extra_info("peername")) as probe:
            probe.send(GET)
            await recording.heard(2)
            assert opened._rotation.choose(None) is None
        answers[0] = always()
        await until(lambda: opened._rotation.choose(None) is not None)
        assert await status(client) == 200
        assert opened._rotation.active == 0


async def test_a59_a_thousand_cycles_over_sockets_leak_nothing() -> None:
    fails = True

    async def flaps(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            conversation.send(FAILING if fails else OK)

    time = Time()
    balancing = Balancing(breaking=Breaking(failures=1, open=30))
    async with upstream(flaps) as recording:
        opened = open_upstream([recording.url], balancing=balancing, clock=time, timeout=100_000)
        rotation = opened._rotation
        for _ in range(1000):
            fails = True
            assert (await opened.fetch(b"GET", b"/")).status == 503
            with pytest.raises(Unavailable):
                await opened.fetch(b"GET", b"/")
            fails = False
            time.advance(30)
            rotation.check(0)
            assert (await opened.fetch(b"GET", b"/")).status == 200
        (pool,) = rotation.pools
        assert (pool.active, rotation.active, len(pool._busy), len(pool._waiting), len(pool._connecting)) == (0,) * 5
        assert (pool.size, len(pool._hints), len(pool._worn)) == (1, 0, 0)
        await opened.close()
        await until(lambda: not rotation.network.deadlines._timed)
    assert len(recording.received) == 2000


# A61 and retries


async def test_a61_attempts_are_at_most_1_2_times_the_requests() -> None:
    async def closes(conversation: Conversation) -> None:
        await conversation.request()
        conversation.close()

    async with relaying(closes, closes, retries=5) as (client, recordings, _):
        for _ in range(200):
            assert await status(client) == 502
    assert 200 < sum(counted(recordings)) <= 240


async def test_a61_connections_that_are_always_stale_cost_the_budget_too() -> None:
    async def once_each(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.request()
        conversation.reset()

    async with relaying(once_each, retries=5) as (client, (recording,), _):
        answers = Counter([await status(client) for _ in range(200)])
    assert len(recording.received) <= 240
    assert answers[200] >= 100


async def test_a_status_is_retried_at_another_target_for_safe_methods_only() -> None:
    options = {"retries": 1, "retry_on": frozenset((503,))}
    async with relaying(always(FAILING), None, **options) as (client, recordings, opened):
        assert [await status(client) for _ in range(4)] == [200] * 4
        posts = [await status(client, POST) for _ in range(4)]
        assert sorted(posts) == [200, 200, 503, 503]
        puts = [await status(client, POST.replace(b"POST", b"PUT")) for _ in range(2)]
        assert sorted(puts) == [200, 503]
        assert opened._rotation.active == 0
    assert counted(recordings)[1] == 4 + 2 + 1


async def test_the_last_answer_is_passed_on_when_retries_end() -> None:
    options = {"retries": 2, "retry_on": frozenset((503,))}
    async with relaying(always(FAILING), **options) as (client, (recording,), _):
        client.send(GET)
        assert (await client.answer())[0::2] == (503, b"sick")
    assert len(recording.received) == 3


async def test_a_streamed_answer_that_is_retried_never_reaches_the_client() -> None:
    async def half(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 503 Sick\r\nContent-Length: 100000\r\n\r\nsick")
        await conversation.closed()

    async with relaying(half, None, retries=1, retry_on=frozenset((503,))) as (client, _, opened):
        for _ in range(2):
            client.send(GET)
            assert (await client.answer())[0::2] == (200, b"ok")
        assert opened._rotation.active == 0


# health and ejection


async def test_an_unhealthy_target_gets_no_requests_until_it_is_well() -> None:
    well = False

    async def answer(conversation: Conversation) -> None:
        while True:
            received = await conversation.request()
            conversation.send(OK if well or received.target != b"/health?x=1" else FAILING)

    time = Time()
    network = Network(clock=time, sleep=time.sleep)
    balancing = Balancing(health=Health(b"/health?x=1", interval=10, healthy=2, unhealthy=2))
    async with relaying(answer, None, balancing=balancing, network=network) as (client, (sick, fine), opened):
        states = [pool.state for pool in opened._rotation.pools]
        await until(lambda: states[0].checks == states[1].checks == 1)
        for _ in range(4):
            assert await status(client) == 200
        assert [received.target for received in sick.received] == [b"/health?x=1"]
        well = True
        for round_ in (2, 3):
            await time.pass_(11)
            await until(lambda expected=round_: states[0].checks == expected)  # type: ignore[misc]
        before = len(sick.received)
        for _ in range(4):
            assert await status(client) == 200
        assert len(sick.received) == before + 2
    assert sick.received[0].get(b"host") == sick.url[7:].encode()
    assert len(fine.received) >= 4


async def test_a_health_check_that_hangs_is_bad() -> None:
    time = Time()
    network = Network(clock=time, sleep=time.sleep)
    async with upstream(silent) as recording:
        opened = open_upstream(
            [recording.url], balancing=Balancing(health=Health(b"/health", timeout=0.05)), network=network
        )
        (state,) = [pool.state for pool in opened._rotation.pools]
        await until(lambda: state.failed_checks == 1)
        assert not state.healthy
        await opened.close()


async def test_a_health_check_ends_with_its_upstream() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def hangs(conversation: Conversation) -> None:
        await conversation.request()
        asked.set()
        await conversation.closed()
        gone.set()

    async with upstream(hangs) as recording:
        opened = open_upstream([recording.url], balancing=Balancing(health=Health(b"/health", timeout=60)))
        await asyncio.wait_for(asked.wait(), 10)
        await opened.close()
        await asyncio.wait_for(gone.wait(), 10)
        await until(lambda: not opened._rotation.network.deadlines._timed)


async def test_a_target_that_answers_gateway_errors_in_a_row_is_left_out() -> None:
    balancing = Balancing(ejection=Ejection(failures=2))
    async with relaying(always(FAILING), None, balancing=balancing) as (client, recordings, opened):
        statuses = [await status(client) for _ in range(12)]
        (state, _) = opened.states()
        assert (state["ejected"], state["ejections"], state["failed"]) == (True, 1, 2)
    assert Counter(statuses) == {200: 10, 503: 2}
    assert counted(recordings) == [2, 10]


async def test_a_dead_target_costs_one_request_in_a_while_and_none_fails() -> None:
    async with upstream() as gone:
        url = gone.url
    async with upstream() as recording:
        opened = open_upstream([url, recording.url], retries=0)
        async with talking(cell(opened.relay(None, ()))) as client:
            assert [await status(client, POST) for _ in range(20)] == [200] * 20
        await opened.close()


# bounds


async def test_who_waits_for_a_connection_and_goes_away_is_never_sent() -> None:
    """CASES A60, A63"""
    release = asyncio.Event()

    async def slow(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await release.wait()
            conversation.send(OK)

    for balancing in (Balancing(), Balancing(least_loaded=True)):
        release.clear()
        options: dict[str, Any] = {"max_connections": 1, "balancing": balancing}
        async with relaying(slow, **options) as (client, (recording,), opened):
            client.send(GET)
            await recording.heard()
            (pool,) = opened._rotation.pools
            async with connected(client.writer.get_extra_info("peername")) as other:
                other.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
                await until(lambda pool=pool: pool._waiting)  # type: ignore[misc]
            await until(lambda pool=pool: not pool._waiting)  # type: ignore[misc]
            release.set()
            assert (await client.answer())[0] == 200
            assert await status(client) == 200
        assert [received.target for received in recording.received] == [b"/", b"/"]


async def test_a_request_waits_for_a_connection_only_so_long() -> None:
    time = Time()
    async with relaying(silent, max_connections=1, queue_timeout=7, timeout=1000, clock=time) as (
        client,
        (up,),
        opened,
    ):
        client.send(GET)
        await up.heard()
        waiting = asyncio.create_task(opened.fetch(b"GET", b"/"))
        await until(lambda: opened._rotation.pools[0]._waiting)
        time.advance(6.9)
        await asyncio.sleep(0.25)
        assert not waiting.done()
        time.advance(0.2)
        with pytest.raises(Unavailable) as refused:
            await waiting
        assert refused.value.headers == ((b"Retry-After", b"1"),)


async def test_a_full_target_passes_requests_on_to_another() -> None:
    async with (
        relaying(silent, None, max_connections=1, queue=0) as (client, recordings, _),
        connected(client.writer.get_extra_info("peername")) as other,
    ):
        other.send(GET)
        await recordings[0].heard()
        assert [await status(client) for _ in range(3)] == [200] * 3


def keeping(field: bytes) -> Answering:
    return always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + field + b"\r\nok")


@pytest.mark.parametrize(
    ("field", "options", "passed", "connections"),
    [
        (b"", {"keep": 20}, 19, 1),
        (b"", {"keep": 20}, 21, 2),
        (b"Keep-Alive: timeout=5, max=100\r\n", {"keep": 20}, 3.9, 1),
        (b"Keep-Alive: timeout=5, max=100\r\n", {"keep": 20}, 4.1, 2),
        (b"Keep-Alive: timeout=1\r\n", {}, 0.1, 2),
        (b"Keep-Alive: timeout=500\r\n", {"keep": 20}, 21, 2),
        (b"Keep-Alive: timeout=x\r\n", {}, 10, 1),
        (b"", {"max_age": 60, "keep": 1000}, 59, 1),
        (b"", {"max_age": 60, "keep": 1000}, 61, 2),
        (b"", {"max_requests": 1}, 0, 2),
        (b"", {"max_requests": 2}, 0, 1),
    ],
)
async def test_f23_a_connection_is_used_again_only_as_long_as_both_sides_keep_it(
    field: bytes, options: dict[str, Any], passed: float, connections: int
) -> None:
    time = Time()
    async with upstream(keeping(field)) as recording:
        opened = open_upstream([recording.url], clock=time, **options)
        await opened.fetch(b"GET", b"/")
        time.advance(passed)
        opened._rotation.network.deadlines.now = time.now
        await opened.fetch(b"GET", b"/")
        await opened.close()
    assert recording.connections == connections


async def test_a_unix_socket_is_a_target(tmp_path: Path) -> None:
    async with upstream(socket=f"{tmp_path}/app.sock") as recording:
        opened = open_upstream([recording.url + ":/base"])
        async with talking(cell(opened.relay(None, ()))) as client:
            assert [await status(client) for _ in range(3)] == [200] * 3
        await opened.close()
    assert recording.received[0].raw_head.startswith(b"GET /base/ HTTP/1.1\r\nHost: localhost\r\n")
    assert recording.connections == 1


async def test_a_unix_socket_that_is_not_there_is_502(tmp_path: Path) -> None:
    opened = open_upstream([f"unix:{tmp_path}/none.sock"])
    with pytest.raises(BadGateway):
        await opened.fetch(b"GET", b"/")
    await opened.close()


async def test_m73_a_redirect_is_passed_on_and_never_followed() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with relaying(always(redirect)) as (client, (recording,), opened):
        client.send(GET)
        answered, fields, _ = await client.answer()
        assert (answered, fields[b"location"]) == (302, b"http://169.254.169.254/")
        assert (await opened.fetch(b"GET", b"/")).status == 302
    assert len(recording.received) == 2


async def test_a60_aborts_at_any_moment_give_everything_back() -> None:
    balancing = Balancing(least_loaded=True, breaking=Breaking(), ejection=Ejection())
    options: dict[str, Any] = {"balancing": balancing, "total_timeout": 60, "retries": 1, "max_connections": 4}

    async def slow(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(10):
                await asyncio.sleep(0)
                conversation.send(b"x" * 10_000)

    async with upstream(slow) as one, upstream(slow) as two:
        opened = open_upstream([one.url, two.url], **options)
        async with served(cell(opened.relay(None, ()))) as address:
            for turns in range(60):
                async with connected(address) as client:
                    client.send(GET)
                    for _ in range(turns):
                        await asyncio.sleep(0)
            rotation = opened._rotation
            await until(lambda: rotation.active == 0)
            assert all(not pool._busy and not pool._waiting and not pool.active for pool in rotation.pools)
            assert rotation.network.deadlines._timed <= set(rotation.pools)
            async with connected(address) as client:
                assert await status(client) == 200
        await opened.close()


async def test_a_client_that_is_slow_with_its_body_opens_no_circuit() -> None:
    """An upstream that loses its patience with it closes the connection: that is no failure of the target."""

    async def impatient(conversation: Conversation) -> None:
        await conversation.head()
        conversation.close()

    balancing = Balancing(breaking=Breaking(failures=1))
    async with relaying(impatient, balancing=balancing) as (client, _, opened):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert (await client.answer())[0] == 502
        assert opened.states()[0]["circuit"] == 0


async def test_a_client_that_reads_slowly_opens_no_circuit() -> None:
    """The total timeout of an answer that began well is no failure of the target."""

    async def large(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 50_000_000)
        await conversation.closed()

    balancing = Balancing(breaking=Breaking(failures=1))
    async with relaying(large, balancing=balancing, total_timeout=0.2) as (client, _, opened):
        client.send(GET)
        await client.head()
        await until(lambda: opened._rotation.active == 0)
        assert opened.states()[0]["circuit"] == 0


async def test_a_retry_whose_client_is_gone_asks_nobody() -> None:
    """CASES A61: the first answer streams on a connection that has served before, the other target does not accept."""

    async def sick_and_long(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.request()
        conversation.send(b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await conversation.closed()

    async with upstream(sick_and_long) as sick, black_hole() as port:
        targets = [(sick.url, 5), (f"http://127.0.0.1:{port}", 1)]
        opened = open_upstream(targets, retries=1, retry_on=frozenset((503,)), connect_timeout=60.0)
        _, other = opened._rotation.pools
        async with talking(cell(opened.relay(None, ()))) as client:
            assert await status(client) == 200
            client.send(GET)
            await until(lambda: other._waiting)
            await client.close()
            await until(lambda: not other._waiting)
        await opened.close()


async def test_a_thousand_targets_that_are_all_full_are_503() -> None:
    targets = [f"http://127.0.{index // 200}.{index % 200 + 1}:9" for index in range(1000)]
    opened = open_upstream(targets, max_connections=0, queue=0)
    with pytest.raises(Unavailable, match="Too many requests wait"):
        await opened.fetch(b"GET", b"/")
    await opened.close()
