"""A gateway for tests: a live cell over given chains, served by a started uvicorn with our protocol class."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from gateway.core.chain import Chain
from gateway.core.edge import problem_details
from gateway.core.errors import NotFound
from gateway.core.exchange import Exchange, Head, Reply, Step
from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.server.protocol import GatewayProtocol


def chain(*steps: Step, **parts: Any) -> Chain:
    return Chain("test", steps, problem_details, **parts)


def _nothing(_exchange: Exchange) -> Reply:
    raise NotFound("Nothing is here.")


@dataclass
class Routes:
    """A router over exact paths; `any` serves every other path."""

    paths: Mapping[bytes, Chain] = field(default_factory=dict)
    any: Chain = field(default_factory=lambda: chain(_nothing))
    params: tuple[bytes, ...] = ()
    entered: int = 0
    left: int = 0

    def find(self, head: Head) -> tuple[Chain, tuple[bytes, ...]]:
        return self.paths.get(head.path, self.any), self.params

    def enter(self) -> None:
        self.entered += 1

    def leave(self) -> None:
        self.left += 1


class Observed:
    """What the live cell's observer heard."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._heard = asyncio.Event()

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._heard.set()

    async def first(self, count: int = 1) -> list[Exchange]:
        """The exchanges, once so many have closed."""
        while len(self.exchanges) < count:
            self._heard.clear()
            await asyncio.wait_for(self._heard.wait(), 10)
        return self.exchanges


def cell(*steps: Step, **parts: Any) -> LiveCell:
    """A live cell that runs these steps for every request; `parts` are the chain's others."""
    return LiveCell(Routes(any=chain(*steps, **parts)), ids=id_source("id"), observe=Observed())


def _application(live: LiveCell | None) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        if live is not None:
            scope["state"]["live"] = live
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    return app


async def end(server: uvicorn.Server) -> None:
    """Now: its own `shutdown` gives every client a tenth of a second, in each of a thousand tests."""
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        transport = connection._transport if hasattr(connection, "_transport") else connection.transport
        transport.abort()
    while server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells it by this alone
        await asyncio.sleep(0)
    await server._wait_tasks_to_complete()
    await server.lifespan.shutdown()


@contextlib.asynccontextmanager
async def served(live: LiveCell | None) -> AsyncIterator[tuple[str, int]]:
    """The address of a started uvicorn that serves the cell."""
    config = uvicorn.Config(_application(live), http=GatewayProtocol, ws="none", lifespan="on", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.startup(sockets=[listening])
    try:
        yield listening.getsockname()
    finally:
        await end(server)
        listening.close()


class Client:
    """A raw connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: bytes = b"GET") -> tuple[int, dict[bytes, bytes], bytes]:
        """The next final reply: status, header fields in lower case, body without its framing."""
        async with asyncio.timeout(10):
            status, fields = await self.head()
            while 100 <= status < 200:
                status, fields = await self.head()
            return status, fields, await self._body(method, status, fields)

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = raw[:-4].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in rest)}
        return int(line.split(b" ")[1]), fields

    async def _body(self, method: bytes, status: int, fields: dict[bytes, bytes]) -> bytes:
        if method == b"HEAD" or status in (204, 304):
            return b""
        if b"content-length" in fields:
            return await self.reader.readexactly(int(fields[b"content-length"]))
        if fields.get(b"transfer-encoding") == b"chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        return await self.reader.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body; IncompleteReadError when it is cut."""
        while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"

    async def rest(self) -> bytes:
        """All until the connection ends; a reset ends it as well."""
        pieces = []
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while piece := await self.reader.read(65536):
                    pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection(*address))
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def talking(live: LiveCell) -> AsyncIterator[Client]:
    """A raw connection to a gateway that serves the cell."""
    async with served(live) as address, connected(address) as client:
        yield client
