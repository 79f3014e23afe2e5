"""Clients that go away at any moment: nothing leaks, and nobody gets another's answer (CASES A60, A63)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.core.exchange import Exchange
from gateway.core.live import LiveCell
from gateway.relay.pool import HttpUpstream, open_upstream
from tests import soak
from tests.relay.test_relay_websocket import AGREED, SHAKE, until
from tests.serving import Client, cell, connected, served
from tests.upstreams import Conversation, RecordingUpstream, upstream

CLIENTS = 20


class Slots:
    """A step whose slots are given back when the exchange closes, as a limit of concurrency does."""

    def __init__(self) -> None:
        self.taken = self.given = 0
        self.connections: Any = set()

    def __call__(self, exchange: Exchange) -> None:
        self.taken += 1
        self.connections = exchange.wire._connections  # type: ignore[attr-defined]
        exchange.on_close(self.give)

    def give(self, _exchange: Exchange) -> None:
        self.given += 1


def token(number: int) -> bytes:
    return b"%08d" % number * 500


async def answer(conversation: Conversation) -> None:
    """Sends the token of the path, in a few pieces, after the loop has turned some times; or echoes in a tunnel."""
    dice = random.Random(conversation.writer.get_extra_info("peername")[1])
    while True:
        received = await conversation.request()
        if received.get(b"upgrade"):
            conversation.send(AGREED)
            while data := await conversation.reader.read(65_536):
                conversation.send(data)
            return
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        body = received.body or token(int(received.target[1:]))
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 1500):
            conversation.send(body[start : start + 1500])
            await asyncio.sleep(0)


@dataclass
class Running:
    live: LiveCell
    address: tuple[str, int]
    upstream: HttpUpstream
    recording: RecordingUpstream
    slots: Slots

    async def clean(self) -> None:
        """Nothing is left of the exchanges: connections of clients, slots, exchanges of the router, pool."""
        (pool,) = self.upstream._rotation.pools
        routes: Any = self.live.current
        await until(lambda: not self.slots.connections)
        await until(lambda: len(pool._idle) == pool.size)
        assert self.slots.taken == self.slots.given
        assert routes.entered == routes.left == len(self.live.observe.exchanges)  # type: ignore[attr-defined]
        assert not pool._waiting


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Running]:
    tasks = asyncio.all_tasks()
    slots = Slots()
    async with upstream(answer) as recording:
        opened = open_upstream([recording.url], max_connections=30)
        assert isinstance(opened, HttpUpstream)
        live = cell(slots, opened.relay(None, ()))
        async with served(live) as address:
            yield Running(live, address, opened, recording, slots)
        await opened.close()
    await until(lambda: asyncio.all_tasks() <= tasks)


def get(number: int) -> tuple[bytes, bytes]:
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number, token(number)


def post(number: int) -> tuple[bytes, bytes]:
    body = token(number)
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % number
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n", body


def shake(number: int) -> tuple[bytes, bytes]:
    return SHAKE + token(number), token(number)


@pytest.mark.parametrize("make", [get, post, shake])
async def test_a_client_that_aborts_at_any_offset_leaks_nothing(make: Callable[[int], tuple[bytes, bytes]]) -> None:
    """CASES A60: a hundred places, in what it sends and in what it reads."""
    dice = random.Random(60)
    async with running() as it:
        for number in range(100):
            message, expected = make(number)
            offset = dice.randrange(1, len(message) + len(expected))
            async with connected(it.address) as client:
                client.send(message[:offset])
                if offset > len(message):
                    await client.reader.readexactly(offset - len(message))
            if number % 10 == 0:
                await whole(it, number + 1000)
        await it.clean()


async def whole(it: Running, number: int) -> None:
    async with connected(it.address) as client:
        client.send(get(number)[0])
        assert (await client.answer())[::2] == (200, token(number))


async def cancels(it: Running, count: int, seed: int) -> tuple[int, int]:
    """`count` requests of some clients, most of them cancelled somewhere; how many were answered, and by another's."""
    dice = random.Random(seed)
    numbers = iter(range(count))
    answered = wrong = 0

    async def go_on(client: Client) -> bool:
        """One request on a connection that may have served before; False when it was cancelled."""
        nonlocal answered, wrong
        number = next(numbers)
        message, expected = (get, post)[number % 2](number)
        offset = dice.randrange(1, len(message) * 2)
        client.send(message[:offset])
        if offset < len(message) or dice.random() < 0.6:
            for _ in range(dice.randrange(6)):
                await asyncio.sleep(0)
            if dice.random() < 0.5 and offset >= len(message):
                await client.reader.read(dice.randrange(1, 3000))
            return False
        status, _, body = await client.answer()
        answered += 1
        wrong += (status, body) != (200, expected)
        return True

    async def one() -> None:
        with contextlib.suppress(StopIteration, RuntimeError):
            while True:
                async with connected(it.address) as client:
                    while await go_on(client):
                        pass

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return answered, wrong


async def test_no_cancel_gives_a_request_the_answer_to_another() -> None:
    """CASES A63; ten thousand of them under `make soak`."""
    async with running() as it:
        answered, wrong = await cancels(it, 1000, 63)
        assert wrong == 0
        assert answered > 50
        await it.clean()


@pytest.mark.soak
async def test_ten_thousand_cancels_give_no_request_the_answer_to_another(record: soak.Record) -> None:
    """CASES A63"""
    async with running() as it:
        answered, wrong = await cancels(it, 10_000, 630)
        record("answered, cancelled, wrong answers", f"{answered}, {10_000 - answered}, {wrong}")
        assert wrong == 0
        await it.clean()
