"""A worker's garbage collection."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway.server import collector


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Circle:
    freed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Circle.freed += 1


def test_what_lives_long_is_not_looked_at_and_what_comes_later_is_still_freed() -> None:
    kept = [Circle() for _ in range(100)]
    collector.settle()
    assert gc.get_freeze_count() > 100
    assert not any(each is kept[0] for each in gc.get_objects())
    before = Circle.freed
    for _ in range(10):
        Circle()
    gc.collect()
    assert Circle.freed - before == 10
