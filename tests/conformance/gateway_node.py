"""The started gateway of the conformance tests: one node, one worker, a recording raw upstream, and what every case
is checked for."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from tests.conformance.raw_client import Answer, Client
from tests.conformance.raw_upstream import RawUpstream
from tests.server.nodes import Node, alive

SMUGGLED: Final = b"GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
MAX_BODY: Final = 65_536  # what a buffering step accepts on this node
TRUSTED: Final = "127.0.0.2"  # a client that connects from here is a trusted proxy

DOCUMENTS: Final = """
kind: ApiComponent
name: open
version: v1
base_path: /open
backends: {{up: {{http: {{targets: ["{url}"], timeout: 5s, retries: 1}}}}}}
policies: [{{use: anonymous}}]
rest: {{"ANY /**": {{relay: up, path: "/**"}}}}
---
kind: ApiComponent
name: keyed
version: v1
base_path: /keyed
backends: {{up: {{http: {{targets: ["{url}"], timeout: 5s, retries: 1}}}}}}
policies:
  - {{use: api-key, with: {{forward: {{application: X-App}}}}}}
  - {{use: headers, with: {{request: {{set: {{X-Team: "{{application}}", X-Caller: "{{client}}"}}}}}}}}
rest: {{"ANY /**": {{relay: up, path: "/**"}}}}
---
kind: ApiComponent
name: guard
version: v1
base_path: /guard
documents: public
backends: {{up: {{http: {{targets: ["{url}"], timeout: 5s, retries: 1}}}}}}
rest:
  "ANY /pub/**": {{relay: up, path: "/pub/**", policies: [{{use: anonymous}}]}}
  "ANY /admin/**": {{relay: up, path: "/admin/**", policies: [{{use: api-key}}]}}
  "GET /keys": {{relay: up, path: "/keys", policies: [{{use: anonymous}}]}}
  "ANY /item/{{name}}": {{relay: up, path: "/items/{{name}}/public", policies: [{{use: anonymous}}]}}
---
kind: ApiComponent
name: typed
version: v1
base_path: /typed
operations:
  note:
    effect: writing
    input: {{text: string}}
    output: {{type: object, properties: {{said: string}}, required: [said]}}
    fixed: {{said: noted}}
