"""CASES F22, F23: responses of an upstream that are ambiguous, broken, early or unasked for, and what becomes of their
connections; interim responses."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.conformance.gateway_node import Gateway
from tests.conformance.raw_client import PATIENCE, Answer, Cut
from tests.conformance.raw_upstream import Play, always, then_close
from tests.conformance.test_conformance_heads import every, table
from tests.upstreams import OK, Conversation, Received

GET = b"GET /open/next HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


class Broken:
    """Answers with these bytes; `dropped` tells that the gateway has ended the connection."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.dropped = threading.Event()

    async def __call__(self, conversation: Conversation, received: Received) -> None:
        await conversation.body(received)
        conversation.send(self.response)
        if await conversation.closed() == b"":
            self.dropped.set()
        conversation.close()


def request(gateway: Gateway, play: bytes | Play, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    segment = gateway.upstream.play(play).encode()
    return method + b" /open/" + segment + b" HTTP/" + version + b"\r\nHost: a\r\n\r\n"


def answered(gateway: Gateway, play: bytes | Play, method: bytes = b"GET") -> Answer:
    """The reply, and that the client's connection goes on behind it."""
    with gateway.connect() as client:
        client.send(request(gateway, play, method))
        answer = client.answer(method)
        client.send(GET)
        assert client.answer().body == b"ok"
    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"
AMBIGUOUS = table(
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\noka",
    HEAD + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\nok",
    HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    HEAD + b"Content-Length: 2,3\r\n\r\nok",
    *(
        HEAD + b"Content-Length: " + value + b"\r\n\r\nok"
        for value in b"+2|-1|0x2|2.0|two||2 2|2;|1_0|\xb2".split(b"|")
    ),
    HEAD + b"Content-Length: 99999999999999999999\r\n\r\nok",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\nok",
    *(
        HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
        for value in b"gzip, chunked|chunked, gzip|gzip|identity|xchunked|,chunked||chunked, chunked|\x0bchunked".split(
            b"|"
        )
    ),
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + SMUGGLED,
    OK + b"\r\n",
    OK + b"x",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    HEAD + b"Content-Length: 0\r\n\r\nx",
    b"HTTP/1.1 204 No Content\r\n\r\nx",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
)
MALFORMED = table(
    b"SSH-2.0-OpenSSH\r\n",
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    b"\x15\x03\x01\x00\x02\x02\x0a",
    b"ok",
    b"<html>no head at all</html>",
    b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 \r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nok",
    b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"\r\n\r\n",
    *(
        b"HTTP/1.1 " + status + b" X\r\nContent-Length: 2\r\n\r\nok"
        for status in b"99|0|000|099|20|2000|600|700|999|-200|+200|2x0|abc|200.1|0x0|\xb2\xb2\xb2".split(b"|")
    ),
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: x\nB: y\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: x\rB: y\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: x\r\n y\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n A: x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA : x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: \x01\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA\x00: x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA b: x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\xc3\xa4: x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
    b"HTTP/1.1 200 OK\r\n" + b"A: x\r\n" * 20_000 + b"\r\n",
    b"HTTP/1.1 200 " + b"x" * 70_000,
    b"HTTP/1.1 103 Early Hints\r\nA : x\r\n\r\n" + OK,
    b"HTTP/1.1 103 Early Hints\r\nA: x\n\r\n\r\n" + OK,
)
BAD_CHUNKS = every(
    b"x\r\n|0x2\r\nok\r\n|+2\r\nok\r\n|-2\r\nok\r\n|2 \r\nok\r\n| 2\r\nok\r\n|2\nok\n|2\r\nokay\r\n|2\r\no\r\n0\r\n\r\n"
    b"|2\r\nok0\r\n|10000000000000002\r\nok\r\n|ffffffffffffffff\r\nok|2;\nok\r\n|2;a\rb\r\nok\r\n|0\r\nA : x\r\n\r\n"
    b"|0\r\n A: x\r\n\r\n|0\r\nA: \x00\r\n\r\n|\r\n|2\rok|{}",
    SMUGGLED,
    b"0\r\nA: " + b"x" * 5000,
    b"2;" + b"x" * 5000,
)


@pytest.mark.parametrize("response", [*AMBIGUOUS, *MALFORMED])
def test_f23_a_response_that_could_be_read_in_two_ways_is_502_and_its_connection_is_dropped(
    gateway: Gateway, response: bytes
) -> None:
    broken = Broken(response)
    answer = answered(gateway, broken)
    assert answer.status == 502
    assert b"evil" not in answer.body
    assert answer.get(b"content-type") == b"application/problem+json"
    assert broken.dropped.wait(PATIENCE)


@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_f23_a_malformed_chunk_is_502_while_nothing_was_sent(gateway: Gateway, bad: bytes) -> None:
    broken = Broken(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + bad)
    assert answered(gateway, broken).status == 502
    assert broken.dropped.wait(PATIENCE)


class Later(Broken):
    """Sends the rest once the client has the head."""

    def __init__(self, response: bytes, rest: bytes, reset: bool = False) -> None:
        super().__init__(response)
        self.rest = rest
        self.reset = reset
        self.passed = asyncio.Event()

    async def __call__(self, conversation: Conversation, received: Received) -> None:
        await conversation.body(received)
        conversation.send(self.response)
        await self.passed.wait()
        if self.reset:
            conversation.reset()
            return
        conversation.send(self.rest)
        if not self.rest:
            conversation.close()
            return
        await conversation.closed()
        self.dropped.set()


def cut(gateway: Gateway, later: Later) -> None:
    """The reply begins, and never ends as if it were whole."""
    with gateway.connect() as client:
        client.send(request(gateway, later))
        head = client._until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        gateway.upstream.set_event(later.passed)
        with pytest.raises((Cut, ConnectionError)):
            client._chunks() if b"chunked" in head else client._exactly(10)
    gateway.passes(GET)


@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_f23_a_malformed_chunk_behind_good_ones_cuts_the_reply(gateway: Gateway, bad: bytes) -> None:
    later = Later(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", bad)
    cut(gateway, later)
    assert later.dropped.wait(PATIENCE)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"])
def test_f23_a_response_that_is_cut_never_ends_cleanly(gateway: Gateway, head: bytes, reset: bool) -> None:
    """CASES A58"""
    cut(gateway, Later(HEAD + head, b"", reset))


def test_f23_a_reset_of_a_response_without_length_never_ends_cleanly(gateway: Gateway) -> None:
    cut(gateway, Later(HEAD + b"\r\nab", b"", reset=True))


def test_f23_a_reset_response_is_no_whole_one_for_http_1_0_either(gateway: Gateway) -> None:
    """Its plain end would look like the end of the body: the connection is reset."""
    later = Later(HEAD + b"\r\nabcdefghij", b"", reset=True)
    with gateway.connect() as client:
        client.send(request(gateway, later, version=b"1.0"))
        client._until(b"\r\n\r\nabcdefghij")
        gateway.upstream.set_event(later.passed)
        with pytest.raises((Cut, ConnectionResetError)) as ended:
            client._exactly(1)
    assert ended.type is ConnectionResetError


@pytest.mark.parametrize(
    "half",
    every(b"|H|HTTP/1.1|HTTP/1.1 200|HTTP/1.1 200 OK\r|HTTP/1.1 200 OK\r\n|HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r"),
)
def test_f23_a_connection_that_ends_before_a_whole_head_is_502(gateway: Gateway, half: bytes) -> None:
    assert answered(gateway, then_close(half), b"POST").status == 502


def test_f23_bytes_behind_a_whole_response_never_answer_another_request(gateway: Gateway) -> None:
    """Sent when the connection is back in the pool."""
    again = asyncio.Event()

    async def eager(conversation: Conversation, received: Received) -> None:
        conversation.send(OK)
        await again.wait()
        conversation.send(SMUGGLED)
        dropped.set() if await conversation.closed() == b"" else None

    dropped = threading.Event()
    with gateway.connect() as client:
        client.send(request(gateway, eager))
        assert client.answer().body == b"ok"
        gateway.upstream.set_event(again)
        assert dropped.wait(PATIENCE)
        client.send(GET * 3)
        assert [client.answer().body for _ in range(3)] == [b"ok"] * 3


def test_f23_an_early_response_ends_both_connections(gateway: Gateway) -> None:
    """The request's body was not complete: what the client still sends must not be read as anything else."""

    async def early(conversation: Conversation, received: Received) -> None:
        conversation.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await conversation.closed()
        dropped.set()

    dropped = threading.Event()
    segment = gateway.upstream.play(early).encode()
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"POST /open/" + segment + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
        answer = client.answer()
        assert (answer.status, answer.get(b"connection"), answer.body) == (403, b"close", b"no")
        client.send(b"x" * 99_997 + b"GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.rest() == b""
    assert dropped.wait(PATIENCE)
    assert b"smuggled" not in gateway.fence(mark)


# what is legal of a response

LEGAL = {
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "an empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "a reason beyond ASCII": (b"HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "blanks around a value": (HEAD + b"Content-Length: \t 2 \t\r\n\r\nok", 200, b"ok"),
    "no blank before a value": (HEAD + b"content-length:2\r\n\r\nok", 200, b"ok"),
    "leading zeros": (HEAD + b"Content-Length: 0002\r\n\r\nok", 200, b"ok"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n01;a=b\r\nk\r\n000\r\nX: y\r\n\r\n", 200, b"ok"),
    "Chunked": (HEAD + b"transfer-encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    "large hexadecimal digits": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        200,
        b"0123456789",
    ),
    "an empty body": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b""),
    "an empty field": (HEAD + b"A:\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "a status without a name": (b"HTTP/1.1 299 X\r\nContent-Length: 2\r\n\r\nok", 299, b"ok"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),
    "an error": (b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
    "a range": (b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok", 206, b"ok"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "keep-alive": (
        HEAD + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
    ),
}


@pytest.mark.parametrize(("response", "status", "body"), LEGAL.values(), ids=LEGAL.keys())
def test_f23_a_legal_response_is_passed_on_and_its_connection_used_again(
    gateway: Gateway, response: bytes, status: int, body: bytes
) -> None:
    gateway.passes(GET)
    before = len(gateway.upstream.streams)
    for _ in range(2):
        answer = answered(gateway, response)
        assert (answer.status, answer.body) == (status, body)
        assert answer.get(b"x") is None
        assert answer.get(b"keep-alive") is None
    assert len(gateway.upstream.streams) == before


ENDING = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "close": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "close among others": HEAD + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nok",
    "close and keep-alive": HEAD + b"Connection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("response", ENDING.values(), ids=ENDING.keys())
def test_f23_a_connection_that_the_upstream_will_close_is_not_used_again(gateway: Gateway, response: bytes) -> None:
    broken = Broken(response)
    assert answered(gateway, broken).body == b"ok"
    assert broken.dropped.wait(PATIENCE)


@pytest.mark.parametrize(
    "head", every(b"HTTP/1.1 200 OK\r\n\r\n|HTTP/1.0 200 OK\r\n\r\n|HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
)
def test_f23_a_response_that_ends_with_its_connection_is_framed_anew(gateway: Gateway, head: bytes) -> None:
    answer = answered(gateway, then_close(head + b"all of it"))
    assert (answer.get(b"transfer-encoding"), answer.body) == (b"chunked", b"all of it")


def test_f23_a_chunked_response_is_plain_to_http_1_0(gateway: Gateway) -> None:
    play = always(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    with gateway.connect() as client:
        client.send(request(gateway, play, version=b"1.0"))
        raw = client.rest()
    assert raw.endswith(b"\r\n\r\nok")
    assert b"chunked" not in raw


@pytest.mark.parametrize("fields", every(b"Content-Length: 42\r\n|Transfer-Encoding: chunked\r\n|"))
def test_f23_the_response_to_head_has_no_body_whatever_its_fields_say(gateway: Gateway, fields: bytes) -> None:
    answer = answered(gateway, HEAD + fields + b"\r\n", b"HEAD")
    assert answer.status == 200
    assert answer.get(b"content-length") == (b"42" if b"42" in fields else None)


def test_f23_a_body_that_answers_head_never_reaches_the_client(gateway: Gateway) -> None:
    broken = Broken(OK)
    answer = answered(gateway, broken, b"HEAD")
    assert answer.status == 502
    assert broken.dropped.wait(PATIENCE)


# interim responses (RFC 9110 section 15.2)

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "passed"),
    [
        (HINTS, [103]),
        (HINTS * 3, [103] * 3),
        (CONTINUE, []),
        (CONTINUE * 3, []),
        (PROCESSING, [102]),
        (CONTINUE + HINTS + PROCESSING + CONTINUE, [103, 102]),
        (b"HTTP/1.1 199 X\r\nContent-Length: 5\r\n\r\n", [199]),
        (HINTS * 200, [103] * 200),
    ],
)
def test_f23_interim_responses_are_passed_on_but_for_continue(
    gateway: Gateway, before: bytes, passed: list[int]
) -> None:
    answer = answered(gateway, before + OK)
    assert (answer.status, answer.body) == (200, b"ok")
    assert [int(head.split(b" ")[1]) for head in answer.interim] == passed
    assert all(b"ontent-" not in head for head in answer.interim)


def test_f23_an_interim_response_keeps_its_fields_and_loses_those_of_the_hop(gateway: Gateway) -> None:
    hints = b"HTTP/1.1 103 X\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nServer: x\r\n\r\n"
    answer = answered(gateway, hints + OK)
    assert answer.interim == [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 penstock\r\n\r\n"]


def test_f23_an_http_1_0_client_gets_no_interim_response(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(request(gateway, HINTS + OK, version=b"1.0"))
        answer = client.answer()
    assert (answer.status, answer.interim) == (200, [])


def test_f23_an_interim_response_reaches_the_client_before_the_final_one(gateway: Gateway) -> None:
    passed = asyncio.Event()

    async def hinting(conversation: Conversation, received: Received) -> None:
        conversation.send(HINTS)
        await passed.wait()
        conversation.send(OK)

    with gateway.connect() as client:
        client.send(request(gateway, hinting))
        assert client._until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
        gateway.upstream.set_event(passed)
        assert client.answer().body == b"ok"


@pytest.mark.parametrize("interim", [HINTS, CONTINUE])
def test_f23_nothing_but_an_interim_response_is_502(gateway: Gateway, interim: bytes) -> None:
    assert answered(gateway, then_close(interim), b"POST").status == 502


# F22: what a response may not smuggle into the reply


def test_f22_fields_of_this_hop_and_framing_never_come_twice(gateway: Gateway) -> None:
    response = (
        HEAD
        + b"Connection: X-A, Content-Length, Date, Content-Type\r\nX-A: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\n"
        b"Trailer: x\r\nTE: x\r\nServer: x\r\nX-Request-Id: evil\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nok"
    )
    answer = answered(gateway, response)
    names = [name for name, _ in answer.fields]
    assert len(names) == len(set(names))
    assert not {b"x-a", b"proxy-connection", b"upgrade", b"trailer", b"te", b"connection"} & set(names)
    assert answer.get(b"content-type") == b"a/b"
    assert answer.get(b"x-request-id") != b"evil"


def test_f22_a_line_break_cannot_come_into_a_header_by_a_policy(gateway: Gateway) -> None:
    """What a manifest says is refused at publish; nothing of a request is ever copied into a line unchecked."""
    for value in ("x\\r\\nSet-Cookie: y", "x\\ny", "x\\0y"):
        steps = f'[{{use: headers, with: {{response: {{set: {{X-A: "{value}"}}}}}}}}]'
        found = gateway.node.apply(f"{{kind: Policy, name: broken, steps: {steps}}}", dry_run="true")
        assert found.status_code == 422, found.text
