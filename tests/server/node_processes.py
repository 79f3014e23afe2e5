"""Processes that the nodes of these tests host. Their files stand in the folder that NODE_FILES names."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gateway import process


def _files() -> Path:
    return Path(os.environ["NODE_FILES"])


async def _until(condition: Callable[[], bool]) -> None:
    """A test in another process makes it true."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@process(effect="safe")
async def who() -> int:
    """The process id of the worker that answers."""
    return os.getpid()


@process(effect="safe")
async def gate(name: str) -> str:
    """Tells that it was entered, then waits until somebody opens it."""
    folder = _files()
    (folder / f"{name}.entered").touch()
    await _until(lambda: (folder / f"{name}.open").exists())
    return name


@process
async def bill(id: int) -> int:
    """Notes a message; one with a gate waits there first."""
    folder = _files()
    (folder / f"bill-{id}.entered").touch()
    await _until(lambda: not (folder / f"bill-{id}.closed").exists())
    (folder / f"bill-{id}.done").touch()
    return id


if "worker" not in sys.argv[0]:

    @process(effect="safe")
    async def nowhere() -> int:
        """Known to the control process, and to no worker: what is published with it cannot be built there."""
        return 0
