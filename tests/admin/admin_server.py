"""The admin REST on a loopback port, in a thread with a loop of its own: for clients that block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from gateway.admin.console.app import console_beside
from gateway.core.clock import SystemClock
from tests.admin.admin_harness import Bench, bench
from tests.serving import end

T = TypeVar("T")


@dataclass
class Served:
    """`run` runs a coroutine where the node lives."""

    url: str
    node: Bench
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def apply(self, *documents: str) -> None:
        answer = self.run(self.node.apply(*documents))
        assert answer.status_code == 200, answer.text


async def _serve(folder: Path, listening: socket.socket, ready: threading.Event, found: dict[str, Any]) -> None:
    async with bench(folder, clock=SystemClock()) as node:
        config = uvicorn.Config(
            console_beside(node.admin), http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )  # fmt: skip
        config.load()
        server, ending = uvicorn.Server(config), asyncio.Event()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listening])
        await server.on_tick(0)  # the fields of every answer
        found |= {"node": node, "ending": ending, "loop": asyncio.get_running_loop()}
        ready.set()
        await ending.wait()
        await end(server)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    ready, found = threading.Event(), dict[str, Any]()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, listening, ready, found)))
    thread.start()
    try:
        assert ready.wait(30)
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", found["node"], found["loop"])
    finally:
        found["loop"].call_soon_threadsafe(found["ending"].set)
        thread.join(30)
        listening.close()
