"""A runtime that goes: no call is lost that its gateway had sent before it heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from gateway import process
from gateway.core.call import Context
from gateway.core.secrets import Secret
from gateway.runtime.call_messages import context_message
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.registry import Registry
from gateway.runtime.remote_link import Link, NotSent, connect
from gateway.runtime.remote_server import RuntimeServer
from tests.relay.upstream_harness import until

TOKEN = Secret("a token of sixteen")
LIMIT = 1024 * 1024
released = asyncio.Event()


@process(effect="writing")
async def book(item: int) -> int:
    return item


@process(effect="writing")
async def book_slowly(item: int) -> int:
    await released.wait()
    return item


@dataclass
class Hosted:
    server: RuntimeServer
    address: tuple[str, int]

    async def connect(self) -> Link:
        return await connect(lambda: Link(TOKEN, LIMIT, lambda: None), self.address, None, None)


@pytest.fixture
async def hosted() -> AsyncIterator[Hosted]:
    released.clear()
    runtime = EmbeddedRuntime(Registry.of(book, book_slowly))
    server = RuntimeServer(runtime, "sample", TOKEN, LIMIT)
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    try:
        yield Hosted(server, listening.sockets[0].getsockname()[:2])
    finally:
        released.set()
        server.close()
        listening.close()
        runtime.close()


def called(link: Link, name: str) -> asyncio.Task[bytes]:
    """The bytes of its answer, of a call that is sent when the loop turns."""

    async def ask() -> bytes:
        message = {"process": name, "context": context_message(Context("call-1"))}
        told, body = await link.ask(message, orjson.dumps({"item": 7}), 10)
        assert "problem" not in told
        return body

    return asyncio.create_task(ask())


async def drained(server: RuntimeServer) -> None:
    """As `penstock runtime` does at SIGTERM."""
    server.drain()
    await server.left()
    server.close()


async def test_a_call_that_is_on_its_way_when_the_runtime_drains_is_answered(hosted: Hosted) -> None:
    link = await hosted.connect()
    answer = called(link, "book")
    await asyncio.sleep(0)  # it is written, and nobody has read it
    await asyncio.gather(drained(hosted.server), answer)
    assert answer.result() == b"7"


async def test_a_call_that_runs_when_the_runtime_drains_is_answered_and_then_the_gateway_leaves(hosted: Hosted) -> None:
    link = await hosted.connect()
    answer = called(link, "book_slowly")
    await until(lambda: hosted.server.running == 1)
    draining = asyncio.create_task(drained(hosted.server))
    await until(lambda: not link.is_open)
    assert not link.gone.is_set()
    released.set()
    assert await answer == b"7"
    await asyncio.gather(draining, link.gone.wait())


async def test_a_runtime_without_gateways_has_drained_at_once(hosted: Hosted) -> None:
    link = await hosted.connect()
    link.abort()
    await link.gone.wait()
    await until(lambda: not hosted.server.connections)
    await drained(hosted.server)


async def test_a_gateway_leaves_a_runtime_that_drains_when_it_comes(hosted: Hosted) -> None:
    hosted.server.drain()
    link = await hosted.connect()
    assert not link.is_open
    await link.gone.wait()


async def test_a_call_on_a_connection_that_has_ended_was_not_sent(hosted: Hosted) -> None:
    """So that one that writes may be tried elsewhere."""
    link = await hosted.connect()
    link.abort()
    with pytest.raises(NotSent):
        await called(link, "book")
