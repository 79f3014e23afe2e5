"""How long a start may take: as long as the control process works, and no longer than that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.core.settings import Settings
from gateway.server import control_process, supervisor
from gateway.server.supervisor import Supervisor


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]]) -> Supervisor:
    monkeypatch.setattr(supervisor, "STARTUP", 0.1)
    return Supervisor(Settings(), told.append)


async def test_a_start_that_goes_on_is_waited_for(starting: Supervisor, told: list[dict[str, Any]]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        for _ in range(20):
            starting._told({"event": "working"})
            await asyncio.sleep(0.02)
        ready.set_result(None)

    working = asyncio.create_task(work())
    assert await starting._until_done([ready])
    await working
    assert told == [], "nobody is told of it"


async def test_a_start_in_which_nothing_happens_fails(starting: Supervisor) -> None:
    assert not await starting._until_done([asyncio.get_running_loop().create_future()])


async def test_a_start_that_works_for_ever_fails_as_well(starting: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STARTUP", 0.01)

    async def work() -> None:
        while True:
            starting._told({"event": "working"})
            await asyncio.sleep(0)

    working = asyncio.create_task(work())
    assert not await starting._until_done([asyncio.get_running_loop().create_future()])
    working.cancel()


async def test_processor_time_is_told_as_work_and_waiting_is_not(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    spent: Iterator[float] = iter([0.0, 0.0, 4.0, 4.0, 4.0, 5.0])
    with contextlib.suppress(RuntimeError):  # the last figure was taken
        await control_process._tell_work(lambda: next(spent), 0.0)
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert lines == [{"event": "working"}, {"event": "working"}]
