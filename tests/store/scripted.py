"""A store that misbehaves as it is told: it speaks RESP on a unix socket, and answers by a function that a test may
change at any time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hiredis

VERDICT = (1, 0, 0, 0, 41, 60_000_000)  # what a take answers: admitted, rule, retry, at, remaining, reset


class Close(Exception):
    """The connection ends, after these bytes."""

    def __init__(self, last: bytes = b"") -> None:
        self.last = last


class Hang(Exception):
    """From now on the connection is silent."""


Answering = Callable[[list[bytes]], bytes]  # b"": silence


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def numbers(values: Sequence[int]) -> bytes:
    return b"*%d\r\n" % len(values) + b"".join(b":%d\r\n" % value for value in values)


def well(command: list[bytes]) -> bytes:
    """As a store does that is well. Every counter admits."""
    name = command[0].upper()
    if name == b"PING":
        return b"+PONG\r\n"
    if name == b"ECHO":
        return bulk(command[1])
    if name == b"EVALSHA":
        return numbers(VERDICT)
    return b"+OK\r\n"


def refusing(error: str, also: Sequence[bytes] = ()) -> Answering:
    """Refuses scripts, and the commands named in `also`, with an error."""

    def answer(command: list[bytes]) -> bytes:
        return b"-%s\r\n" % error.encode() if command[0].upper() in (b"EVALSHA", *also) else well(command)

    return answer


def silent(_command: list[bytes]) -> bytes:
    return b""


def closing(last: bytes = b"") -> Answering:
    """Ends the connection instead of answering a script; `last` is what still leaves."""

    def answer(command: list[bytes]) -> bytes:
        if command[0].upper() == b"EVALSHA":
            raise Close(last)
        return well(command)

    return answer


@dataclass
class ScriptedStore:
    """`answer` may be changed at any time. `piece`: so many bytes of an answer leave in a turn of the loop; 0: all."""

    url: str
    answer: Answering = well
    piece: int = 0
    connections: int = 0
    commands: list[list[bytes]] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        parser = hiredis.Reader()
        with contextlib.suppress(ConnectionError, Close):
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    try:
                        await self._reply(writer, command)
                    except Hang:
                        await reader.read()
        self._writers.discard(writer)
        writer.close()

    async def _reply(self, writer: asyncio.StreamWriter, command: list[bytes]) -> None:
        self.commands.append(command)
        try:
            answer = self.answer(command)
        except Close as close:
            writer.write(close.last)
            raise
        step = self.piece or len(answer) or 1
        for start in range(0, len(answer), step):
            writer.write(answer[start : start + step])
            if self.piece:
                await asyncio.sleep(0)

    def say(self, data: bytes) -> None:
        """Sends what nobody asked for, on every connection."""
        for writer in self._writers:
            writer.write(data)

    def drop(self) -> None:
        """Every connection ends at once."""
        for writer in tuple(self._writers):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[ScriptedStore]:
    path = folder / "scripted"
    store = ScriptedStore(f"unix://{path}")
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(store.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_unix_server(accepted, str(path))
    try:
        yield store
    finally:
        server.close()
        store.drop()
        if tasks:
            await asyncio.wait(tasks)
