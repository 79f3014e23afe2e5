"""Watches every event loop of the test process: a callback that keeps the loop busy for too long fails its test
(CASES A67).

What counts is CPU time of the loop's thread, not wall time, as other processes share the machine; collections of
garbage are taken off, as they are the test process's own. Steps of tasks that run a test's own coroutine do not count:
they compile, publish and start things. Loops that are not written in Python (uvloop) are not seen.
"""

from __future__ import annotations

import asyncio
import gc
import time
from asyncio import events
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest

BOUND: Final = 0.1  # seconds of CPU: 50 ms are promised, and coverage makes Python slower
_TESTS: Final = str(Path(__file__).resolve().parent)


class LoopWatch:
    """`worst` are the seconds that the longest callback since `reset` took, and what it was."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._collecting = self._collected = 0.0
        self._plain: Any = None
        self.reset()

    def reset(self) -> None:
        self.worst: tuple[float, str] = 0.0, ""

    def install(self) -> None:
        """Every callback of every loop goes through here from now on."""
        plain, clock = events.Handle._run, self._clock
        self._plain = plain
        gc.callbacks.append(self._collects)

        def run(handle: asyncio.Handle) -> None:
            callback, before, collected = handle._callback, clock(), self._collected  # type: ignore[attr-defined]
            plain(handle)  # type: ignore[arg-type]
            took = clock() - before - (self._collected - collected)
            if took > self.worst[0] and not of_a_test(callback):
                self.worst = took, repr(handle)

        events.Handle._run = run  # type: ignore[assignment,method-assign]

    def remove(self) -> None:
        events.Handle._run = self._plain  # type: ignore[method-assign]
        gc.callbacks.remove(self._collects)

    def _collects(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = self._clock()
        else:
            self._collected += self._clock() - self._collecting

    def complaint(self, bound: float = BOUND) -> str:
        """Why a test fails; empty when nothing was too long."""
        seconds, what = self.worst
        if seconds <= bound:
            return ""
        took, most = seconds * 1000, bound * 1000
        return f"one callback kept the event loop busy for {took:.0f} ms of CPU, and {most:.0f} ms are allowed: {what}"


def of_a_test(callback: Any) -> bool:
    """A step of a task that runs a coroutine of the tests or of their runner."""
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return False
    code: CodeType | None = getattr(task.get_coro(), "cr_code", None)
    return code is not None and (code.co_filename.startswith(_TESTS) or "pytest" in code.co_filename)


def excuse(item: pytest.Item) -> str | None:
    """The reason of `@pytest.mark.blocks_loop(reason=…)`, which says why a test may block its loop."""
    marker = item.get_closest_marker("blocks_loop")
    if marker is None:
        return None
    reason = marker.kwargs.get("reason", "")
    if marker.args or not isinstance(reason, str) or not reason.strip():
        raise pytest.UsageError(f"{item.nodeid}: blocks_loop needs reason=…, which says why the loop may stand still")
    return reason
