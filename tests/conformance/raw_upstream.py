"""A recording raw upstream beside the tests: it keeps every byte that any connection of the gateway brings.

It runs on a loop of its own in a thread, so that plain blocking tests can look at it. What it answers is chosen by the
first segment of the target: `play` gives a segment and binds an answer to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.upstreams import OK, Conversation, Received

Play = Callable[[Conversation, Received], Awaitable[None]]
_TURNS: Final = 12  # of the loop: one polls, the others let what was polled be read


class _Recorded(asyncio.StreamReader):
    """A stream that keeps what came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=1 << 20, loop=loop)
        self.raw = bytearray()

    def feed_data(self, data: bytes) -> None:
        self.raw += data
        super().feed_data(data)


class RawUpstream:
    """`url` is its address; `streams` are the connections in the order of their beginning."""

    def __init__(self) -> None:
        self.streams: list[_Recorded] = []
        self.received: list[Received] = []
        self.completed: list[Received] = []  # requests that came whole, by the default play
        self._plays: dict[bytes, Play] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._server = self._call(self._loop.create_server(self._protocol, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _call(self, waiting: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(waiting, self._loop).result(30)

    # what is answered

    def play(self, answer: bytes | Play) -> str:
        """A first path segment whose requests get these bytes, once they are complete, or are given to the function."""
        segment = f"play{next(self._numbers)}"
        self._plays[segment.encode()] = always(answer) if isinstance(answer, bytes) else answer
        return segment

    def add(self, received: Received) -> None:
        self.received.append(received)

    def event(self) -> asyncio.Event:
        """An event for plays; set it with `set_event`."""
        return asyncio.Event()

    def set_event(self, event: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(event.set)

    # what came

    def mark(self) -> list[int]:
        """A point in time for `since`."""
        self.settle()
        return [len(stream.raw) for stream in self.streams]

    def since(self, mark: list[int]) -> bytes:
        """Every byte that came after the mark, connection by connection."""
        self.settle()
        starts = itertools.chain(mark, itertools.repeat(0))
        return b"".join(bytes(stream.raw[start:]) for stream, start in zip(self.streams, starts, strict=False))

    def settle(self) -> None:
        """Reads what the sockets hold now."""
        self._call(_turn())

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        stream = _Recorded(self._loop)
        self.streams.append(stream)
        return asyncio.StreamReaderProtocol(stream, self._accepted, self._loop)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._converse(Conversation(self, reader, writer)))  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, conversation: Conversation) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while not conversation.writer.is_closing():
                received = await conversation.head()
                segment = received.target.split(b"?")[0].split(b"/")[1]
                await self._plays.get(segment, self._ok)(conversation, received)
        conversation.close()

    async def _ok(self, conversation: Conversation, received: Received) -> None:
        await conversation.body(received)
        self.completed.append(received)
        conversation.send(OK.removesuffix(b"ok") if received.method == b"HEAD" else OK)


async def _turn() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def always(response: bytes) -> Play:
    """Answers with these bytes once the request is complete, and goes on."""

    async def answer(conversation: Conversation, received: Received) -> None:
        await conversation.body(received)
        conversation.send(response)

    return answer


def then_close(response: bytes) -> Play:
    """Answers, then closes."""

    async def answer(conversation: Conversation, received: Received) -> None:
        await conversation.body(received)
        conversation.send(response)
        conversation.close()

    return answer
