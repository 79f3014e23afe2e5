"""The runtime's side: gateways connect, prove themselves, learn what is hosted here, and call it.

What a gateway no longer waits for is cancelled: a call that it takes back, and all calls of a connection that is gone.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

import orjson

from gateway import __version__
from gateway.core.call import Call
from gateway.core.errors import InternalError, Problem
from gateway.core.secrets import Secret
from gateway.runtime import proving
from gateway.runtime.call_messages import context_from
from gateway.runtime.contracts import Process
from gateway.runtime.embedded import EmbeddedRuntime, Runner
from gateway.runtime.frames import BadFrame, Frames, pack
from gateway.runtime.problem_messages import problem_message
from gateway.schema.json_codec import loads, reader, writer

log: Final = logging.getLogger("gateway.runtime")

UNREAD: Final = 256 * 1024 * 1024  # bytes of answers that a gateway does not read, above which it is let go
NONSENSE: Final = (BadFrame, KeyError, TypeError, ValueError, AttributeError)

Outcome = str  # answered, refused (a Problem below 500), failed, cancelled


class Served(NamedTuple):
    """A process with its codecs: JSON text in, JSON text out."""

    run: Runner
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] | None

    @classmethod
    def of(cls, process: Process, runtime: EmbeddedRuntime) -> Served:
        operation, types = process.operation, process.types
        write = None if operation.output is None else writer(operation.output, operation.output_nullable, types)
        return cls(runtime.runner(process.name), reader(operation.input, False, types), write)


class RuntimeServer:
    """`token` is what gateways must know, `limit` bounds one input or output in bytes."""

    def __init__(self, runtime: EmbeddedRuntime, name: str, token: Secret | None, limit: int) -> None:
        self.name = name
        self.token = token
        self.limit = limit
        self.started = time.time()
        self.described = orjson.dumps(runtime.registry.described())
        self.connections: set[Connection] = set()
        self.calls: Counter[tuple[str, Outcome]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running = 0
        self.is_draining = False
        self._served = {each.name: Served.of(each, runtime) for each in runtime.registry}
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone = asyncio.Event()  # without a gateway
        self._alone.set()

    def connection(self) -> Connection:
        return Connection(self)

    def take(self, connection: Connection) -> None:
        """One whose gateway is known."""
        self.connections.add(connection)
        self._alone.clear()

    def let_go(self, connection: Connection) -> None:
        """It is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._alone.set()

    def greeting(self, of_runtime: str, of_gateway: str) -> bytes:
        """What a gateway is told once it is known."""
        told = {
            "proof": proving.proof(self.token, proving.RUNTIME, of_runtime, of_gateway),
            "runtime": self.name,
            "release": __version__,
            "started": self.started,
            "limit": self.limit,
            "draining": self.is_draining,
        }
        return pack(told, self.described)

    async def call(self, told: Mapping[str, Any], body: bytes) -> bytes:
        """The answer's frame."""
        name, number = str(told["process"]), told["id"]
        began, outcome = time.perf_counter(), "cancelled"
        self._begin()
        try:
            content = await self._answer(name, told, body)
            outcome = "answered"
            return pack({"id": number}, content)
        except Problem as problem:
            outcome = "failed" if problem.status >= 500 else "refused"
            return pack({"id": number, "problem": problem_message(problem)})
        finally:
            self._end()
            if name in self._served:
                self.calls[name, outcome] += 1
                self.seconds[name] += time.perf_counter() - began

    def _begin(self) -> None:
        self.running += 1
        self._idle.clear()

    def _end(self) -> None:
        self.running -= 1
        if not self.running:
            self._idle.set()

    async def _answer(self, name: str, told: Mapping[str, Any], body: bytes) -> bytes:
        try:
            served = self._served[name]
            given, context = served.read(loads(body)), context_from(told["context"])
            output = await served.run(Call(name, given, context))
            content = b"null" if served.write is None else orjson.dumps(served.write(output))
        except Problem:
            raise
        except Exception as error:
            log.error("call %s of %s failed", told.get("id"), name, exc_info=error)
            raise InternalError("The runtime could not make the call; its log tells more.") from error
        if len(content) > self.limit:
            raise InternalError(f"The output of {name} is {len(content)} bytes; a message may have {self.limit}.")
        return content

    def drain(self) -> None:
        """Gateways are told to call others; what runs goes on."""
        self.is_draining = True
        for each in self.connections:
            each.tell({"going": True})

    async def idle(self) -> None:
        """Until nothing runs."""
        await self._idle.wait()

    async def left(self) -> None:
        """Until every gateway has left, as each does that heard of the draining and has its answers: what was on its
        way here meanwhile is answered as well."""
        await self._alone.wait()
        await self._idle.wait()

    def samples(self) -> dict[str, list[list[Any]]]:
        """See `telemetry.families`."""
        return {
            "penstock_process_calls_total": [[*key, count] for key, count in self.calls.items()],
            "penstock_process_seconds_total": [[name, seconds] for name, seconds in self.seconds.items()],
            "penstock_process_running": [[self.running]],
            "penstock_process_gateways": [[len(self.connections)]],
        }

    def close(self) -> None:
        for each in tuple(self.connections):
            each.close()


