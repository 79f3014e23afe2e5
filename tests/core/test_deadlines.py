"""The sweep: one that fails takes nobody's deadline with it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.core.clock import SystemClock
from gateway.core.deadlines import Deadlines


class Swept:
    """Counts how often it was looked at; `error` is what happens then."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.seen = 0
        self.twice = asyncio.Event()

    def check(self, now: float) -> None:
        self.seen += 1
        if self.seen == 2:
            self.twice.set()
        if self.error is not None:
            raise self.error


async def test_a_deadline_that_fails_leaves_the_others_their_own(caplog: pytest.LogCaptureFixture) -> None:
    deadlines, broken = Deadlines(SystemClock()), Swept(RuntimeError("the handler is closed"))
    well = [Swept() for _ in range(8)]
    for swept in (*well[:4], broken, *well[4:]):
        deadlines.add(swept)
    with caplog.at_level(logging.ERROR, "gateway"):
        async with asyncio.timeout(10):
            for swept in (*well, broken):
                await swept.twice.wait()
    assert len(caplog.records) == 1, "it fails with every sweep, and is told once"
    for swept in (*well, broken):
        deadlines.discard(swept)
