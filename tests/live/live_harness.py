"""Documents that are live in memory, with kinds that write down what happens to an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel

from gateway.backend import fixed
from gateway.core.call import Backend, Call
from gateway.core.clock import ManualClock
from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange, Head, Reply, Step, StepResult
from gateway.core.identity import Identity
from gateway.core.ids import id_source
from gateway.core.kinds import BackendKind, Built, Caller, Kind, Kinds, Presented, Services, Site, Stage
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, MemoryWire
from gateway.live.build import Settings
from gateway.live.slots import Builder
from gateway.live.space import build_router
from gateway.live.swap import LiveSnapshot, Swapper
from gateway.policy import anonymous, cors, headers, mirror, mock, respond
from gateway.policy.admit import admit
from gateway.schema.types import Operation, Types
from gateway.snapshot.compile import compile
from gateway.snapshot.spec import Snapshot
from gateway.telemetry.mirrors import Mirrors
from tests.snapshot.snapshot_harness import source


class Note(BaseModel):
    """Writes `text` down; a step that `refuses` does so then."""

    text: str
    refuses: bool = False


class Admit(BaseModel):
    """Proves an identity with this plan; its claims cannot be read where they are `unreadable`."""

    plan: str | None = None
    unreadable: bool = False


class Known(BaseModel):
    """Knows applications by a header, `name` or `name/pinned version`; proves nothing."""

    header: str = "X-App"


class Tap(BaseModel):
    """Puts a letter behind each piece, of the request or the response."""

    letter: str
    of: Literal["request", "response"] = "response"


class Unreadable(dict[str, Any]):
    """A condition over these claims errs."""

    def get(self, *_arguments: Any) -> Any:
        raise RuntimeError("nobody can read this")


def _note(config: Note, site: Site) -> Built:
    seen: list[str] = site.services.named("seen")

    def step(exchange: Exchange) -> StepResult:
        what = "" if exchange.body is None else f" body={exchange.body.decode()}"
        what += "" if exchange.call is None else f" call={exchange.call.operation}"
        seen.append(config.text + what)
        if config.refuses:
            raise Forbidden(f"{config.text} refuses")
        return None

    def after(_exchange: Exchange, reply: Reply) -> None:
        seen.append(f"after {config.text} {reply.status}")

    return Built(step=step, after=after)


def _admit(config: Admit, site: Site) -> Built:
    claims: Any = Unreadable() if config.unreadable else {}
    identity = Identity("somebody", "test", plan=config.plan, claims=claims)

    def step(exchange: Exchange) -> StepResult:
        site.services.named("seen").append("admit")
        return admit(exchange, identity)

    return Built(step=step)


def _known(config: Known, _site: Site) -> Built:
    def read(head: Head) -> Caller | None:
        name, _, version = (head.get(config.header.lower().encode()) or b"").decode().partition("/")
        return Caller(name, version or None) if name else None

    return Built(presented=Presented(read, config.header))


def _tap(config: Tap, _site: Site) -> Built:
    def tap(_exchange: Exchange) -> Callable[[bytes, bool], bytes]:
        return lambda data, _end: data + config.letter.encode() if data else data

    return Built(**{f"{config.of}_tap": tap})


KINDS: Kinds = {
    kind.name: kind
    for kind in (
        anonymous.KIND, cors.KIND, headers.KIND, mirror.KIND, mock.KIND, respond.KIND,
        Kind("note", Note, _note),
        Kind("note-body", Note, _note, stage=Stage.BODY),
        Kind("note-call", Note, _note, stage=Stage.CALL),
        Kind("guard", Note, _note, protects=True),
        Kind("admit", Admit, _admit, protects=True, family="authentication"),
        Kind("tap", Tap, _tap),
        Kind("known", Known, _known, protects=True),
    )
}  # fmt: skip


@dataclass
class Connection:
    """A backend's connection that knows whether it is open; a relay to it answers with the request's body."""

    url: str
    closed: bool = False

    async def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True

    def relay(self, _path: str | None, _parameters: Sequence[str], websocket: bool | None) -> Step:
        def relayed(exchange: Exchange) -> Reply:
            assert not self.closed, "used after it was closed"
            return Reply(200, [(b"X-Upstream", self.url.encode()), (b"X-WebSocket", str(websocket).encode())])

        return relayed


class Held(Backend):
    """Answers once it is let go."""

    def __init__(self, go: asyncio.Event, value: Any) -> None:
        self.go, self.value = go, value

    async def invoke(self, call: Call) -> Any:
        await self.go.wait()
        return self.value

    async def close(self) -> None: ...


class Http(BaseModel):
    targets: list[str]
    timeout: str = ""
    connect_timeout: str = ""
    idle_timeout: str = ""
    stream_idle: str = ""
    retries: int = 0
    max_connections: int = 0


class HttpCall(BaseModel, extra="allow"):
    """An operation's part, whatever it says."""


@dataclass
class World:
    """`seen` is what the kinds wrote down; `opened` the connections in their order."""

    seen: list[str] = field(default_factory=list)
    opened: list[Connection] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.live = LiveCell(build_router(()), ids=id_source("id"))
        self.clock = ManualClock()
        self.mirrors = Mirrors()
        services = Services(self.mirrors, seen=self.seen, clock=self.clock)
        self.backend_kinds = {
            "fixed": fixed.KIND,
            "python": BackendKind("python", None, None, None, self._bind),
            "http": BackendKind("http", Http, HttpCall, self._open, lambda *_: Held(self.go, None)),
        }
        settings = Settings(Builder(KINDS, services, {}), self.backend_kinds, body_limit=1000)
        self.swaps: list[LiveSnapshot] = []
        self.swapper = Swapper(self.live, settings, self.swaps.append)

    def _open(self, config: Http, _services: Services) -> Connection:
        if "broken" in config.targets[0]:
            raise ValueError("this connection cannot be opened")
        self.opened.append(Connection(config.targets[0]))
        return self.opened[-1]

    def _bind(self, _config: Any, _connection: Any, _operation: Operation, _types: Types, _services: Any) -> Backend:
        return Held(self.go, 1)

    async def compile(self, *texts: str, **more: Any) -> Snapshot:
        """`more` are members of the source: `canaries`, `lifecycles`."""
        made = replace(await source("---\n".join(texts)), **more)
        return compile(made, {}, KINDS, self.backend_kinds)

    async def serve(self, *texts: str, **more: Any) -> None:
        """These documents, and nothing else."""
        self.swapper.swap(await self.swapper.prepare(await self.compile(*texts, **more)))

    async def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return await MemoryWire.request(self.live, method, target, fields, body)