class Connection(asyncio.Protocol):
    """One gateway worker's."""

    def __init__(self, server: RuntimeServer) -> None:
        self._server = server
        self._frames = Frames(0, proving.GREETING)
        self._nonce = proving.new_nonce()
        self._known = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._transport: asyncio.Transport | None = None
        self._silent: asyncio.TimerHandle | None = None
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = _peer(self._transport)
        self._silent = asyncio.get_running_loop().call_later(proving.PATIENCE, self._transport.abort)
        self.tell({"penstock": proving.PROTOCOL, "nonce": self._nonce})

    def data_received(self, data: bytes) -> None:
        try:
            for told, body in self._frames.feed(data):
                if self._known:
                    self._handle(told, body)
                else:
                    self._greet(told)
                if self._transport is None or self._transport.is_closing():
                    return
        except NONSENSE as error:
            log.warning("%s sent what is no message of a gateway: %s", self._peer, type(error).__name__)
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._silent is not None:
            self._silent.cancel()
        self._server.let_go(self)
        self._transport = None
        for task in tuple(self._tasks.values()):
            task.cancel()

    def _greet(self, told: Mapping[str, Any]) -> None:
        """Its first message has to prove that it knows the token."""
        server, theirs = self._server, told["nonce"]
        if not isinstance(theirs, str) or len(theirs) < len(self._nonce):
            raise ValueError("a nonce that is too short")
        if not proving.holds(told["proof"], proving.proof(server.token, proving.GATEWAY, self._nonce, theirs)):
            log.warning("%s does not know this runtime's token and is refused", self._peer)
            self.tell({"refused": "token"})
            self.close()
            return
        assert self._silent is not None
        self._silent.cancel()
        self._known = True
        self._frames.limit, self._frames.json_limit = server.limit, server.limit
        server.take(self)
        self._write(server.greeting(self._nonce, theirs))

    def _handle(self, told: Mapping[str, Any], body: bytes) -> None:
        do = told["do"]
        if do == "call":
            number = int(told["id"])
            task = self._tasks[number] = asyncio.get_running_loop().create_task(self._run(told, body))
            task.add_done_callback(lambda _task: self._tasks.pop(number, None))
        elif do == "cancel":
            task_ = self._tasks.get(int(told["id"]))
            if task_ is not None:
                task_.cancel()
        elif do == "ping":
            self.tell({"pong": True})
        else:
            raise ValueError("an unknown order")

    async def _run(self, told: Mapping[str, Any], body: bytes) -> None:
        self._write(await self._server.call(told, body))

    def tell(self, message: Mapping[str, Any]) -> None:
        self._write(pack(message))

    def _write(self, frame: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() > UNREAD:
            log.warning("%s does not read its answers and is let go", self._peer)
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _peer(transport: asyncio.Transport) -> str:
    """Who connects, for the log: an address, and whom its certificate names."""
    peer = transport.get_extra_info("peername")
    place = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "a gateway on the unix socket"
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    if not certificate:
        return place
    subject = cast(Any, certificate.get("subject", ()))
    names = [value for part in subject for name, value in part if name == "commonName"]
    return f"{place} ({', '.join(names)})" if names else place
