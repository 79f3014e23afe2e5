"""What is written to the store stands in the order in which answers are expected, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gateway.store.client import Script
from gateway.store.hot import HotConnection, _Link, pack

SCRIPT = Script("return 1")


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        """Nothing to give up."""


def connected() -> tuple[HotConnection, _Link, Recorder]:
    loop = asyncio.get_running_loop()
    connection = HotConnection("redis://127.0.0.1:1")
    link = _Link(loop, connection._lost, None, connection._refused)
    recorder = Recorder()
    link.connection_made(cast(asyncio.Transport, recorder))
    connection._loop, connection._link = loop, link
    return connection, link, recorder


async def test_a_script_that_has_to_be_loaded_does_not_overtake_a_call_of_the_same_turn() -> None:
    connection, link, recorder = connected()
    answers: list[tuple[str, Any]] = []
    first, second = pack(b"EVALSHA", b"first"), pack(b"EVALSHA", b"second")
    connection.call(first, lambda reply: answers.append(("first", reply)), SCRIPT)
    await asyncio.sleep(0)
    connection.call(second, lambda reply: answers.append(("second", reply)), SCRIPT)
    link.data_received(b"-NOSCRIPT No matching script.\r\n")
    await asyncio.sleep(0)
    load = pack(b"SCRIPT", b"LOAD", SCRIPT.source.encode())
    assert recorder.written == first + second + load + first
    link.data_received(b":2\r\n+sha\r\n:1\r\n")
    assert answers == [("second", 2), ("first", 1)]
    await connection.close()
