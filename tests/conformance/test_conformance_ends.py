"""Requests that end before their end, and connections that end before their requests (CASES F18, F23, F24, A58)."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tests.conformance.gateway_node import Gateway
from tests.conformance.raw_client import Client
from tests.server.nodes import Node

CUTS = {
    "counted": (b"Content-Length: 10\r\n\r\n", b"hello", b"hello"),
    "in a chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"a\r\nhello", b"5\r\nhello\r\n"),
    "between chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"5\r\nhello\r\n"),
    "before the trailers": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n", b"5\r\nhello\r\n"),
    "in a trailer": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b", b"5\r\nhello\r\n"),
}


def reset(client: Client) -> None:
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client._socket.close()


@pytest.mark.parametrize("how", ["closed", "half-closed", "reset"])
@pytest.mark.parametrize(("framing", "sent", "passed"), CUTS.values(), ids=CUTS.keys())
def test_f18_a_body_that_is_cut_never_becomes_a_whole_one(
    gateway: Gateway, framing: bytes, sent: bytes, passed: bytes, how: str
) -> None:
    """What the upstream got has no end, and nothing else comes behind it on that connection."""
    mark = gateway.upstream.mark()
    complete = len(gateway.upstream.completed)
    with gateway.connect() as client:
        client.send(b"POST /open/cut HTTP/1.1\r\nHost: a\r\n" + framing + sent)
        while not gateway.upstream.since(mark).endswith(b"\r\n\r\n" + passed):
            pass
        if how == "reset":
            reset(client)
        elif how == "half-closed":
            client.end()
            assert client.rest() == b""
    came = gateway.fence(mark)
    assert came.endswith(b"\r\n\r\n" + passed)
    assert len(gateway.upstream.completed) == complete + 1  # the fence
    stream = next(each for each in reversed(gateway.upstream.streams) if b"POST /cut " in each.raw)
    assert bytes(stream.raw).endswith(passed)


@pytest.mark.parametrize("data", [b"", b"G", b"GET /open/x HTTP/1.1\r\n", b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r"])
def test_f18_a_head_that_is_cut_reaches_nobody(gateway: Gateway, data: bytes) -> None:
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(data)
        client.end()
        assert client.rest() == b""
    assert gateway.fence(mark) == b""


def test_f18_a_refusal_is_heard_by_a_client_that_still_sends(gateway: Gateway) -> None:
    """A megabyte behind a refused head: the refusal is not lost in a reset (RFC 9112 section 9.6)."""
    head = b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
    gateway.refuses(head, 400, behind=b"x" * 1_000_000)


def test_f18_an_unread_body_is_not_the_next_request(gateway: Gateway) -> None:
    """401 without reading the body, which looks like a request; the next one behind it is answered."""
    smuggled = b"GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    refused = b"POST /keyed/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    came = gateway.passes(refused + smuggled, b"GET /open/next HTTP/1.1\r\nHost: a\r\n\r\n", statuses=(401, 200))
    assert b"smuggled" not in came
    assert came.startswith(b"GET /next ")


def test_f18_an_unread_chunked_body_closes_the_connection(gateway: Gateway) -> None:
    smuggled = b"GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(b"POST /keyed/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.get(b"connection")) == (401, b"close")
        client.send(b"0\r\n\r\n" + smuggled)
        assert client.rest() == b""
    assert gateway.fence(mark) == b""


@pytest.mark.soak
@pytest.mark.parametrize("sent", [b"", b"GET /x HTTP/1.1\r\nHost:"])
def test_f24_a_request_must_arrive_in_time(tmp_path_factory: pytest.TempPathFactory, sent: bytes) -> None:
    """A node with a deadline of two seconds, which bytes that drip do not move."""
    with Node(tmp_path_factory.mktemp("slow"), workers=1, PENSTOCK_HEAD_TIMEOUT="2") as node:
        node.start()
        address = node.url.removeprefix("http://").split(":")
        with Client((address[0], int(address[1]))) as client:
            began = time.monotonic()
            client.send(sent)
            for _ in range(15 if sent else 0):
                time.sleep(0.1)
                client.send(b" ")
            answered = client.rest()
            took = time.monotonic() - began
    assert answered.startswith(b"HTTP/1.1 408 ") if sent else answered == b""
    assert 1.8 <= took <= 3.0
