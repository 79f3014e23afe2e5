"""The workers as the control process sees them: who is connected, what each serves, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import Unavailable
from gateway.server.link import LINE_LIMIT, Link
from gateway.store.store import Change

log: Final = logging.getLogger("gateway.control")


class NotServed(Unavailable):
    title, code = "A worker could not serve the snapshot", "not_served"


class _Worker:
    def __init__(self, link: Link, pid: int) -> None:
        self.link = link
        self.pid = pid
        self.metrics: dict[str, Any] = {}


class Crew:
    """Serves the node's control socket. A worker that connects gets the directory and the current snapshot first."""

    def __init__(self, path: Path, directory: Callable[[], Path | None], timeout: float = 20.0) -> None:
        """`directory` writes the directory to a file, as it is now, for a worker that connects."""
        self._path = path
        self._directory = directory
        self._timeout = timeout
        self._workers: set[_Worker] = set()
        self._server: asyncio.Server | None = None
        self._current: tuple[str, Path] | None = None
        self._answers: dict[tuple[_Worker, str, str], asyncio.Future[str]] = {}
        self.joined = asyncio.Event()

    @property
    def size(self) -> int:
        return len(self._workers)

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_LIMIT)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for worker in list(self._workers):
            await worker.link.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        worker: _Worker | None = None
        try:
            async for message in link.messages():
                if message["say"] == "hello":
                    worker = _Worker(link, int(message["pid"]))
                    self._welcome(worker)
                elif worker is not None:
                    self._heard(worker, message)
        finally:
            if worker is not None:
                self._left(worker)
            with contextlib.suppress(OSError):
                await link.close()

    def _welcome(self, worker: _Worker) -> None:
        self._workers.add(worker)
        path = self._directory()
        if path is not None:
            worker.link.send({"do": "directory", "path": str(path)})
        if self._current is not None:
            hash, file = self._current
            worker.link.send({"do": "activate", "hash": hash, "path": str(file)})
        self.joined.set()

    def _left(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        for key in [key for key in self._answers if key[0] is worker]:
            answer = self._answers.pop(key)
            if not answer.done():
                answer.set_result("")  # its successor is told when it connects

    def _heard(self, worker: _Worker, message: dict[str, Any]) -> None:
        if message["say"] == "metrics":
            worker.metrics = message["metrics"]
        elif message["say"] in {"prepared", "activated"}:
            answer = self._answers.pop((worker, message["say"], message["hash"]), None)
            if answer is not None and not answer.done():
                answer.set_result(str(message.get("error") or ""))

    # what the workers are told

    def directory(self, path: Path) -> None:
        """A whole new one: the change log did not reach back."""
        self._tell({"do": "directory", "path": str(path)})

    def change(self, change: Change) -> None:
        self._tell(
            {
                "do": "change",
                "sequence": change.sequence,
                "table": change.table,
                "key": change.key,
                "value": change.value,
            }
        )

    def heard(self, at: float) -> None:
        """The store answered at that time: the directory is as fresh as that."""
        self._tell({"do": "heard", "at": at})

    def _tell(self, message: dict[str, Any]) -> None:
        for worker in self._workers:
            worker.link.send(message)

    async def prepare(self, hash: str, path: Path) -> None:
        """Every worker builds the snapshot beside the running one. NotServed when one cannot."""
        await self._ask("prepare", "prepared", hash, path)

    async def activate(self, hash: str, path: Path) -> None:
        """Every worker serves the snapshot, and those that connect later. NotServed when one cannot: then the old one
        is back everywhere."""
        before, self._current = self._current, (hash, path)
        try:
            await self._ask("activate", "activated", hash, path)
        except BaseException:
            self._current = before
            if before is not None:
                self._tell({"do": "activate", "hash": before[0], "path": str(before[1])})
            raise

    async def _ask(self, do: str, said: str, hash: str, path: Path) -> None:
        loop = asyncio.get_running_loop()
        answers = {}
        for worker in self._workers:
            answers[worker] = loop.create_future()
            self._answers[worker, said, hash] = answers[worker]
            worker.link.send({"do": do, "hash": hash, "path": str(path)})
        if not answers:
            return
        done, late = await asyncio.wait(answers.values(), timeout=self._timeout)
        if late:
            raise NotServed(f"{len(late)} of {len(answers)} workers did not answer within {self._timeout:g} s.")
        errors = sorted({future.result() for future in done} - {""})
        if errors:
            raise NotServed(" ".join(errors))

    def metrics(self) -> list[dict[str, Any]]:
        return [worker.metrics for worker in self._workers if worker.metrics]
