"""A consumer that is killed: acknowledges three messages, gets stuck in the next ones and tells which it finished."""

from __future__ import annotations

import asyncio
import sys

import orjson

from gateway.core.call import Call
from gateway.core.clock import SystemClock
from gateway.events.listener import Listener
from gateway.schema.types import Field, Operation, Record, Scalar, Types
from gateway.snapshot.spec import ListenerSpec
from gateway.store.connect import open_streams


class StuckBackend:
    """Finishes three calls and then no more."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.stuck = asyncio.Event()

    async def invoke(self, call: Call) -> None:
        if len(self.done) == 3:
            self.stuck.set()
            await asyncio.Event().wait()
        self.done.append(call.input["order"])

    async def close(self) -> None: ...


async def main(url: str, prefix: str) -> None:
    operation = Operation("bill", "writing", Record("bill_input", (Field("order", Scalar("int32")),)))
    spec = ListenerSpec(operation="bill", topic="orders", delays=(0, 0))
    backend, streams = StuckBackend(), open_streams(url, prefix)
    listener = Listener(
        "shop@v2/bill", spec, "shop", "v2", operation, Types(), backend, streams, SystemClock(), "victim",
        lease_seconds=1,
    )  # fmt: skip
    running = asyncio.create_task(listener.run())
    await backend.stuck.wait()
    print(orjson.dumps(backend.done).decode(), flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