policies: [{{use: api-key}}]
rest: {{"POST /notes": note}}
odata: {{operations: [note]}}
"""


@dataclass
class Gateway:
    """A node that relays `/open`, `/keyed` and `/guard` to the upstream."""

    node: Node
    upstream: RawUpstream
    key: str = ""
    pids: list[int] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.node.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def publish(self) -> None:
        found = self.node.apply(DOCUMENTS.format(url=self.upstream.url))
        assert found.status_code == 200, found.text
        self.node.admin("POST", "/applications", json={"name": "partner"})
        for api in ("typed", "guard"):
            self._key(api)
        self.key = self._key("keyed")
        self.pids = self.node.workers_pids()

    def _key(self, api: str) -> str:
        made = self.node.admin("POST", "/keys", json={"application": "partner", "api": api})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def key_of(self, api: str) -> bytes:
        return b"X-API-KEY: " + self._key(api).encode() + b"\r\n"

    @property
    def credential(self) -> bytes:
        """The header line of a key for `/keyed`."""
        return b"X-API-KEY: " + self.key.encode() + b"\r\n"

    def connect(self, source: str | None = None) -> Client:
        return Client(self.address, source)

    # what holds for every case

    def fence(self, mark: list[int]) -> bytes:
        """What reached the upstream since the mark. Another request is served, by the same process: the worker lives.
        Whatever the gateway had sent before has arrived when that request has."""
        target = b"/fence%d" % next(self._numbers)
        with self.connect() as client:
            client.send(b"GET /open" + target + b" HTTP/1.1\r\nHost: fence\r\nConnection: close\r\n\r\n")
            assert client.answer().status == 200
        assert self.node.workers_pids() == self.pids
        assert all(alive(pid) for pid in self.pids)
        came = self.upstream.since(mark)
        found = re.search(rb"GET " + target + rb" HTTP/1\.1\r\n(?:[^\r\n]+\r\n)+\r\n", came)
        assert found is not None
        return came[: found.start()] + came[found.end() :]

    def refuses(self, data: bytes, *statuses: int, behind: bytes = SMUGGLED, method: bytes = b"GET") -> Answer:
        """A message that is refused: one reply of these statuses, the connection closed, not one byte sent on."""
        mark = self.upstream.mark()
        with self.connect() as client:
            client.send(data + behind)
            answer = client.answer(method)
            assert client.rest() == b"", "something follows the refusal"
        assert answer.status in statuses, answer
        assert answer.get(b"connection") == b"close"
        assert self.fence(mark) == b""
        return answer

    def passes(self, *requests: bytes, statuses: tuple[int, ...] | None = None) -> bytes:
        """Requests on one connection that are all answered, in order; what reached the upstream for them."""
        mark = self.upstream.mark()
        with self.connect() as client:
            client.send(b"".join(requests))
            for index, request in enumerate(requests):
                answer = client.answer(request.lstrip(b"\r\n").split(b" ")[0])
                assert answer.status == (statuses[index] if statuses else 200), answer
        return self.fence(mark)


FORWARDED: Final = (
    rb"\r\nForwarded: [^\r\n]+\r\nX-Forwarded-For: [^\r\n]+\r\nX-Forwarded-Proto: http"
    rb"(?:\r\nX-Forwarded-Host: [^\r\n]+)?\r\nVia: 1\.[01] penstock"
)
REQUEST_ID: Final = rb"\r\nX-Request-Id: [0-9A-Za-z-]+\r\n\r\n"


def relayed(line: bytes, upstream: RawUpstream, fields: bytes = b"", behind: bytes = b"\r\n\r\n") -> re.Pattern[bytes]:
    """The whole request as the upstream must get it: `fields` of the client (raw lines), ours, then `behind`: the
    framing, the empty line and the body."""
    host = b"\r\nHost: 127.0.0.1:%d" % upstream.port
    framing, _, body = behind.partition(b"\r\n\r\n")
    first = re.escape(line + b" HTTP/1.1" + host + fields)
    return re.compile(first + FORWARDED + re.escape(framing) + REQUEST_ID + re.escape(body), re.DOTALL)


_MESSAGE: Final = re.compile(
    rb"[A-Z-]+ [!-~]+ HTTP/1\.1\r\n((?:[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
).match
_CHUNK: Final = re.compile(rb"([0-9a-f]+)\r\n").match


def well_formed(raw: bytes) -> bool:
    """These are whole requests, one behind the other; the last one may be incomplete."""
    while raw:
        match = _MESSAGE(raw)
        if match is None:
            return b"\r\n\r\n" not in raw and re.match(rb"[A-Z-]+(?: |\Z)", raw) is not None
        fields = match[1].lower()
        length = re.findall(rb"(?:^|\n)content-length: ([0-9]+)\r", fields)
        chunked = re.findall(rb"(?:^|\n)transfer-encoding: chunked\r", fields)
        if len(length) + len(chunked) > 1:
            return False
        rest = raw[match.end() :]
        left = _behind_chunks(rest) if chunked else rest[int(length[0]) if length else 0 :]
        if left is None:
            return False
        raw = left
    return True


def _behind_chunks(raw: bytes) -> bytes | None:
    """What follows a chunked body, nothing while it goes on; None for one that is malformed."""
    while (match := _CHUNK(raw)) is not None:
        size = int(match[1], 16)
        end = raw[match.end() + size : match.end() + size + 2]
        if not b"\r\n".startswith(end):
            return None
        raw = raw[match.end() + size + 2 :]
        if not size:
            return raw
    return b"" if re.fullmatch(rb"[0-9a-f]*\r?", raw) else None


def same(pattern: re.Pattern[bytes], came: bytes) -> None:
    """What came is the expected request, and nothing else."""
    assert pattern.fullmatch(came) is not None, f"\nexpected {pattern.pattern!r}\ncame     {came!r}"
