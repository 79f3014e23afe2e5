"""What lasts, on a whole node: ended when its key is revoked, and politely when the node ends (CASES A66)."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests import soak
from tests.server.nodes import Node, until
from tests.server.streaming_upstream import StreamingUpstream, streaming_upstream

GRACE = 15.0
LIVE = """
kind: ApiComponent
name: shop
version: v1
base_path: /live
backends:
  up: {{http: {{targets: ["{url}"], timeout: 60s}}}}
policies:
  - {{id: keys, use: api-key}}
rest:
  ANY /**: {{relay: up, path: "/**"}}
"""


@contextmanager
def streaming(folder: Path, **environment: str) -> Iterator[tuple[Node, StreamingUpstream]]:
    with streaming_upstream() as upstream, Node(folder, workers=1, **environment) as node:
        node.start()
        found = node.apply(LIVE.format(url=upstream.url))
        assert found.status_code == 200, found.text
        yield node, upstream


def chat(node: Node, key: str) -> ClientConnection:
    return connect(f"ws{node.url[4:]}/live/ws", additional_headers={"X-API-KEY": key}, compression=None, max_size=None)


def known_key(node: Node, application: str) -> str:
    """A key that the worker has heard of."""
    key = node.key(application)
    until(lambda: node.get("/live/slow/0", key).status_code == 200, "the key opens the API")
    return key


def said(socket_: ClientConnection, text: str) -> bool:
    socket_.send(text)
    return socket_.recv(30) == text


def ask(node: Node, path: str, key: str) -> socket.socket:
    """A connection that has sent its request."""
    address = urlsplit(node.url)
    sock = socket.create_connection((address.hostname, address.port), 60)
    sock.sendall(f"GET /live{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n\r\n".encode())
    return sock


def events(node: Node, key: str) -> socket.socket:
    """A connection that has read the first event."""
    sock, data = ask(node, "/events", key), b""
    while b"data: first\n\n" not in data:
        data += sock.recv(65536)
    return sock


def rest(sock: socket.socket, until_: bytes = b"") -> bytes:
    data = b""
    while not (until_ and data.endswith(until_)) and (piece := sock.recv(65536)):
        data += piece
    return data


def closed_with(socket_: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        socket_.recv(60)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def key_id(node: Node, application: str) -> str:
    (item,) = node.admin("GET", f"/keys?application={application}").json()["items"]
    return str(item["id"])


def revoke(node: Node, application: str) -> None:
    found = node.admin("DELETE", f"/keys/{key_id(node, application)}")
    assert found.status_code in {200, 204}, found.text


def test_what_lasts_ends_with_its_key_and_with_the_node(tmp_path: Path) -> None:
    """One node: first a key is revoked, then SIGTERM comes."""
    with streaming(tmp_path, PENSTOCK_GRACE=str(GRACE)) as (node, upstream):
        leaving, staying = known_key(node, "leaving"), known_key(node, "staying")
        with chat(node, leaving) as one, closing(events(node, leaving)) as stream, chat(node, staying) as other:
            assert said(one, "hello")
            assert said(other, "hello")
            revoke(node, "leaving")
            assert closed_with(one) == 1008
            assert rest(stream, b"0\r\n\r\n") == b"0\r\n\r\n"
            assert said(other, "still here")
            until(lambda: upstream.closed.count("/ws") == upstream.closed.count("/events") == 1, "both ended upstream")

            with closing(events(node, staying)) as last, closing(ask(node, "/slow", staying)) as slow:
                until(lambda: "/slow" in upstream.begun, "the request is in flight")
                node.process.send_signal(signal.SIGTERM)
                assert closed_with(other) == 1001
                assert rest(last) == b"0\r\n\r\n"
                assert node.process.poll() is None, "a request is in flight"
                upstream.let_go()
                assert rest(slow).endswith(b"\r\n\r\ndone")
            assert node.ended() == 0


@pytest.mark.soak
def test_a_revocation_takes_effect_within_a_second(tmp_path: Path, record: soak.Record) -> None:
    with streaming(tmp_path) as (node, _):
        times = []
        for number in range(10):
            key = known_key(node, f"partner-{number}")
            with chat(node, key) as client, closing(events(node, key)) as stream:
                assert said(client, "hello")
                time.sleep(1.1)  # it lasts
                id = key_id(node, f"partner-{number}")
                began = time.monotonic()
                node.admin("DELETE", f"/keys/{id}")
                assert closed_with(client) == 1008
                assert rest(stream, b"0\r\n\r\n") == b"0\r\n\r\n"
                times.append(time.monotonic() - began)
        record("from the call of the admin REST", f"{min(times):.2f} to {max(times):.2f} s")
        assert max(times) < 1.0


@pytest.mark.soak
def test_a_node_drains_within_its_grace_with_a_slow_request_a_stream_and_a_websocket(
    tmp_path: Path, record: soak.Record
) -> None:
    """CASES A66"""
    with streaming(tmp_path, PENSTOCK_GRACE=str(GRACE)) as (node, upstream):
        key = known_key(node, "partner")
        stuck = ask(node, "/slow", key)  # never answered
        with (
            chat(node, key) as client,
            closing(events(node, key)) as stream,
            closing(ask(node, "/slow/10", key)) as slow,
        ):
            assert said(client, "hello")
            until(lambda: "/slow/10" in upstream.begun, "the request is in flight")
            began = time.monotonic()
            node.process.send_signal(signal.SIGTERM)
            codes: list[int] = []
            listening = threading.Thread(target=lambda: codes.append(closed_with(client)))
            listening.start()
            assert rest(stream) == b"0\r\n\r\n"
            listening.join(10)
            polite = time.monotonic() - began
            assert rest(slow).endswith(b"\r\n\r\ndone")
            answered = time.monotonic() - began
            assert node.ended() == 0
            ended = time.monotonic() - began
        stuck.close()
        record("stream and WebSocket ended, the request was answered", f"after {polite:.2f} s, {answered:.2f} s")
        record("the node ended", f"after {ended:.2f} s of a grace of {GRACE} s")
        assert codes == [1001]
        assert 9 < answered < 12
        assert ended < GRACE + 1
