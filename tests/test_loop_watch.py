"""The watch over event loops can fail a test (CASES A67)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.loop_watch import LoopWatch, excuse


class Thread:
    """The CPU clock of a thread, moved by hand."""

    def __init__(self) -> None:
        self.used = 0.0

    def __call__(self) -> float:
        return self.used

    def work(self, seconds: float) -> None:
        self.used += seconds


@pytest.fixture
def thread() -> Thread:
    return Thread()


@pytest.fixture
def watch(thread: Thread) -> Iterator[LoopWatch]:
    watch = LoopWatch(thread)
    watch.install()
    yield watch
    watch.remove()


async def test_a_callback_that_blocks_the_loop_is_told_with_its_name(watch: LoopWatch, thread: Thread) -> None:
    def guilty() -> None:
        thread.work(0.3)

    loop = asyncio.get_running_loop()
    loop.call_soon(thread.work, 0.01)
    loop.call_soon(guilty)
    await asyncio.sleep(0)
    assert "300 ms" in watch.complaint()
    assert "guilty" in watch.complaint()


async def test_many_short_callbacks_are_no_blocked_loop(watch: LoopWatch, thread: Thread) -> None:
    for _ in range(20):
        asyncio.get_running_loop().call_soon(thread.work, 0.09)
    await asyncio.sleep(0)
    assert watch.complaint() == ""
    assert watch.complaint(0.05)


async def test_the_steps_of_the_tests_own_coroutines_do_not_count(watch: LoopWatch, thread: Thread) -> None:
    async def publishes() -> None:
        thread.work(5.0)

    await asyncio.create_task(publishes())
    assert watch.complaint() == ""


async def test_a_collection_of_garbage_is_not_the_callbacks_fault(watch: LoopWatch, thread: Thread) -> None:
    def collects(phase: str, _info: dict[str, int]) -> None:
        if phase == "stop":
            thread.work(5.0)

    gc.callbacks.insert(gc.callbacks.index(watch._collects), collects)  # its work falls into the collection
    try:
        asyncio.get_running_loop().call_soon(gc.collect)
        await asyncio.sleep(0)
    finally:
        gc.callbacks.remove(collects)
    assert watch.complaint() == ""


class Marked:
    """An item with a marker."""

    nodeid = "a-test"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._marker = pytest.mark.blocks_loop(*args, **kwargs).mark

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self._marker if name == "blocks_loop" else None


def test_an_excuse_needs_a_reason() -> None:
    assert excuse(cast(pytest.Item, Marked(reason="it measures a slow codec"))) == "it measures a slow codec"
    for wrong in (Marked(), Marked(reason=" ")):
        with pytest.raises(pytest.UsageError, match="reason"):
            excuse(cast(pytest.Item, wrong))


@pytest.mark.blocks_loop(reason="it shows that a test with a reason may")
async def test_a_test_with_a_reason_may_block_its_loop() -> None:
    asyncio.get_running_loop().call_soon(sum, range(12_000_000))
    await asyncio.sleep(0)
