"""A chain with a cache before a backend that answers as it is told, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Reply
from gateway.core.headers import finder
from gateway.core.identity import Identity
from gateway.core.ids import id_source
from gateway.core.kinds import Built
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, MemoryWire
from gateway.policy import cache
from gateway.relay.hygiene import request_head
from tests.policy.policy_harness import Gateway, OneChain

Fields = list[tuple[bytes, bytes]]


@dataclass
class Told:
    """What the backend says next."""

    status: int = 200
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # None: a number that counts requests


@dataclass
class Cached:
    """`asked` are the exchanges that reached the backend."""

    gateway: Gateway
    config: dict[str, Any] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    asked: list[Exchange] = field(default_factory=list)
    held: asyncio.Event | None = None  # the backend waits for it
    before: Sequence[Built] = ()
    behind: Sequence[Built] = ()

    def __post_init__(self) -> None:
        identify = Built(step=self._identify)
        built = self.gateway.build(cache.KIND, self.config)
        last: Any = self._backend
        self.chain: Chain = self.gateway.chain(identify, *self.before, built, *self.behind, last=last)
        self._heard = asyncio.Event()
        self.live = LiveCell(OneChain(self.chain), id_source("id"), self.gateway.clock)

    async def reached(self, count: int) -> None:
        """Once so many have come to the backend."""
        while len(self.asked) < count:
            self._heard.clear()
            await asyncio.wait_for(self._heard.wait(), 10)

    def worker(self) -> Cached:
        """Another worker on the same store, with the same backend."""
        other = Cached(self.gateway, self.config, self.told, self.asked, self.held)
        return other

    def _identify(self, exchange: Exchange) -> None:
        who = exchange.head.get(b"x-test-user")
        if who is not None:
            user, _, application = who.decode().partition("/")
            exchange.identity = Identity(user, "test", application=application or None)

    def _backend(self, exchange: Exchange) -> Any:
        self.asked.append(exchange)
        self._heard.set()
        reply = self._reply()
        return reply if self.held is None else self._wait(reply)

    async def _wait(self, reply: Reply) -> Reply:
        assert self.held is not None
        await self.held.wait()
        return reply

    def _reply(self) -> Reply:
        told = self.told
        date = formatdate(self.gateway.clock.time(), usegmt=True)
        fields = {"Date": date} | told.fields
        body = b"%d" % len(self.asked) if told.body is None else told.body
        return Reply(told.status, [(name.encode(), value.encode()) for name, value in fields.items() if value], body)

    async def get(self, target: str = "/a", method: str = "GET", body: bytes = b"", **fields: str) -> Answer:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        return await MemoryWire.request(self.live, method, target, named, body)

    def open(self, target: str = "/a", method: str = "GET", **fields: str) -> MemoryWire:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        return MemoryWire.open(self.live, method, target, named)

    def pass_time(self, seconds: float) -> None:
        self.gateway.clock.advance(seconds)

    def saw(self, name: bytes, at: int = -1) -> bytes | None:
        """A field of a request as an upstream would get it."""
        block = request_head(self.asked[at], b"/a", b"up", 0)
        values = finder(name)(block)
        return values[0] if values else None


def how(answer: Answer) -> str:
    """What Cache-Status says of the answer, in short."""
    return (answer.get(b"cache-status") or b"").decode().removeprefix("penstock; ").partition("; ttl")[0]
