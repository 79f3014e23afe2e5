"""A policy host that is hostile, or does not read: what its worker holds for it stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.runtime.frames import Frame, Frames, pack
from gateway.runtime.host_client import MOST, UNREAD, HostClient

BODY = 1_048_576
ASKED = {"do": "request", "policy": "check", "config": "c"}


@contextlib.asynccontextmanager
async def host(folder: Path, handle: Any) -> AsyncIterator[HostClient]:
    path = str(folder / "s")
    server = await asyncio.start_unix_server(handle, path)
    client = HostClient(path, BODY)
    client.prepare("check", "c", {})
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def ask(client: HostClient, body: bytes = b"", patience: float = 5.0) -> Frame | None:
    answer: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
    client.call(ASKED, body, patience, lambda frame: answer.done() or answer.set_result(frame))
    return await answer


async def test_a_host_that_reads_nothing_does_not_have_all_bodies_held_for_it(tmp_path: Path) -> None:
    """Those whose time was over stayed in the connection's buffer, for as long as the host hung."""
    silent, ended = asyncio.Event(), asyncio.Event()
    answered: list[Frame | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        silent.set()
        await ended.wait()
        writer.close()

    async with host(tmp_path, handle) as client:
        first = asyncio.create_task(ask(client, patience=60))
        await silent.wait()
        for _ in range(64):
            client.call(ASKED, bytes(BODY), 60, answered.append)
        assert client._unread() < UNREAD + 2 * BODY
        assert len(answered) > 40
        assert answered == [None] * len(answered)
        assert len(client._pending) < MOST
        first.cancel()
        ended.set()


async def test_an_answer_with_an_id_that_is_none_disturbs_no_other(tmp_path: Path) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames, told = Frames(BODY), []
        while not any(each["do"] == "request" for each in told):
            told += [message for message, _ in frames.feed(await reader.read(65_536))]
        for number in ([1], {"a": 1}, None, "1", 1.0, True):
            writer.write(pack({"id": number, "edits": {}}))
        writer.write(pack({"id": told[-1]["id"], "edits": {"path": "/"}}))
        await writer.drain()
        writer.close()

    async with host(tmp_path, handle) as client:
        assert await ask(client) == ({"id": 1, "edits": {"path": "/"}}, b"")
