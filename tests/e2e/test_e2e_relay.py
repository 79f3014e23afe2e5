"""Bytes relayed through the gateway, both ways, whatever their framing."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.e2e.gateway_client import Node
from tests.e2e.node import pattern

SIZE = 5 * 1024 * 1024
BYTES = "/lab/bytes"


@pytest.fixture(scope="module")
def lab(node: Node) -> str:
    return node.key("lab")


def pieces(data: bytes, size: int = 70_001) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_five_megabytes_come_down_unchanged(node: Node, lab: str) -> None:
    """PROTOCOLS R9: more than any buffer holds."""
    with node.client.stream("GET", f"{node.url}{BYTES}/bytes/{SIZE}", headers={"X-API-KEY": lab}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Length"] == str(SIZE)
        digest, size = hashlib.sha256(), 0
        for piece in answer.iter_raw():
            digest.update(piece)
            size += len(piece)
    assert (size, digest.hexdigest()) == (SIZE, hashlib.sha256(pattern(SIZE)).hexdigest())


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_five_megabytes_go_up_unchanged(node: Node, lab: str, chunked: bool) -> None:
    """PROTOCOLS R9; the body is larger than what a buffering step accepts."""
    data = pattern(SIZE)
    answer = node.call("POST", f"{BYTES}/sum", lab, content=pieces(data) if chunked else data)
    assert answer.json() == {"sha256": hashlib.sha256(data).hexdigest(), "size": SIZE, "chunked": chunked}


def test_head_is_relayed_without_a_body(node: Node, lab: str) -> None:
    answer = node.call("HEAD", f"{BYTES}/bytes/1000", lab)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "1000", b"")
    assert node.call("GET", f"{BYTES}/bytes/10", lab).content == pattern(10)


def test_the_rest_of_the_path_and_the_query_go_on_byte_for_byte(node: Node, lab: str) -> None:
    path = "/echo/a%e2%82%acb%20c;x=1/?q=%E2%82%AC&q=+"
    answer = node.call("GET", f"{BYTES}{path}", lab)
    assert answer.status_code == 200, answer.text
    assert answer.json()["path"] == path


def test_a_path_that_servers_read_in_different_ways_is_refused(node: Node, lab: str) -> None:
    answer = node.call("GET", f"{BYTES}/echo/a%2Fb", lab)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["id"] == answer.headers["X-Request-Id"]
    assert problem["instance"].endswith(problem["id"])


def test_the_backend_sees_neither_the_key_nor_hop_by_hop_fields(node: Node, lab: str) -> None:
    """PROTOCOLS R2; DESIGN 11."""
    headers = {"Connection": "keep-alive, X-Private", "X-Private": "1", "X-Kept": "2"}
    answer = node.call("GET", f"{BYTES}/echo", lab, headers=headers)
    fields = dict(answer.json()["fields"])
    assert fields["x-kept"] == "2"
    assert not {"x-api-key", "x-private"} & set(fields)
    assert "via" in fields or "forwarded" in fields or "x-forwarded-for" in fields


@pytest.mark.parametrize("when", ["while it sends", "while it waits", "while it reads"])
def test_a_client_that_goes_away_hurts_nobody_else(node: Node, lab: str, when: str) -> None:
    """Several times, so that a leaked slot or a broken pooled connection would show."""
    address = urlsplit(node.url)
    requests = {
        "while it sends": f"POST {BYTES}/sum HTTP/1.1\r\nContent-Length: 1000000\r\n",
        "while it waits": f"POST {BYTES}/slow HTTP/1.1\r\nContent-Length: 10\r\n",
        "while it reads": f"GET {BYTES}/bytes/{SIZE} HTTP/1.1\r\n",
    }
    for _ in range(5):
        with closing(socket.create_connection((address.hostname, address.port), timeout=10)) as client:
            head = f"{requests[when]}Host: {address.netloc}\r\nX-API-KEY: {lab}\r\n\r\n"
            client.sendall(head.encode() + (b"x" * 5 if "Length" in head else b""))
            if when == "while it reads":
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
        data = pattern(10_000)
        answer = node.call("POST", f"{BYTES}/sum", lab, content=data)
        assert answer.json()["sha256"] == hashlib.sha256(data).hexdigest()
        assert node.call("GET", f"{BYTES}/bytes/5000", lab).content == pattern(5000)
