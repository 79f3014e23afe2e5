"""One client cannot keep a worker, or an upstream a request, from everybody else."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from gateway.core.exchange import Exchange, Reply
from gateway.core.framing import HeadReader
from gateway.core.live import Limits
from gateway.core.locations import Location
from gateway.relay.connection import Connection
from gateway.relay.network import Network
from gateway.relay.settings import Settings
from gateway.relay.target import Pool
from gateway.server.protocol import TURN
from tests.serving import cell, talking

REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_a_pipeline_lets_others_in_after_a_few_requests() -> None:
    """CASES A57: counted in turns of the loop, not in seconds"""
    most = turn = 0

    def next_turn() -> None:
        nonlocal turn
        turn = 0

    def count(_exchange: Exchange) -> Reply:
        nonlocal most, turn
        if not turn:
            asyncio.get_running_loop().call_soon(next_turn)
        turn += 1
        most = max(most, turn)
        return Reply(200, body=b"ok")

    async with talking(cell(count)) as client:
        client.send(REQUEST * 400)
        for _ in range(400):
            assert (await client.answer())[0] == 200
    assert most <= 2 * TURN


async def test_a_pipeline_of_many_requests_is_answered_in_order() -> None:
    """CASES F18: also what was read beyond one turn"""

    def path(exchange: Exchange) -> Reply:
        return Reply(200, body=exchange.head.path)

    async with talking(cell(path)) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200)))
        bodies = [(await client.answer())[2] for _ in range(200)]
    assert bodies == [b"/%d" % number for number in range(200)]


def test_empty_lines_before_a_request_are_skipped_at_once() -> None:
    """CASES A57: a slice for each of them took seconds for what one read brings"""

    class Counting(bytes):
        slices = 0

        def __getitem__(self, key: object) -> bytes:  # type: ignore[override]
            Counting.slices += 1
            return Counting(super().__getitem__(key))  # type: ignore[index]

    framed = HeadReader(Limits()).feed(Counting(b"\r\n" * 1000 + REQUEST))
    assert framed is not None
    assert Counting.slices <= 3


@pytest.mark.parametrize("early", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 2"], ids=["interim", "part of a head"])
async def test_an_upstream_that_begins_early_and_then_is_silent_has_a_deadline(early: bytes) -> None:
    """CASES A58: what came before the request was complete is no answer"""
    settings = Settings(timeout=7.0)
    pool = Pool(Location.parse("http://127.0.0.1:9"), settings, Network())
    connection = Connection(pool)
    connection.connection_made(Mock(spec=asyncio.Transport))
    connection.begin(Mock(settings=settings), b"POST", b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n", False)
    connection.data_received(early)
    connection.write(b"abcd")
    connection.finish()
    assert connection.deadline == pool.now + 7.0
