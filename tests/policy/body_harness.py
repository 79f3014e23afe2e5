"""Policy kinds that read bodies, in the chain that `live` makes of them: before a relay to a recording upstream, over
real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.bodies import BodyLimits
from gateway.core.exchange import Exchange, Reply
from gateway.core.ids import id_source
from gateway.core.kinds import Built, Kind, Services
from gateway.core.live import LiveCell
from gateway.frontend.rest.problems import render
from gateway.live.chains import Ending, Frame, endpoint_chain
from gateway.live.slots import Builder, Shared, build_slots
from gateway.relay.pool import open_upstream
from gateway.server.kinds import POLICY_KINDS
from gateway.snapshot.spec import StepSpec
from tests.policy.policy_harness import Gateway
from tests.serving import Client, Observed, Routes, connected, served
from tests.upstreams import Answering, RecordingUpstream, upstream

LIMIT = 100_000
JSON = "application/json"


@dataclass
class Answered:
    status: int
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def problem(self) -> Any:
        return orjson.loads(self.body)

    @property
    def places(self) -> list[str]:
        """What the errors of a problem point at."""
        return [error["target"] for error in self.problem.get("errors", ())]


@dataclass
class Relaying:
    """A gateway whose only endpoint relays to `upstream` behind the steps."""

    client: Client
    upstream: RecordingUpstream
    live: LiveCell

    async def request(
        self, method: str = "POST", body: bytes = b"", target: str = "/orders", *, media_type: str = JSON, **fields: str
    ) -> Answered:
        """`fields` have `_` for `-`. A body given as chunks is `Transfer_Encoding="chunked"` and framed already."""
        lines = {"Host": "shop.example", "Content-Type": media_type}
        lines |= {name.replace("_", "-"): value for name, value in fields.items()}
        if "Transfer-Encoding" not in lines:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.client.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return Answered(*await self.client.answer(method.encode()))


def step(use: str, config: Mapping[str, Any] | None = None, id: str = "", when: Any = None) -> StepSpec:
    return StepSpec(id=id or use, use=use, config=dict(config or {}), when=when, scope="shop@v2", place="shop.yaml:1:1")


@contextlib.asynccontextmanager
async def relaying(
    *steps: StepSpec,
    answering: Answering | None = None,
    kinds: Sequence[Kind[Any]] = (),
    limits: BodyLimits | None = None,
    services: Sequence[object] = (),
    openapi: Mapping[str, Any] | None = None,
) -> AsyncIterator[Relaying]:
    """`kinds`: further ones, for these steps alone; `openapi`: the version's document."""
    limits = limits or BodyLimits(LIMIT)
    gateway = Gateway()
    offered = Services(limits, *services, directory=gateway.directory, counters=gateway.counters, clock=gateway.clock)
    builder = Builder({**POLICY_KINDS, **{kind.name: kind for kind in kinds}}, offered, {})
    slots = build_slots(
        steps, "shop", "v2", "ANY /orders", builder, Shared(lambda: openapi or {"components": {"schemas": {}}})
    )
    async with upstream(answering) as recording:
        opened = open_upstream([recording.url])
        frame = Frame(body_limit=limits.default)
        chain = endpoint_chain("shop@v2", slots, Ending(opened.relay(None, ())), frame, render, {})
        live = LiveCell(Routes(any=chain), ids=id_source("id"), observe=Observed())
        try:
            async with served(live) as address, connected(address) as client:
                yield Relaying(client, recording, live)
        finally:
            await opened.close()


def response(body: bytes, *lines: str, status: str = "200 OK", media_type: str = JSON) -> bytes:
    """An upstream's."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def built(step: Callable[[Exchange], Any] | None = None, after: Callable[[Exchange, Reply], Any] | None = None) -> Any:
    """A `build` that gives these."""
    return lambda _config, _site: Built(step=step, after=after)
