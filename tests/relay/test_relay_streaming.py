"""The relay over real sockets: a started gateway in front of a recording raw upstream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core import headers
from gateway.core.exchange import Exchange, Reply, Step
from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.relay.pool import open_upstream
from tests.serving import Client, Observed, Routes, cell, chain, connected, served, talking
from tests.upstreams import OK, Answering, Conversation, RecordingUpstream, always, once, upstream

GET = b"GET /a/b?x=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n"


@contextlib.asynccontextmanager
async def relaying(
    answering: Answering | None = None, *before: Step, parts: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Client, RecordingUpstream]]:
    """A client of a gateway that relays everything to the upstream, after the steps `before`."""
    async with upstream(answering) as recording:
        opened = open_upstream([recording.url], **options)
        live = cell(*before, opened.relay(None, ()), **parts or {})
        try:
            async with talking(live) as client:
                yield client, recording
        finally:
            await opened.close()


def _live(step: Step) -> LiveCell:
    return LiveCell(Routes(any=chain(step)), ids=id_source("id"), observe=Observed())


async def test_path_and_query_reach_the_upstream_byte_for_byte() -> None:
    """CASES P26-P27"""
    async with relaying() as (client, recording):
        client.send(b"GET /a;x/b%20c/%0a/?q=%2F/../x HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, body = await client.answer()
    assert (status, body) == (200, b"ok")
    assert recording.received[0].target == b"/a;x/b%20c/%0a/?q=%2F/../x"


AMBIGUOUS = b"/pub/../admin /pub/%2e%2e/admin /pub/..;/admin /a%2fb /a%5cb /a//b /%61dmin /a%00 /a%zz /a%c0%ae /a\\b /."


@pytest.mark.parametrize("path", AMBIGUOUS.split())
async def test_a_path_that_servers_read_in_different_ways_never_reaches_the_upstream(path: bytes) -> None:
    """CASES P26, P27, P29"""
    async with relaying() as (client, recording):
        client.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, _ = await client.answer()
    assert status == 400
    assert recording.received == []


async def test_a_rewritten_path_is_checked_as_a_received_one_is() -> None:
    """CASES P30"""
    async with upstream() as recording:
        opened = open_upstream([recording.url + "/base"])
        routes = Routes(any=chain(opened.relay("/x/{one}{two}/**", ("one", "two", "**"))), params=(b"a", b"b", b"c/d"))
        async with talking(LiveCell(routes)) as client:
            client.send(GET)
            assert (await client.answer())[0] == 200
            routes.params = (b".", b".", b"admin")
            client.send(GET)
            assert (await client.answer())[0] == 400
        await opened.close()
    assert [received.target for received in recording.received] == [b"/base/x/ab/c/d?x=1"]


async def test_hop_by_hop_and_identity_fields_are_stripped_and_ours_are_set() -> None:
    """CASES F20, H32, H33, H34, H35, H36"""
    async with relaying() as (client, recording):
        client.send(
            b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Hop, X-Request-Id, Host, Authorization\r\n"
            b"X-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nKeep-Alive: 5\r\n"
            b"Authorization: Basic x\r\n"
            b"X-Penstock-Application: evil\r\nX-Consumer-Id: evil\r\nX_Penstock_Application: evil\r\n"
            b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: evil\r\n"
            b"X-Original-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\nProxy: evil\r\nX-Own: kept\r\n\r\n"
        )
        await client.answer()
        received = recording.received[0]
    assert received.fields == [
        (b"host", recording.url[7:].encode()),
        (b"authorization", b"Basic x"),
        (b"x-own", b"kept"),
        (b"forwarded", b'for=127.0.0.1;host="shop.example";proto=http'),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"shop.example"),
        (b"via", b"1.1 penstock"),
        (b"x-request-id", b"id-1"),
    ]


async def test_what_the_gateway_sets_cannot_be_named_away() -> None:
    """CASES H32"""

    def identify(exchange: Exchange) -> None:
        exchange.edits.drop |= {b"x-api-key"}
        exchange.edits.add += headers.line(b"X-Penstock-Application", b"partner")

    async with relaying(None, identify) as (client, recording):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Penstock-Application\r\nX-Api-Key: hush\r\n\r\n")
        await client.answer()
    assert recording.received[0].get(b"x-penstock-application") == b"partner"
    assert recording.received[0].get(b"x-api-key") is None


async def test_edits_of_path_and_query_are_applied() -> None:
    def edit(exchange: Exchange) -> None:
        exchange.edits.path, exchange.edits.query = b"/other", b"y=2"

    async with relaying(None, edit) as (client, recording):
        client.send(GET)
        await client.answer()
    assert recording.received[0].target == b"/other?y=2"


@pytest.mark.parametrize(
    ("path", "query"),
    [(b"/a/../b", None), (b"/a HTTP/1.1\r\nX: y", None), (b"a", None), (None, b"x y"), (None, b"x\r\n")],
)
async def test_a_step_cannot_write_what_a_client_may_not_send(path: bytes | None, query: bytes | None) -> None:
    """CASES F22, P30"""

    def edit(exchange: Exchange) -> None:
        exchange.edits.path, exchange.edits.query = path, query

    async with relaying(None, edit) as (client, recording):
        client.send(GET)
        assert (await client.answer())[0] == 400
    assert recording.received == []


async def test_a_step_that_leaves_nonsense_fails_its_own_request_alone() -> None:
    def edit(exchange: Exchange) -> None:
        if exchange.head.path == b"/bad":
            exchange.edits.add.append(7)  # type: ignore[arg-type]

    async with relaying(None, edit) as (client, recording):
        for path, status in ((b"/bad", 500), (b"/good", 200)):
            client.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer())[0] == status
    assert [received.target for received in recording.received] == [b"/good"]


async def test_a_response_comes_back_with_its_fields_and_without_those_of_the_hop() -> None:
    response = (
        b"HTTP/1.1 404 Gone Away\r\nServer: x\r\nKeep-Alive: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nDate: then\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 3\r\n\r\nabc"
    )
    async with relaying(always(response)) as (client, _):
        client.send(GET)
        raw = await client.reader.readuntil(b"\r\n\r\nabc")
    assert raw.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert raw.count(b"Set-Cookie: ") == 2
    assert raw.count(b"Date: ") == 1
    assert b"Server: penstock\r\n" in raw
    assert b"X-Hop" not in raw
    assert b"Keep-Alive" not in raw
    assert b"Via: 1.1 penstock\r\n" in raw


async def test_connections_to_the_upstream_are_used_again() -> None:
    async with relaying() as (client, recording):
        for _ in range(5):
            client.send(GET)
            await client.answer()
    assert (len(recording.received), recording.connections) == (5, 1)


COUNTED = b"Content-Length: 6\r\n\r\nabcdef"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\n\r\n"


@pytest.mark.parametrize("framing", [COUNTED, CHUNKED])
async def test_a_request_body_is_streamed_in_its_own_framing(framing: bytes) -> None:
    """CASES H38"""
    async with relaying() as (client, recording):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
        await client.answer()
    assert recording.received[0].body == b"abcdef"
    assert (recording.received[0].get(b"transfer-encoding") is None) == framing.startswith(b"Content-Length")


async def test_a_large_body_streams_both_ways() -> None:
    data = bytes(range(256)) * 8192

    async def echo(conversation: Conversation) -> None:
        received = await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(received.body), 100_000):
            piece = received.body[start : start + 100_000]
            conversation.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        conversation.send(b"0\r\nX-Trailer: dropped\r\n\r\n")

    async with relaying(echo) as (client, _):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        status, fields, body = await client.answer()
    assert (status, body == data) == (200, True)
    assert fields[b"transfer-encoding"] == b"chunked"


async def test_continue_is_sent_once_the_upstream_takes_the_body() -> None:
    """CASES F19"""
    async with relaying() as (client, recording):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.head())[0] == 100
        client.send(b"abc")
        assert (await client.answer())[0] == 200
    assert recording.received[0].body == b"abc"
    assert recording.received[0].get(b"expect") is None


async def test_interim_responses_are_passed_on_but_for_continue() -> None:
    """RFC 9110 section 15.2; Expect is answered by the gateway and never goes on."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: X-A\r\nX-A: y\r\n\r\n"
    async with relaying(always(interim + OK)) as (client, _):
        client.send(GET)
        assert await client.head() == (103, {b"link": b"x", b"via": b"1.1 penstock"})
        assert (await client.head())[0] == 200


