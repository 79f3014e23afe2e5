"""The workers as the control process sees them: who is connected, what each serves, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import Unavailable
from gateway.server.link import LINE_LIMIT, Link
from gateway.store.store import Change
from gateway.telemetry.counters import of_ended

log: Final = logging.getLogger("gateway.control")
TRIES: Final = 2  # of a preparation during which a worker ended


class NotServed(Unavailable):
    title, code = "A worker could not serve the snapshot", "not_served"


class _Worker:
    """`asked` are the questions that it has not answered; an answer is an error's text, empty for none, None when the
    worker ended before it answered."""

    def __init__(self, link: Link, pid: int) -> None:
        self.link = link
        self.pid = pid
        self.metrics: dict[str, Any] = {}
        self.draining = False
        self.steps = 0  # of long work that it has told of
        self.asked: dict[int, asyncio.Future[str | None]] = {}

    def answer(self, number: int, error: str | None) -> None:
        answer = self.asked.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_result(error)


class Crew:
    """Serves the node's control socket. A worker that connects gets the directory and the current snapshot first.
    `run` is this node's: a worker that outlived another supervisor is turned away."""

    def __init__(
        self, path: Path, directory: Callable[[], Awaitable[Path | None]], run: str = "", timeout: float = 20.0
    ) -> None:
        """`directory` writes the directory to a file, as it is when it returns, for a worker that connects. `timeout`:
        seconds of silence after which a worker that was asked counts as stuck."""
        self._path = path
        self._directory = directory
        self._run = run
        self._timeout = timeout
        self._workers: set[_Worker] = set()
        self._server: asyncio.Server | None = None
        self._current: tuple[str, Path] | None = None
        self._idle = False
        self._numbers = itertools.count(1)
        self._arrival = asyncio.Event()
        self._ended: dict[str, Any] = {}
        self.ended = 0
        self.on_spans: Callable[[list[dict[str, Any]]], None] = lambda _spans: None
        self.on_calls: Callable[[Iterable[Sequence[Any]]], None] = lambda _calls: None

    @property
    def size(self) -> int:
        """How many workers take requests."""
        return sum(not worker.draining for worker in self._workers)

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_LIMIT)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for worker in list(self._workers):
            await worker.link.close()

    async def until(self, count: int, seconds: float) -> None:
        """Waits until so many workers are there. TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.size < count:
                self._arrival.clear()
                await self._arrival.wait()

    # what the workers say

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        worker: _Worker | None = None
        try:
            async for message in link.messages():
                if worker is not None:
                    self._heard(worker, message)
                elif message["say"] != "hello" or message["run"] != self._run:
                    break
                else:
                    path = await self._directory()
                    worker = _Worker(link, int(message["pid"]))
                    self._welcome(worker, path)
        finally:
            if worker is not None:
                self._left(worker)
            with contextlib.suppress(OSError):
                await link.close()

    def _welcome(self, worker: _Worker, path: Path | None) -> None:
        """In one go with the end of writing the directory: no change falls between."""
        self._workers.add(worker)
        if path is not None:
            worker.link.send({"do": "directory", "path": str(path)})
        if self._current is not None:
            hash, file = self._current
            worker.link.send({"do": "activate", "ask": 0, "hash": hash, "path": str(file)})
        elif self._idle:
            worker.link.send({"do": "idle"})
        self._arrival.set()

    def _left(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        if worker.metrics:
            self._ended = of_ended([each for each in (self._ended, worker.metrics) if each])
        self.ended += 1
        for number in list(worker.asked):
            worker.answer(number, None)

    def _heard(self, worker: _Worker, message: dict[str, Any]) -> None:
        if message["say"] == "metrics":
            worker.metrics = message["metrics"]
            self.on_calls(worker.metrics.pop("calls", ()))
        elif message["say"] == "spans":
            self.on_spans(message["spans"])
        elif message["say"] == "busy":
            worker.steps += 1
        elif message["say"] == "draining":
            worker.draining = True
        elif message["say"] == "done":
            worker.answer(int(message["ask"]), str(message.get("error") or ""))

    # what the workers are told

    def idle(self) -> None:
        """There is nothing to serve: workers take requests and refuse them, until there is."""
        self._idle = True
        self._tell({"do": "idle"})

    def directory(self, path: Path) -> None:
        """A whole new one: the change log did not reach back."""
        self._tell({"do": "directory", "path": str(path)})

    def change(self, change: Change) -> None:
        told = {"sequence": change.sequence, "table": change.table, "key": change.key, "value": change.value}
        self._tell({"do": "change", **told})

    def heard(self, at: float) -> None:
        """The store answered at that time: the directory is as fresh as that."""
        self._tell({"do": "heard", "at": at})

    def forget(self, hash: str) -> None:
        """What was prepared will not be activated."""
        self._tell({"do": "forget", "hash": hash})

    def _tell(self, message: dict[str, Any]) -> None:
        for worker in self._workers:
            worker.link.send(message)

    async def prepare(self, hash: str, path: Path) -> None:
        """Every worker builds the snapshot beside the running one. NotServed when one cannot. One that ends meanwhile
        may have been killed, or may have ended of it: its successor is asked, once."""
        for _ in range(TRIES):
            wanted = self.size
            if not await self._ask("prepare", hash, path):
                return
            try:
                await self.until(wanted, self._timeout)
            except TimeoutError:
                break
        raise NotServed("Workers ended while they built it; the node's log says why.")

    async def activate(self, hash: str, path: Path) -> None:
        """Every worker serves the snapshot, and those that connect later. NotServed when one cannot: then the old one
        is back everywhere."""
        before, self._current = self._current, (hash, path)
        try:
            await self._ask("activate", hash, path)
        except BaseException:
            self._current = before
            if before is not None:
                self._tell({"do": "activate", "ask": 0, "hash": before[0], "path": str(before[1])})
            raise

    async def settle(self) -> None:
        """Every worker has taken in what it was told of the directory. NotServed when one does not say so."""
        await self._ask("settle", "", self._path)

    async def _ask(self, do: str, hash: str, path: Path) -> int:
        """How many ended before they answered."""
        number = next(self._numbers)
        asked = [worker for worker in self._workers if not worker.draining]
        answers = []
        for worker in asked:
            answer = worker.asked[number] = asyncio.get_running_loop().create_future()
            answers.append(answer)
            worker.link.send({"do": do, "ask": number, "hash": hash, "path": str(path)})
        if not answers:
            return 0
        try:
            late = await self._silent(asked, answers)
        finally:
            for worker in asked:
                worker.asked.pop(number, None)
        if late:
            raise NotServed(f"{late} of {len(answers)} workers did not answer within {self._timeout:g} s.")
        said = [answer.result() for answer in answers]
        errors = sorted({error for error in said if error})
        if errors:
            raise NotServed(" ".join(errors))
        return said.count(None)

    async def _silent(self, asked: Sequence[_Worker], answers: Sequence[asyncio.Future[str | None]]) -> int:
        """How many have not answered when all that have not were silent for too long."""
        while True:
            before = self.steps(asked)
            _, late = await asyncio.wait(answers, timeout=self._timeout)
            if not late or self.steps(asked) == before:
                return len(late)

    def steps(self, workers: Iterable[_Worker] | None = None) -> int:
        """Of long work, that workers have told of: what grows goes on."""
        return sum(worker.steps for worker in (self._workers if workers is None else workers))

    def problems(self) -> list[str]:
        """What the workers cannot do as they are set up, though they serve: certificates that do not hold."""
        return sorted({problem for worker in self._workers for problem in worker.metrics.get("problems", ())})

    def metrics(self) -> list[dict[str, Any]]:
        """Of each worker, and of those that ended: a counter never goes down."""
        living = [worker.metrics for worker in self._workers if worker.metrics]
        return [self._ended, *living] if self._ended else living
