"""What is legal is served (RFC 9110, RFC 9112), byte for byte, however its bytes arrive. CASES F13, F24 and the other
side of F1-F25."""

from __future__ import annotations

import pytest

from gateway.core.exchange import Exchange, Reply
from tests.conformance.gateway_node import Gateway, relayed, same
from tests.conformance.raw_client import Client
from tests.conformance.test_conformance_heads import every, table
from tests.server.test_protocol_deadlines import _settled, clocked

GET = b"GET /open/next HTTP/1.1\r\nHost: a\r\n\r\n"

LINES = (
    b"A:x|A: x|A:\tx|A:  x  |A: \t x \t |A:|A: |A:\t|a: x|A-B: x|1: x|!#$%&'*+-.^`~: x|A: x y|A: x, y|A: x;y=z"
    b"|A: =?x?=|A: :"
    b"|A: \x80\xff|A: \xc3\xa4|A: {}[]()<>@,;:\\/?=|A: x\tz|A: 'x'|A: 1\r\nA: 2|A: 1\r\na: 2\r\nB: 3\r\nA: 4"
    b"|Range: bytes=0-1"
    b"|If-Range: x|If-None-Match: *|If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT|Max-Forwards: 0"
    b"|Cache-Control: no-cache"
    b"|Date: Thu, 01 Jan 1970 00:00:00 GMT|Via: 1.0 x|Warning: 1|Pragma: no-cache|User-Agent: x (y; z) w/1"
    b"|Cookie: a=b; c=d"
    b"|Cookie: a=b\r\nCookie: c=d|Origin: null|Referer: http://x/y?z|Accept-Encoding: gzip, br;q=0.5"
    b"|Authorization: Basic eDp5"
    b"|Content-Type: text/plain|Accept: */*|From: x@y.example|DNT: 1|Sec-Fetch-Mode: cors|traceparent: 00-0-0-0"
    b"|Priority: u=1, i"
    b"|X-CSRF-Token: x|X-Requested-With: y|Content-Encoding: x|Content-Disposition: x|Early-Data: 1|Alt-Used: x"
    b"|Transfer: chunked"
)


@pytest.mark.parametrize("line", [*every(LINES), *table(b'A: "x, \\"y\\""', b"A: x|y", b"A: " + b"x" * 8000)])
def test_a_field_goes_on_byte_for_byte(gateway: Gateway, line: bytes) -> None:
    came = gateway.passes(b"GET /open/x HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n", GET)
    match = relayed(b"GET /x", gateway.upstream, b"\r\n" + line).match(came)
    assert match is not None, came
    same(relayed(b"GET /next", gateway.upstream), came[match.end() :])


def test_many_fields_go_on_in_their_order(gateway: Gateway) -> None:
    lines = b"".join(b"\r\nX-%d: %d" % (number % 50, number) for number in range(190))
    came = gateway.passes(b"GET /open/x HTTP/1.1\r\nHost: a" + lines + b"\r\n\r\n")
    same(relayed(b"GET /x", gateway.upstream, lines), came)