BROKEN = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "extra bytes": OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "garbage": b"SSH-2.0-OpenSSH\r\n",
    "bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 2\n\r\n\r\nok",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "large head": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN.keys())
async def test_an_ambiguous_response_is_502_and_its_connection_never_used_again(response: bytes) -> None:
    """CASES F23"""
    async with relaying(always(response)) as (client, recording):
        for _ in range(2):
            client.send(GET)
            status, _, body = await client.answer()
            assert status == 502
            assert b"evil" not in body
    assert recording.connections == 2


async def test_a_response_that_nobody_asked_for_is_never_given_to_a_request() -> None:
    """CASES F23"""

    async def eager(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        if gone.is_set():
            await conversation.closed()
        await early.wait()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await conversation.closed()
        gone.set()

    early, gone = asyncio.Event(), asyncio.Event()
    async with relaying(eager) as (client, recording):
        client.send(GET)
        await client.answer()
        early.set()
        await asyncio.wait_for(gone.wait(), 10)
        client.send(GET)
        assert (await client.answer())[2] == b"ok"
    assert recording.connections == 2


async def test_an_early_response_is_passed_on_and_the_connection_never_used_again() -> None:
    async def early(conversation: Conversation) -> None:
        await conversation.head()
        conversation.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await conversation.closed()

    async with relaying(early) as (client, recording):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        status, fields, body = await client.answer()
        assert await client.rest() == b""
    assert (status, fields[b"connection"], body) == (403, b"close", b"no")
    assert recording.connections == 1


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_a_cut_response_never_ends_cleanly(response: bytes) -> None:
    """CASES A58"""
    async with relaying(once(response)) as (client, _):
        client.send(GET)
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


async def test_a_response_that_ends_with_its_connection_is_framed_for_the_client() -> None:
    async with relaying(once(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as (client, _):
        client.send(GET)
        _, fields, body = await client.answer()
    assert (fields[b"transfer-encoding"], body) == (b"chunked", b"all of it")


async def test_a_reset_response_without_a_length_never_ends_cleanly() -> None:
    """CASES A58"""

    async def reset(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await conversation.writer.drain()
        await passed.wait()
        conversation.reset()

    passed = asyncio.Event()
    async with relaying(reset) as (client, _):
        client.send(GET)
        await client.head()
        passed.set()
        with pytest.raises(asyncio.IncompleteReadError):
            _ = [chunk async for chunk in client.chunks()]


async def test_an_http_1_0_client_is_cut_by_a_reset() -> None:
    """CASES A58: its body ends with the connection, so that a plain end would be a lie"""

    async def cut(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await passed.wait()

    passed = asyncio.Event()
    async with relaying(cut) as (client, _):
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.reader.readuntil(b"half")
        passed.set()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(), 10)


async def test_a_refused_connection_is_502() -> None:
    """CASES A58"""
    async with upstream() as recording:
        url = recording.url
    opened = open_upstream([url], retries=0)
    async with talking(cell(opened.relay(None, ()))) as client:
        client.send(GET)
        status, _, body = await client.answer()
    assert (status, b"cannot be reached" in body) == (502, True)
    await opened.close()


async def test_a_request_goes_to_another_target_when_one_cannot_be_reached() -> None:
    async with upstream() as gone:
        url = gone.url
    async with upstream() as recording:
        opened = open_upstream([url, recording.url], retries=1)
        async with talking(cell(opened.relay(None, ()))) as client:
            for _ in range(4):
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                assert (await client.answer())[0] == 200
        await opened.close()
    assert [received.body for received in recording.received] == [b"abc"] * 4


async def test_targets_are_taken_in_turn() -> None:
    async with upstream() as one, upstream() as two:
        opened = open_upstream([one.url, two.url])
        async with talking(cell(opened.relay(None, ()))) as client:
            for _ in range(6):
                client.send(GET)
                await client.answer()
        await opened.close()
    assert (len(one.received), len(two.received)) == (3, 3)


def stale(then: bytes = OK) -> tuple[Answering, asyncio.Event]:
    """The first connection serves one request and closes on the second without a word."""
    count = 0

    async def answer(conversation: Conversation) -> None:
        nonlocal count
        count += 1
        first = count == 1
        await conversation.request()
        conversation.send(OK)
        await conversation.request()
        if first:
            seen.set()
            conversation.reset()
            return
        conversation.send(then)

    seen = asyncio.Event()
    return answer, seen


async def test_an_idempotent_request_survives_a_stale_connection() -> None:
    """CASES A58"""
    answer, seen = stale()
    async with relaying(answer, retries=0) as (client, recording):
        for _ in range(2):
            client.send(GET)
            assert (await client.answer())[0] == 200
    assert seen.is_set()
    assert len(recording.received) == 3


async def test_a_post_is_sent_once() -> None:
    """CASES A58"""
    answer, _ = stale()
    async with relaying(answer) as (client, recording):
        for expected in (200, 502):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            assert (await client.answer())[0] == expected
    assert len(recording.received) == 2


async def test_a_put_with_a_body_is_sent_again_whole() -> None:
    answer, _ = stale()
    async with relaying(answer, retries=0) as (client, recording):
        for _ in range(2):
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            assert (await client.answer())[0] == 200
    assert [received.body for received in recording.received] == [b"abc"] * 3


async def test_a_silent_upstream_is_504() -> None:
    """CASES A58"""

    async def silent(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()

    async with relaying(silent, timeout=0.05) as (client, recording):
        client.send(GET)
        assert (await client.answer())[0] == 504
    assert len(recording.received) == 1


async def test_a_response_that_stops_is_cut() -> None:
    """CASES A58"""

    async def stops(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await conversation.closed()

    async with relaying(stops, idle_timeout=0.05) as (client, _):
        client.send(GET)
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


async def test_a_client_that_goes_away_ends_the_upstream_request() -> None:
    """CASES A60"""

    async def waits(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()
        gone.set()

    gone = asyncio.Event()
    async with upstream(waits) as recording:
        opened = open_upstream([recording.url])
        live = cell(opened.relay(None, ()))
        async with served(live) as address:
            async with connected(address) as client:
                client.send(GET)
                await recording.heard()
            await asyncio.wait_for(gone.wait(), 10)
        await opened.close()
    (exchange,) = live.observe.exchanges  # type: ignore[attr-defined]
    assert exchange.status == 499


async def test_more_requests_than_connections_wait_their_turn() -> None:
    async with relaying(max_connections=1) as (client, recording), contextlib.AsyncExitStack() as stack:
        address = client.writer.get_extra_info("peername")
        clients = [await stack.enter_async_context(connected(address)) for _ in range(8)]
        for each in clients:
            each.send(GET)
        statuses = [(await each.answer())[0] for each in clients]
    assert statuses == [200] * 8
    assert recording.connections == 1


async def test_a_full_queue_is_503() -> None:
    async def waits(conversation: Conversation) -> None:
        await conversation.request()
        await release.wait()
        conversation.send(OK)

    release = asyncio.Event()
    async with relaying(waits, max_connections=1, queue=0) as (client, recording):
        client.send(GET)
        await recording.heard()
        async with connected(client.writer.get_extra_info("peername")) as other:
            other.send(GET)
            status, fields, _ = await other.answer()
        release.set()
        assert (await client.answer())[0] == 200
    assert (status, fields[b"retry-after"]) == (503, b"1")


def upper(_exchange: Exchange) -> Any:
    return lambda data, last: data.upper() + (b"!" if last else b"")


async def test_taps_change_chunks_both_ways() -> None:
    parts = {"request_taps": (upper,), "response_taps": (upper, upper)}
    async with relaying(parts=parts) as (client, recording):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        _, fields, body = await client.answer()
    assert recording.received[0].body == b"ABC!"
    assert body == b"OK!!"
    assert b"content-length" not in fields


async def test_a_tap_that_fails_cuts_the_reply() -> None:
    def failing(_exchange: Exchange) -> Any:
        def tap(_data: bytes, _last: bool) -> bytes:
            raise ValueError("broken")

        return tap

    async with relaying(parts={"response_taps": (failing,)}) as (client, _):
        client.send(GET)
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


def _shout(_exchange: Exchange, reply: Reply) -> None:
    assert reply.body is not None
    reply.body = reply.body.upper() * 2


async def test_a_collected_response_may_be_changed_by_an_after() -> None:
    async with relaying(None, lambda _: None, parts={"afters": ((0, _shout),), "collect": 100, "readers": 1}) as (
        client,
        _,
    ):
        client.send(GET)
        _, fields, body = await client.answer()
    assert (fields[b"content-length"], body) == (b"4", b"OKOK")


async def test_a_response_too_large_to_collect_is_502() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101
    parts = {"afters": ((0, _shout),), "collect": 100, "readers": 1}
    async with relaying(always(response), lambda _: None, parts=parts) as (client, _):
        client.send(GET)
        assert (await client.answer())[0] == 502


@pytest.mark.parametrize(
    ("method", "status", "told"), [(b"HEAD", b"200 OK", True), (b"GET", b"304 Not Modified", True)]
)
async def test_a_response_without_a_body_keeps_its_length_and_both_connections(
    method: bytes, status: bytes, told: bool
) -> None:
    response = b"HTTP/1.1 " + status + b"\r\nContent-Length: 42\r\n\r\n"
    async with relaying(always(response)) as (client, recording):
        for _ in range(2):
            client.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            answered, fields, _ = await client.answer(method)
            assert (answered, fields.get(b"content-length") == b"42") == (int(status[:3]), told)
    assert recording.connections == 1


async def test_nothing_of_a_streamed_response_follows_where_a_step_fails_on_its_head() -> None:
    async def trickles(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n")
        await conversation.closed()

    def broken(_exchange: Exchange, _reply: Reply) -> None:
        raise ValueError("a mistake")

    async with relaying(trickles, lambda _exchange: None, parts={"afters": ((0, broken),)}) as (client, _):
        client.send(GET)
        status, _, body = await client.answer()
    assert (status, b'"code":"internal_error"' in body, b"secret" in body) == (500, True, False)
