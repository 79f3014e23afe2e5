"""Publishing and restarting workers under clients that keep their connections (CASES A65; PERFORMANCE: reload)."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests import soak
from tests.server.keepalive import Clients
from tests.server.nodes import Node, gone, rules, until
from tests.upstreams import RecordingUpstream, always, upstream

FRONT: Final = """
kind: ApiComponent
name: shop
title: "{title}"
version: v1
base_path: /shop/{{version}}
backends: {{up: {{http: {{targets: ["{url}"]}}}}}}
operations: {{who: {{python: who}}}}
policies:
  - {{id: keys, use: api-key}}
  - house-rules
  - {{id: plenty, use: rate-limit, with: {{limit: 1000000/1d}}}}
rest:
  GET /who: who
  "ANY /up/**": {{relay: up}}
"""
UNBUILDABLE: Final = """
kind: ApiComponent
name: broken
version: v1
base_path: /broken
operations: {ask: {python: nowhere}}
policies: [{use: anonymous}]
rest: {GET /ask: ask}
"""


@contextmanager
def relayed() -> Iterator[str]:
    """The URL of an upstream in a thread of its own."""
    ready, stop = threading.Event(), threading.Event()
    found: list[RecordingUpstream] = []

    async def serve() -> None:
        async with upstream(always()) as recording:
            found.append(recording)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(60)
    try:
        yield found[0].url
    finally:
        stop.set()
        thread.join()


class Front:
    """A node with two workers, published under load: a call, relays with and without a body, key and limit."""

    def __init__(self, node: Node, url: str) -> None:
        self.node = node
        self._url = url
        found = node.apply(rules("first"), FRONT.format(title="first", url=url))
        assert found.status_code == 200, found.text
        key = node.key()
        fields = f"Host: shop\r\nX-API-KEY: {key}\r\n"
        self.requests = {
            f"GET /shop/v1/who HTTP/1.1\r\n{fields}\r\n".encode(): {200},
            f"GET /shop/v1/up/things HTTP/1.1\r\n{fields}\r\n".encode(): {200},
            f"POST /shop/v1/up/things HTTP/1.1\r\n{fields}Content-Length: 5\r\n\r\nthing".encode(): {200},
        }
        self.key = key
        until(lambda: {node.get("/shop/v1/who", key).status_code for _ in range(6)} == {200}, "workers know the key")

    def publish(self, mark: str) -> None:
        """A new revision and a new policy, live on every worker when this returns."""
        done = self.node.apply(rules(mark), FRONT.format(title=mark, url=self._url))
        assert done.status_code == 200, done.text
        assert self.marks() == {mark}

    def publish_what_cannot_be_built(self, before: str) -> None:
        refused = self.node.apply(UNBUILDABLE, rules("half"))
        assert refused.status_code == 409, refused.text
        assert self.marks() == {before}

    def marks(self) -> set[str]:
        return {self.node.get("/shop/v1/who", self.key).headers["x-mark"] for _ in range(4)}

    def restart(self, index: int) -> None:
        """SIGTERM to one worker, as an operator would; until its successor takes requests."""
        old = self.node.workers_pids()[index % self.node.workers]
        os.kill(old, signal.SIGTERM)
        gone(old)
        until(lambda: self.node.health().get("workers") == self.node.workers, "another took its place")


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with relayed() as url, Node(tmp_path, "--processes", "node_processes") as node:
        node.start()
        yield Front(node, url)


def test_publishing_and_restarting_under_kept_connections_fails_no_request(front: Front) -> None:
    with Clients(front.node.url, front.requests, 4) as clients:
        front.publish("second")
        front.restart(0)
        front.publish_what_cannot_be_built("second")
        front.publish("third")
        clients.answered(50, total=300)
    assert clients.tally.failed == []


@pytest.mark.soak
def test_20_publishes_and_20_worker_restarts_fail_none_of_30000_requests(front: Front, record: soak.Record) -> None:
    with Clients(front.node.url, front.requests) as clients:
        for number in range(20):
            front.publish(f"n{number}")
            front.restart(number)
            if number % 5 == 0:
                front.publish_what_cannot_be_built(f"n{number}")
        clients.answered(0, total=30_000)
    tally = clients.tally
    record("failed requests", f"{len(tally.failed)} of {tally.answered + len(tally.failed)}")
    record(
        "connections that a reply said would close, and that were closed between requests",
        f"{tally.told}, {tally.found}",
    )
    assert tally.failed == []


MANY: Final = 300
OTHER: Final = """
kind: ApiComponent
name: other-{number}
title: "{title}"
version: v1
base_path: /other-{number}
operations: {{who: {{python: who}}}}
policies: [{{use: api-key}}]
rest: {{{routes}}}
"""


def other(number: int, title: str = "") -> str:
    routes = ", ".join(f"GET /r{route}: who" for route in range(10))
    return OTHER.format(number=number, title=title, routes=routes)


@pytest.mark.soak
def test_publishing_one_version_among_300_keeps_no_request_waiting(front: Front, record: soak.Record) -> None:
    """PERFORMANCE: publish. How long a reply may take is recorded; the machine compiles meanwhile."""
    done = front.node.apply(*(other(number) for number in range(MANY)))
    assert done.status_code == 200, done.text
    seconds = []
    with Clients(front.node.url, front.requests, 2) as clients:
        for number in range(5):
            began = time.monotonic()
            done = front.node.apply(other(number, f"changed {number}"))
            assert done.status_code == 200, done.text
            seconds.append(time.monotonic() - began)
            clients.answered(20)
    tally = clients.tally
    record("slowest reply, p99", f"{max(tally.seconds) * 1000:.0f} ms, {tally.percentile(0.99) * 1000:.1f} ms")
    record("publish takes", f"{min(seconds):.1f} to {max(seconds):.1f} s")
    assert tally.failed == []