@pytest.mark.parametrize(
    "method", every(b"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|PROPFIND|MKCOL|REPORT|PURGE|QUERY|M-SEARCH|LINK|X")
)
def test_a_method_goes_on(gateway: Gateway, method: bytes) -> None:
    came = gateway.passes(method + b" /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
    empty = b"\r\nContent-Length: 0\r\n\r\n" if method in (b"POST", b"PUT", b"PATCH") else b"\r\n\r\n"
    same(relayed(method + b" /x", gateway.upstream, b"", empty), came)


HOSTS = (
    b"a|A.Example|a.example.|a:80|a:8080|a:0|a:65535|a:|127.0.0.1|127.0.0.1:80|[::1]|[::1]:8080|[2001:DB8::1]"
    b"|[::ffff:1.2.3.4]"
    b"|my_service|a-b|1|xn--4ca|localhost|a.b.c.d.e.f"
)


@pytest.mark.parametrize("host", every(HOSTS, b"x" * 255))
def test_f12_a_legal_host_is_served_and_told(gateway: Gateway, host: bytes) -> None:
    came = gateway.passes(b"GET /open/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert b"\r\nX-Forwarded-Host: " + host + b"\r\n" in came


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a/open/x", b"a"),
        (b"http://A/open/x", b"a"),
        (b"HTTP://a/open/x", b"A"),
        (b"https://a/open/x", b"a"),
        (b"http://a:80/open/x", b"a"),
        (b"http://a/open/x", b"a:80"),
        (b"https://a:443/open/x", b"a"),
        (b"http://a:/open/x", b"a"),
        (b"http://a:8080/open/x", b"a:8080"),
        (b"http://[::1]:80/open/x", b"[::1]"),
    ],
)
def test_f14_an_absolute_target_of_the_same_host_is_its_path(gateway: Gateway, target: bytes, host: bytes) -> None:
    came = gateway.passes(b"GET " + target + b"?y=1 HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    same(relayed(b"GET /x?y=1", gateway.upstream), came)


def test_f14_an_absolute_target_without_a_path_is_the_root(gateway: Gateway) -> None:
    assert gateway.passes(b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", statuses=(404,)) == b""


def test_f14_an_absolute_target_of_http_1_0_needs_no_host(gateway: Gateway) -> None:
    same(relayed(b"GET /x", gateway.upstream), gateway.passes(b"GET http://a/open/x HTTP/1.0\r\n\r\n"))


@pytest.mark.parametrize("host", every(b"a/guard/pub|guard/pub?|x#|x@/guard/pub/|a/guard/pub/x?"))
def test_f13_a_host_cannot_make_another_path(gateway: Gateway, host: bytes) -> None:
    """Policies and routes read the path of the request line, never a URL that was put together."""
    gateway.refuses(b"GET /guard/admin/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400)


@pytest.mark.parametrize(
    "target",
    every(
        b"/guard/admin/x?/guard/pub/x|/guard/admin/x?#|/guard/admin/x;/guard/pub/x|/guard/admin/http://a/guard/pub/x"
    ),
)
def test_f13_what_follows_a_path_cannot_make_another_path(gateway: Gateway, target: bytes) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status in {400, 401}
    assert gateway.fence(mark) == b""


# connections


@pytest.mark.parametrize("value", every(b"keep-alive|Keep-Alive|x|keep-alive, x||,|Upgrade"))
def test_a_connection_is_kept(gateway: Gateway, value: bytes) -> None:
    request = b"GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: " + value + b"\r\n\r\n"
    assert gateway.passes(*[request] * 3).count(b"GET /x ") == 3


@pytest.mark.parametrize(
    "value",
    every(
        b"close|Close|CLOSE|keep-alive, close|close, keep-alive|x,close|\tclose |close\r\nConnection: keep-alive"
        b"|keep-alive\r\nConnection: close"
    ),
)
def test_a_connection_is_closed_when_the_client_asks(gateway: Gateway, value: bytes) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: " + value + b"\r\n\r\n" + GET)
        answer = client.answer()
        assert (answer.status, answer.get(b"connection")) == (200, b"close")
        assert client.rest() == b""
    assert b"/next" not in gateway.fence(mark)


@pytest.mark.parametrize(
    "fields",
    every(
        b"|Host: a\r\n|Connection: keep-alive\r\n|Host: a\r\nConnection: Keep-Alive\r\n"
        b"|Connection: close\r\n|Keep-Alive: 5\r\n"
    ),
)
def test_an_http_1_0_request_is_answered_and_closed(gateway: Gateway, fields: bytes) -> None:
    """A proxy does not keep HTTP/1.0 connections (RFC 9112 section 9.3)."""
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"GET /open/x HTTP/1.0\r\n" + fields + b"\r\n" + GET)
        answer = client.answer()
        assert (answer.status, answer.get(b"connection"), answer.body) == (200, b"close", b"ok")
        assert client.rest() == b""
    came = gateway.fence(mark)
    assert b"\r\nVia: 1.0 penstock\r\n" in came
    assert b"/next" not in came


def test_an_http_1_0_body_goes_on(gateway: Gateway) -> None:
    came = gateway.passes(b"POST /open/x HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
    same(relayed(b"POST /x", gateway.upstream, b"", b"\r\nContent-Length: 5\r\n\r\nhello"), came)


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n", b"\r\n" * 10])
def test_empty_lines_before_a_request_are_skipped(gateway: Gateway, lines: bytes) -> None:
    """RFC 9112 section 2.2; also alone in a packet, and between two requests."""
    assert gateway.passes(lines + GET, lines + GET).count(b"GET /next ") == 2
    with gateway.connect() as client:
        for _ in range(2):
            client.send(lines)
            gateway.passes(GET)
            client.send(GET)
            assert client.answer().status == 200


def test_a_refusal_of_head_has_no_body(gateway: Gateway) -> None:
    for line in (b"HEAD /a/../b", b"HEAD /a\x00", b"HEAD /open/x#y"):
        answer = gateway.refuses(line + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, method=b"HEAD")
        assert int(answer.get(b"content-length") or 0) > 0
    assert (
        gateway.passes(b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n", GET, statuses=(404, 200)).count(b"GET /next ") == 1
    )


# bodies

LEGAL_CHUNKS = {
    "one": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "single bytes": (b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", b"hello"),
    "leading zeros": (b"0005\r\nhello\r\n00000\r\n\r\n", b"hello"),
    "sixteen digits": (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
    "upper case": (b"A\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", b"01234567890123456789a"),
    "lower case": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "an extension": (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
    "several extensions": (b"5;a;b=c;d\r\nhello\r\n0\r\n\r\n", b"hello"),
    "a quoted extension": (b'5;a="b;c\\"d\xff"\r\nhello\r\n0\r\n\r\n', b"hello"),
    "blanks in an extension": (b"5; a = b ; c\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (b"5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n", b"hello"),
    "line ends in the body": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "every byte": (b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256))),
}


@pytest.mark.parametrize(("body", "payload"), LEGAL_CHUNKS.values(), ids=LEGAL_CHUNKS.keys())
def test_f09_legal_chunks_go_on(gateway: Gateway, body: bytes, payload: bytes) -> None:
    received = len(gateway.upstream.received)
    gateway.passes(b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, GET)
    assert gateway.upstream.received[received].body == payload


@pytest.mark.parametrize("coding", every(b"chunked|Chunked|CHUNKED|\tchunked\t|  chunked  "))
def test_f04_chunked_is_served_in_any_case(gateway: Gateway, coding: bytes) -> None:
    head = b"POST /open/x HTTP/1.1\r\nHost: a\r\ntransfer-encoding:" + coding + b"\r\n\r\n"
    came = gateway.passes(head + b"5\r\nhello\r\n0\r\n\r\n")
    behind = b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    same(relayed(b"POST /x", gateway.upstream, b"", behind), came)


@pytest.mark.parametrize("length", every(b"5|05|000000000000005| 5|5 |\t5\t"))
def test_f03_a_legal_length_is_served(gateway: Gateway, length: bytes) -> None:
    came = gateway.passes(b"POST /open/x HTTP/1.1\r\nHost: a\r\ncontent-length:" + length + b"\r\n\r\nhello")
    same(relayed(b"POST /x", gateway.upstream, b"", b"\r\nContent-Length: 5\r\n\r\nhello"), came)


# however the bytes arrive

MIXED = (
    b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
    b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
    b"\r\nPUT /open/y?z HTTP/1.1\r\nhost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n"
    b"GET /open/next HTTP/1.1\r\nHost: a\r\n\r\n"
)
BROKEN = (
    b"GET /open/x HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
    b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: b\nc: d\r\n\r\n",
    b"GET /open/../x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /open/x HTTP/1.1\r\n Host: a\r\n\r\n",
)


def split_everywhere(gateway: Gateway, data: bytes) -> list[Client]:
    """A connection for each place where the bytes can be cut; the gateway has read the first part before the second
    is sent."""
    clients = [gateway.connect() for _ in range(1, len(data))]
    for cut, client in enumerate(clients, 1):
        client.send(data[:cut])
    gateway.passes(GET)
    for cut, client in enumerate(clients, 1):
        client.send(data[cut:])
    return clients


def test_requests_cut_anywhere_are_the_same_requests(gateway: Gateway) -> None:
    received = len(gateway.upstream.received)
    clients = split_everywhere(gateway, MIXED)
    for client in clients:
        with client:
            assert [client.answer().status for _ in range(3)] == [200] * 3
    came = [(each.method, each.target, each.body) for each in gateway.upstream.received[received:]]
    for wanted in ((b"POST", b"/x", b"abcde"), (b"PUT", b"/y?z", b"\r\n\r\n")):
        assert came.count(wanted) == len(clients)
    assert came.count((b"GET", b"/next", b"")) == len(clients) + 1
    assert len(came) == 3 * len(clients) + 2


@pytest.mark.parametrize("data", table(*BROKEN))
def test_a_broken_head_cut_anywhere_is_refused(gateway: Gateway, data: bytes) -> None:
    mark = gateway.upstream.mark()
    clients = split_everywhere(gateway, data)
    for client in clients:
        with client:
            assert client.answer().status == 400
            assert client.rest() == b""
    assert gateway.fence(mark).count(b" HTTP/1.1\r\n") == 2  # those that were sent in between


def test_bytes_that_come_one_by_one_are_the_same_requests(gateway: Gateway) -> None:
    """As many connections as there are requests, in step."""
    clients = [gateway.connect() for _ in range(5)]
    mark = gateway.upstream.mark()
    for byte in MIXED:
        for client in clients:
            client.send(bytes((byte,)))
    for client in clients:
        with client:
            assert [client.answer().status for _ in range(3)] == [200] * 3
    assert gateway.fence(mark).count(b"POST /x ") == 5


# F24: the deadline for a request to arrive


def _never(_exchange: Exchange) -> Reply:
    raise AssertionError("nothing of it is served")


@pytest.mark.parametrize("piece", every(b"G|A: b\r\n|X-Long: x", b"\r"))
async def test_f24_a_head_that_drips_is_408_however_busy_it_is(piece: bytes) -> None:
    """The deadline counts from the first byte; further ones do not move it."""
    async with clocked(_never) as (client, clock, _):
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n" if piece[:1] == b"A" else b"GET /x")
        for _ in range(12):
            client.send(piece if piece[:1] == b"A" else b"x")
            await _settled(client)
            clock.advance(1)
        answered = await client.rest()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answered


async def test_f24_empty_lines_do_not_move_the_deadline() -> None:
    async with clocked(_never) as (client, clock, _):
        for _ in range(12):
            client.send(b"\r\n")
            await _settled(client)
            clock.advance(1)
        assert await client.rest() == b""


async def test_f24_a_trailer_that_does_not_end_is_408() -> None:
    def buffer(exchange: Exchange) -> object:
        return exchange.wire.buffer(exchange, 100)

    async with clocked(buffer, _never) as (client, clock, _):  # type: ignore[arg-type]
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: ")
        await _settled(client)
        clock.advance(31)
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
