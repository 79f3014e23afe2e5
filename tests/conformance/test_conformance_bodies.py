"""CASES F9-F11, F18-F21: bodies of requests, what follows them, Expect and Upgrade."""

from __future__ import annotations

import re

import pytest

from tests.conformance.gateway_node import SMUGGLED, Gateway, relayed, same
from tests.conformance.raw_client import Client
from tests.conformance.test_conformance_heads import every, table

CHUNKED = b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /open/next HTTP/1.1\r\nHost: a\r\n\r\n"

SIZES = (
    b"0x3|0X3|+3|-3|3 |3\t| 3|\t3|3\x0b|\x0b3|3\x00|\x003|3h|g|x|3.0|3,|3:"
    b"|3_|1_0|\xb3|\xd9\xa3|3\xa0||3 3|3\r|3\x7f|$3|'3'"
    b"|10000000000000003|00000000000000003|ffffffffffffffff|FFFFFFFFFFFFFFFF|8000000000000000|fffffffffffffffe"
    b"|fffffffffffffffff|0x|;|;x|3 ;x|3\t;x|-0|+0|0x0|0 |00 |-1|\n3|\r\n3"
)


@pytest.mark.parametrize("size", every(SIZES, b"0" * 5000 + b"3", b"f" * 100, b'"3"', b"3|"))
def test_f09_a_chunk_size_that_is_no_plain_hexadecimal_number_is_refused(gateway: Gateway, size: bytes) -> None:
    gateway.refuses(CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n", 400)


@pytest.mark.parametrize(
    "body",
    table(
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\r\nabc\r\n0\n\n",
        b"3\rabc\r0\r\r",
        b"3\r\nabc\r0\r\n\r\n",
        b"3\r\r\nabc\r\n0\r\n\r\n",
        b"3\n\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nab\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabc  \r\n0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"3\r\nabc\r\r\n0\r\n\r\n",
        b"3\r\nabc\n\r\n0\r\n\r\n",
        b"3\r\nabc\r\n\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\r\n",
        b"3\r\nabc\r\n0\r\n\rX",
        b"0\rX",
        b"3\rX",
        b"3abx\r\n",
        b"abx",
        b"{}",
        b"GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
)
def test_f09_a_chunk_that_ends_wrongly_is_refused(gateway: Gateway, body: bytes) -> None:
    gateway.refuses(CHUNKED + body, 400, behind=b"")


@pytest.mark.parametrize(
    "extension",
    every(
        b";a\nb|;a\rb|;a\n|;\n|;a\x00b|;a\x01|;a\x7f|;a\x0b|;a=\nb|;a=b\nX: y|;|;;|;a;|;=|;=b|;a=|;a==b|;a b|; a b"
        b"|;a=b c|;a,b|;a=(b)|;\xc3\xa4|;a=\xff|;a/b|;a:b|;{}|;a=b;|,a|:a|=a|&a|#a|;a=b=c|;[a]",
        b';a="',
        b';a="b',
        b';a=b"',
        b';a="b"c',
        b';a="b""c"',
        b';"a"',
        b';a="\n"',
        b';a="\\"',
        b';a="\\',
        b";a=" + b"x" * 5000,
        b";" + b"x" * 5000,
        b";a=1" * 2000,
        b";" + b" " * 5000 + b"a",
    ),
)
def test_f10_a_malformed_chunk_extension_is_refused(gateway: Gateway, extension: bytes) -> None:
    gateway.refuses(CHUNKED + b"3" + extension + b"\r\nabc\r\n0\r\n\r\n", 400)
    gateway.refuses(CHUNKED + b"3\r\nabc\r\n0" + extension + b"\r\n\r\n", 400)


def test_f10_chunk_extensions_are_bounded_in_total(gateway: Gateway) -> None:
    gateway.refuses(CHUNKED + (b"1;a=" + b"x" * 50 + b"\r\na\r\n") * 100 + b"0\r\n\r\n", 400)


def test_f10_an_extension_without_end_is_refused(gateway: Gateway) -> None:
    gateway.refuses(CHUNKED + b"1;" + b"x" * 5000, 400, behind=b"")


def test_f10_a_size_without_end_is_refused(gateway: Gateway) -> None:
    gateway.refuses(CHUNKED + b"1" * 20, 400, behind=b"")


@pytest.mark.parametrize(
    "trailer",
    every(
        b"X-Api-Key: evil|Content-Length: 5|Transfer-Encoding: chunked|Host: evil|X-Forwarded-For: 6.6.6.6"
        b"|Connection: close|Authorization: Basic x|X-Penstock-Application: evil"
        b"|Expect: 100-continue|A: 1\r\nB: 2|A:|Trailer: x|A: \xff"
    ),
)
def test_f11_a_trailer_never_becomes_a_header(gateway: Gateway, trailer: bytes) -> None:
    """Nor does it go on, and the next request is framed as if it had not been there."""
    came = gateway.passes(CHUNKED + b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n", GET)
    first = relayed(b"POST /x", gateway.upstream, b"", b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    match = first.match(came)
    assert match is not None, came
    same(relayed(b"GET /next", gateway.upstream, b"", b"\r\n\r\n"), came[match.end() :])


@pytest.mark.parametrize(
    "trailer",
    every(
        b"A : x| A: x|\tA: x|A|: x|A: x\r\n y|A: x\nB: y|A: x\rB: y|A: \x00|A\x00: x|A: x\x01|(A): x|\xc3\xa4: x"
        b"|GET / HTTP/1.1|0|A\r: x|A b: x",
        b"A: " + b"x" * 5000,
        b"A: " + b"x" * 1000 + b"\r\nB: " + b"x" * 1000 + b"\r\nC: " + b"x" * 1000 + b"\r\nD: " + b"x" * 1500,
    ),
)
def test_f11_a_malformed_trailer_is_refused(gateway: Gateway, trailer: bytes) -> None:
    gateway.refuses(CHUNKED + b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n", 400)


def test_f11_a_policy_does_not_see_a_credential_in_a_trailer(gateway: Gateway) -> None:
    head = b"POST /keyed/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-API-KEY\r\n\r\n"
    assert gateway.passes(head + b"0\r\n" + gateway.credential + b"\r\n", statuses=(401,)) == b""


def broken_chunk(gateway: Gateway, client: Client, head: bytes, bad: bytes) -> bytes:
    """Sends a body whose first chunk is good and has been sent on, then a bad one. What the upstream had got."""
    mark = gateway.upstream.mark()
    client.send(head + b"3\r\nabc\r\n")
    while b"3\r\nabc\r\n" not in gateway.upstream.since(mark):
        pass
    client.send(bad)
    return gateway.upstream.since(mark)


@pytest.mark.parametrize(
    "bad", every(b"x\r\n|3\nabc|3\r\nabcd|-1\r\n|0\r\nA : x\r\n|0x3\r\n|ffffffffffffffff\r\n|3;\n")
)
def test_f09_a_bad_chunk_behind_good_ones_drops_the_upstream_connection(gateway: Gateway, bad: bytes) -> None:
    """What the upstream got has no end, and its connection serves nobody else."""
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        came = broken_chunk(gateway, client, CHUNKED, bad)
        client.send(SMUGGLED)
        assert client.answer().status == 400
        assert client.rest() == b""
    assert came.endswith(b"3\r\nabc\r\n")
    assert b"smuggled" not in gateway.fence(mark)
    stream = next(stream for stream in gateway.upstream.streams if bytes(stream.raw).endswith(b"3\r\nabc\r\n"))
    assert b"0\r\n\r\n" not in stream.raw[stream.raw.rfind(b"POST ") :]


# F18: what follows a body is the next request, never earlier and never later

BODIES = {
    "GET with a length": (b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "GET with chunks": (
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    "DELETE with a length": (b"DELETE /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "HEAD with a length": (b"HEAD /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "OPTIONS with a length": (b"OPTIONS /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "POST with a length": (b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "POST with chunks": (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
    "a body that looks like a request": (
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
        SMUGGLED,
    ),
    "a chunk that looks like a request": (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "PATCH with one byte": (b"PATCH /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", b"\n"),
    "PUT without a body": (b"PUT /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b""),
    "GET of length 0": (b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b""),
    "POST without a length": (b"POST /open/x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    "no chunk": (CHUNKED, b"0\r\n\r\n"),
}


@pytest.mark.parametrize(("head", "body"), BODIES.values(), ids=BODIES.keys())
def test_f18_a_body_goes_on_and_the_next_request_is_the_next_request(
    gateway: Gateway, head: bytes, body: bytes
) -> None:
    came = gateway.passes(head + body, GET, head + body, GET)
    method = head.split(b" ")[0]
    wanted = method + b" /x", b"GET /next", method + b" /x", b"GET /next"
    assert re.findall(rb"([A-Z]+ /(?:x|next)) HTTP/1.1\r\n", came) == list(wanted)
    framing = b"\r\n\r\n"
    if b"chunked" in head:
        framing = b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    elif body or method in (b"POST", b"PUT", b"PATCH"):
        framing = b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    match = relayed(wanted[0], gateway.upstream, b"", framing + body).match(came)
    assert match is not None, came


@pytest.mark.parametrize(
    ("first", "behind"),
    [
        (b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n", b"hello"),
        (b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"hello" + GET),
        (b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"world" + GET),
        (b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"X" + GET[:-2] + b"A b: x\r\n\r\n"),
        (CHUNKED + b"0\r\n\r\n", b"0\r\n\r\n" + GET),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"\x00" + GET),
        (b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /open/y HTTP/1.1\r\n\r\n" + GET),
    ],
)
def test_f18_bytes_behind_a_request_that_are_no_request_are_refused_after_its_reply(
    gateway: Gateway, first: bytes, behind: bytes
) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(first + behind)
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.rest() == b""
    came = gateway.fence(mark)
    assert came.count(b" HTTP/1.1\r\n") == 1
    assert b"/next" not in came


def test_f18_pipelined_requests_are_served_one_at_a_time(gateway: Gateway) -> None:
    """The second goes on only once the first is answered, whatever the upstream does."""
    event = gateway.upstream.event()

    async def wait(conversation: object, received: object) -> None:
        await event.wait()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")  # type: ignore[attr-defined]

    slow = gateway.upstream.play(wait).encode()
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"GET /open/" + slow + b" HTTP/1.1\r\nHost: a\r\n\r\n" + GET * 3)
        while slow not in gateway.upstream.since(mark):
            pass
        came = gateway.fence(mark)
        assert b"/next" not in came
        gateway.upstream.set_event(event)
        assert [client.answer().body for _ in range(4)] == [b"first", b"ok", b"ok", b"ok"]
    assert gateway.fence(mark).count(b"GET /next ") == 3


def test_f18_a_hundred_mixed_requests_are_answered_in_order(gateway: Gateway) -> None:
    requests = [head + body for head, body in BODIES.values() if not head.startswith(b"HEAD")] * 8
    came = gateway.passes(*requests)
    assert came.count(b" HTTP/1.1\r\nHost: 127") == len(requests)


# F19: Expect


@pytest.mark.parametrize(
    "value",
    every(b"x|100|continue|100-continu|100-continuex|200-ok|100-continue, x|x, 100-continue||100-continue;q=1|\t"),
)
def test_f19_another_expectation_is_417(gateway: Gateway, value: bytes) -> None:
    head = b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: " + value + b"\r\n\r\n"
    gateway.refuses(head + b"hello", 417)


@pytest.mark.parametrize(
    "value", every(b"100-continue|100-Continue|100-CONTINUE|\t100-continue |100-continue\r\nExpect: 100-continue")
)
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_f19_continue_comes_once_the_body_is_wanted(gateway: Gateway, value: bytes, framing: bytes) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"POST /open/x HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\nExpect: " + value + b"\r\n\r\n")
        assert client._until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        body = b"hello" if framing.startswith(b"C") else b"5\r\nhello\r\n0\r\n\r\n"
        client.send(body + GET)
        assert [client.answer().status, client.answer().status] == [200, 200]
    came = gateway.fence(mark)
    assert relayed(b"POST /x", gateway.upstream, b"", b"\r\n" + framing + b"\r\n\r\n" + body).match(came)


@pytest.mark.parametrize("key", every(b"|X-API-KEY: wrong\r\n|X-API-KEY:\r\n"))
def test_f19_a_refused_client_gets_no_continue(gateway: Gateway, key: bytes) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(
            b"POST /keyed/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n" + key + b"\r\n"
        )
        answer = client.answer()
        assert (answer.status, answer.interim, answer.get(b"connection")) == (401, [], b"close")
        client.send(b"hello" + SMUGGLED)
        assert client.rest() == b""
    assert gateway.fence(mark) == b""


def test_f19_a_key_that_holds_gets_continue(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(b"POST /keyed/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n")
        client.send(gateway.credential + b"\r\n")
        assert client._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert client.answer().status == 200


@pytest.mark.parametrize(
    "request_",
    table(
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        b"POST /open/x HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    ),
)
def test_f19_no_continue_without_a_body_or_to_http_1_0_or_once_the_body_is_there(
    gateway: Gateway, request_: bytes
) -> None:
    """RFC 9110 section 10.1.1"""
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(request_)
        answer = client.answer()
    assert (answer.status, answer.interim) == (200, [])
    assert b"xpect" not in gateway.fence(mark)


# F20, F21: Upgrade

UPGRADES = (
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    b"|Upgrade: h2c\r\nConnection: Upgrade\r\n|Upgrade: h2c\r\n|Connection: HTTP2-Settings\r\nHTTP2-Settings: x\r\n"
    b"|Upgrade: HTTP/2.0\r\nConnection: upgrade\r\n|Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n"
    b"|upgrade: H2C\r\nconnection: keep-alive, upgrade\r\n|Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n"
    b"|Upgrade: \r\nConnection: Upgrade\r\n|Connection: Upgrade\r\n"
    b"|Upgrade: foo\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
)


@pytest.mark.parametrize("fields", every(UPGRADES))
def test_f20_an_upgrade_to_another_protocol_is_stripped(gateway: Gateway, fields: bytes) -> None:
    request = b"GET /open/x HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    came = gateway.passes(request, GET)
    match = relayed(b"GET /x", gateway.upstream, b"", b"\r\n\r\n").match(came)
    assert match is not None, came
    same(relayed(b"GET /next", gateway.upstream, b"", b"\r\n\r\n"), came[match.end() :])


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("upgrade", every(b"h2c|foo"))
def test_f21_an_upgrade_with_a_body_is_an_ordinary_request(gateway: Gateway, framing: bytes, upgrade: bytes) -> None:
    request = b"POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
    came = gateway.passes(request + framing, GET)
    assert relayed(b"POST /x", gateway.upstream, b"", b"\r\n" + framing).match(came), came


WEBSOCKET = (
    b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_f21_a_websocket_handshake_with_a_body_does_not_hang(gateway: Gateway, framing: bytes, method: bytes) -> None:
    """It is refused, and the connection closes: what comes behind may be meant for another protocol."""
    gateway.refuses(method + b" /open/x HTTP/1.1\r\n" + WEBSOCKET + framing, 400)


def test_f20_a_websocket_upgrade_that_the_upstream_declines_is_never_a_tunnel(gateway: Gateway) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"GET /open/x HTTP/1.1\r\n" + WEBSOCKET + b"\r\n")
        client.send(b"GET /guard/admin/x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status == 200
        assert client.answer().status == 401
    assert b"/admin" not in gateway.fence(mark)
