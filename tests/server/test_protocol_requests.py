"""Requests and replies over a real socket: framing refusals, keep-alive, pipelining, reply framing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.exchange import Exchange, Reply
from gateway.core.live import LiveCell
from tests.serving import cell, connected, served, talking


def hello(exchange: Exchange) -> Reply:
    return Reply(200, [(b"Content-Type", b"text/plain")], b"hello " + exchange.head.path)


def echo() -> LiveCell:
    return cell(lambda exchange: exchange.wire.buffer(exchange, 1 << 20), _echo)


def _echo(exchange: Exchange) -> Reply:
    return Reply(200, body=exchange.body)


async def test_a_request_is_answered_with_server_date_and_request_id() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"GET /a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, body = await client.answer()
    assert (status, body) == (200, b"hello /a")
    assert fields[b"server"] == b"penstock"
    assert fields[b"x-request-id"] == b"id-1"
    assert fields[b"date"].endswith(b"GMT")
    assert b"connection" not in fields


HOST = b"Host: a\r\n"
REFUSED = {
    "F1 length then coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
    "F1 coding then length": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
    "F2 two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 4", 400),
    "F2 list of lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4, 4", 400),
    **{
        f"F3 length {length!r}": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + length, 400)
        for length in (b"+3", b"1_0", b"-1", b"0x3", b"", b"18446744073709551617")
    },
    **{
        f"F4 coding {coding!r}": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: " + coding, 400)
        for coding in (
            b"gzip, chunked",
            b"identity, chunked",
            b",chunked",
            b"xchunked",
            b"chunked\r\nTransfer-Encoding: chunked",
            b"\x0bchunked",
        )
    },
    "F5 coding in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked", 400),
    "F6 blank before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Name : x", 400),
    "F6 empty name": (b"GET / HTTP/1.1\r\n" + HOST + b": x", 400),
    "F6 no colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Name", 400),
    "F7 folded": (b"GET / HTTP/1.1\r\n" + HOST + b"A: x\r\n y", 400),
    "F8 bare line feed": (b"GET / HTTP/1.1\r\n" + HOST + b"A: x\nB: y", 400),
    "F8 bare carriage return": (b"GET / HTTP/1.1\r\n" + HOST + b"A: x\rB: y", 400),
    "F8 NUL": (b"GET / HTTP/1.1\r\n" + HOST + b"A: x\x00y", 400),
    "F12 no host": (b"GET / HTTP/1.1\r\nA: x", 400),
    "F12 two hosts": (b"GET / HTTP/1.1\r\n" + HOST + b"Host: a", 400),
    "F12 malformed host": (b"GET / HTTP/1.1\r\nHost: a/b", 400),
    "F14 another host": (b"GET http://b/ HTTP/1.1\r\n" + HOST[:-2], 400),
    "F15 CONNECT": (b"CONNECT a:443 HTTP/1.1\r\n" + HOST[:-2], 405),
    "F15 TRACE": (b"TRACE / HTTP/1.1\r\n" + HOST[:-2], 405),
    "F15 OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST[:-2], 400),
    "F15 lower case": (b"get / HTTP/1.1\r\n" + HOST[:-2], 400),
    "F16 version": (b"GET / HTTP/2.0\r\n" + HOST[:-2], 505),
    "F16 double space": (b"GET  / HTTP/1.1\r\n" + HOST[:-2], 400),
    "F16 fragment": (b"GET /#x HTTP/1.1\r\n" + HOST[:-2], 400),
    "F17 large field": (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 300_000, 431),
    "F17 many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A: x\r\n" * 4000 + b"B: y", 431),
    "F17 long target": (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n" + HOST[:-2], 414),
    "F19 expectation": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nExpect: x", 417),
    "F25 HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM", 505),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_head_that_is_not_strictly_framed_is_refused_and_closes(head: bytes, status: int) -> None:
    """CASES F1-F8, F12, F14-F17, F19, F25"""
    reached: list[Exchange] = []
    async with talking(cell(lambda exchange: reached.append(exchange) or Reply(200))) as client:
        client.send(head + b"\r\n\r\n")
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answered = await client.rest()
    assert answered.startswith(b"HTTP/1.1 %d " % status)
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in answered
    assert reached == []


MALFORMED = (
    b"0x3\r\nabc\r\n",
    b"+3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"0" * 16 + b"3\r\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3;" + b"x" * 5000,
    b"3;a\nb\r\nabc\r\n",
    b"3\nabc\r\n",
    b"3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
)


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_malformed_chunk_is_refused_and_the_connection_closed(body: bytes) -> None:
    """CASES F9, F10"""
    async with talking(echo()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        answered = await client.rest()
    assert answered.startswith(b"HTTP/1.1 400 ")


async def test_trailers_never_become_headers() -> None:
    """CASES F11"""
    live = cell(
        lambda exchange: exchange.wire.buffer(exchange, 100),
        lambda exchange: Reply(200, body=b"%r %r" % (exchange.body, exchange.head.fields)),
    )
    async with talking(live) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3\r\nabc\r\n0\r\nX-Api-Key: evil\r\n\r\n")
        _, _, body = await client.answer()
    assert b"abc" in body
    assert b"evil" not in body


async def test_a_get_with_a_body_and_a_pipelined_request_are_answered_in_order() -> None:
    """CASES F18"""
    async with talking(cell(hello)) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        first = await client.answer()
        second = await client.answer()
    assert (first[2], second[2]) == (b"hello /1", b"hello /2")


async def test_a_thousand_pipelined_requests_are_answered_in_order() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(1000)))
        bodies = [(await client.answer())[2] for _ in range(1000)]
    assert bodies == [b"hello /%d" % number for number in range(1000)]


async def test_an_unwanted_small_body_is_dropped_and_the_connection_kept() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        _, fields, _ = await client.answer()
        client.send(b"defGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        _, _, body = await client.answer()
    assert b"connection" not in fields
    assert body == b"hello /2"


async def test_an_unwanted_large_body_is_read_past_until_the_client_has_its_refusal() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
        status, fields, body = await client.answer()
        assert await client.rest() == b""
    assert (status, fields[b"connection"], body) == (200, b"close", b"hello /1")


async def test_continue_is_sent_only_once_the_body_is_wanted() -> None:
    """CASES F19"""
    async with talking(echo()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        interim, _ = await client.head()
        client.send(b"abc")
        status, _, body = await client.answer()
    assert (interim, status, body) == (100, 200, b"abc")


async def test_a_refusal_before_the_body_is_wanted_sends_no_continue() -> None:
    """CASES F19"""
    async with talking(cell(hello)) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        status, fields = await client.head()
    assert (status, fields[b"connection"]) == (200, b"close")


@pytest.mark.parametrize("upgrade", [b"Upgrade: h2c", b"Upgrade: websocket"])
async def test_an_upgrade_is_served_as_a_plain_request(upgrade: bytes) -> None:
    """CASES F20, F21"""
    async with talking(echo()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n" + upgrade)
        client.send(b"\r\nContent-Length: 3\r\n\r\nabc")
        status, _, body = await client.answer()
    assert (status, body) == (200, b"abc")


async def test_a_header_value_with_a_line_break_never_leaves() -> None:
    """CASES F22"""
    async with talking(cell(lambda _: Reply(200, [(b"A", b"x\r\nSet-Cookie: y")]))) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, _ = await client.answer()
    assert status == 500
    assert b"set-cookie" not in fields


async def test_a_head_request_gets_the_length_and_no_body() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        _, fields, _ = await client.answer(b"HEAD")
        _, _, body = await client.answer()
    assert fields[b"content-length"] == b"8"
    assert body == b"hello /2"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_no_length(status: int) -> None:
    async with talking(cell(lambda _: Reply(status, body=b""))) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answered, fields, _ = await client.answer()
    assert answered == status
    assert b"content-length" not in fields
    assert b"transfer-encoding" not in fields


async def test_an_http_1_0_client_is_answered_and_the_connection_closed() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        answered = await client.rest()
    assert answered.endswith(b"\r\n\r\nhello /old")
    assert b"\r\nConnection: close\r\n" in answered


async def test_a_client_that_asks_for_close_gets_it() -> None:
    async with talking(cell(hello)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"Connection: close" in await client.rest()


async def test_a_draining_gateway_closes_after_its_reply() -> None:
    live = cell(hello)
    live.draining = True
    async with talking(live) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Connection: close" in await client.rest()


async def test_without_anything_live_the_answer_is_503() -> None:
    async with served(None) as address, connected(address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 503 ")


async def test_a_head_in_single_bytes_is_the_same_request() -> None:
    async with talking(echo()) as client:
        for byte in b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        _, _, body = await client.answer()
    assert body == b"abc"


async def test_a_client_that_goes_away_ends_the_exchange_once() -> None:
    waiting = asyncio.Event()

    async def forever(_exchange: Exchange) -> None:
        waiting.set()
        await asyncio.Event().wait()

    live = cell(forever)
    async with served(live) as address:
        async with connected(address) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await waiting.wait()
        (exchange,) = await live.observe.first()  # type: ignore[attr-defined]
    assert (exchange.done, exchange.status) == (True, 499)
    assert (live.current.entered, live.current.left) == (1, 1)  # type: ignore[attr-defined]


async def test_a_pipelining_client_that_reads_nothing_stops_being_served() -> None:
    served_count = 0

    def large(_exchange: Exchange) -> Reply:
        nonlocal served_count
        served_count += 1
        return Reply(200, body=b"x" * 1_000_000)

    async with talking(cell(large)) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
        for _ in range(200):
            await asyncio.sleep(0)
        assert served_count < 50
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(60):
            assert len((await client.answer())[2]) == 1_000_000
