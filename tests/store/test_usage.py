"""One suite for every implementation of the counts of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.admin import callers
from gateway.admin.callers import Callers
from gateway.core.clock import ManualClock
from gateway.core.errors import StoreUnavailable
from gateway.store import redis_usage, usage
from gateway.store.redis_usage import RedisUsage
from gateway.store.usage import OTHERS, Counts, MemoryUsage, Usage, day_by_hours

DAY, NEXT = "2026-11-24", "2026-11-25"
HOUR, LATER = DAY + "T09", DAY + "T10"


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def counts(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Usage]:
    made = MemoryUsage() if request.param == "memory" else RedisUsage(request.getfixturevalue(request.param), prefix)
    yield made
    await made.close()


async def test_counts_add_up_by_day_and_caller(counts: Usage) -> None:
    await counts.add("1", "n1", HOUR, "shop@v1", {"partner": Counts(3), "": Counts(1)})
    await counts.add("2", "n1", HOUR, "shop@v1", {"partner": Counts(4)})
    await counts.add("3", "n2", NEXT + "T00", "shop@v1", {"partner": Counts(5)})
    await counts.add("4", "n1", HOUR, "shop@v2", {"partner": Counts(100)})
    assert await counts.read("shop@v1", [DAY, NEXT, "2026-11-26"]) == {
        DAY: {"partner": Counts(7), "": Counts(1)},
        NEXT: {"partner": Counts(5)},
    }


async def test_a_batch_that_is_sent_again_counts_once(counts: Usage) -> None:
    for _ in range(3):
        await counts.add("1", "n1", HOUR, "shop@v1", {"partner": Counts(3)})
    await counts.add("1", "n2", HOUR, "shop@v1", {"partner": Counts(1)})
    assert await counts.read("shop@v1", [DAY]) == {DAY: {"partner": Counts(4)}}


async def test_more_callers_than_are_kept_are_one(counts: Usage, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (usage, redis_usage):
        monkeypatch.setattr(module, "MOST", 2)
    await counts.add("1", "n1", HOUR, "shop@v1", {"a": Counts(1), "b": Counts(1), "c": Counts(1)})
    await counts.add("2", "n1", HOUR, "shop@v1", {"a": Counts(1), "d": Counts(5)})
    assert await counts.read("shop@v1", [DAY]) == {DAY: {"a": Counts(2), "b": Counts(1), OTHERS: Counts(6)}}


async def test_hours_and_days_are_kept_with_all_that_calls_came_to(counts: Usage) -> None:
    await counts.add("1", "n1", HOUR, "shop@v1", {"partner": Counts(3, 1, 1, 10, 20)})
    await counts.add("2", "n1", LATER, "shop@v1", {"partner": Counts(1, 0, 0, 1, 2)})
    assert await counts.read("shop@v1", [HOUR, LATER, DAY]) == {
        HOUR: {"partner": Counts(3, 1, 1, 10, 20)},
        LATER: {"partner": Counts(1, 0, 0, 1, 2)},
        DAY: {"partner": Counts(4, 1, 1, 11, 22)},
    }


async def test_what_was_called_on_a_day_is_known(counts: Usage) -> None:
    await counts.add("1", "n1", HOUR, "shop@v1", {"partner": Counts(1)})
    await counts.add("2", "n1", NEXT + "T00", "shop@v2", {"partner": Counts(1)})
    assert await counts.counted([DAY]) == {"shop@v1"}
    assert await counts.counted([DAY, NEXT]) == {"shop@v1", "shop@v2"}


async def test_counts_are_raised_and_never_lowered_however_often(counts: Usage) -> None:
    await counts.add("1", "n1", HOUR, "shop@v1", {"partner": Counts(3, 1, 0, 10, 20)})
    for _ in range(2):
        await counts.raise_to(
            HOUR, "shop@v1", {"partner": Counts(2, 0, 1, 11, 9), "other": Counts(4), "none": Counts()}
        )
    assert await counts.read("shop@v1", [HOUR]) == {
        HOUR: {"partner": Counts(3, 1, 1, 11, 20), "other": Counts(4), "none": Counts()}
    }
    assert await counts.counted([DAY]) == {"shop@v1"}


async def test_callers_that_were_raised_are_among_those_that_are_kept(
    counts: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (usage, redis_usage):
        monkeypatch.setattr(module, "MOST", 3)
    await counts.raise_to(HOUR, "shop@v1", {"a": Counts(1), "b": Counts(1)})
    await counts.add("1", "n1", HOUR, "shop@v1", {"a": Counts(1), "c": Counts(1), "d": Counts(1)})
    assert set((await counts.read("shop@v1", [HOUR]))[HOUR]) == {"a", "b", "c", OTHERS}


async def test_many_callers_are_raised_in_slices(counts: Usage) -> None:
    many = {f"app{number}": Counts(number) for number in range(1200)}
    await counts.raise_to(HOUR, "shop@v1", many)
    assert await counts.read("shop@v1", [HOUR]) == {HOUR: many}


async def test_the_hours_of_a_day_are_summed(counts: Usage) -> None:
    await counts.raise_to(HOUR, "shop@v1", {"partner": Counts(3)})
    await counts.raise_to(LATER, "shop@v1", {"partner": Counts(4), "other": Counts(1)})
    assert await day_by_hours(counts, DAY, "shop@v1") == {"partner": Counts(7), "other": Counts(1)}
    assert await day_by_hours(counts, NEXT, "shop@v1") == {}


class Flaky(MemoryUsage):
    """Takes what it is given; the answers of the first few are lost."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost

    async def add(self, *arguments: object) -> None:
        await super().add(*arguments)  # type: ignore[arg-type]
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the answer is lost")


async def test_calls_are_exact_over_a_store_that_goes_away() -> None:
    clock = ManualClock()
    told = Callers(Flaky(2), clock, "n1")
    for _ in range(4):
        told.add([("shop", "v1", "partner", 1), ("shop", "v2", "partner", 1)])
        try:
            await told.flush()
        except StoreUnavailable:
            continue
    for name in ("shop@v1", "shop@v2"):
        assert [each["calls"] for each in await told.read(name, 1)] == [4]


async def test_what_waits_for_the_store_stays_bounded() -> None:
    told = Callers(Flaky(1_000_000), ManualClock(), "n1")
    for number in range(50):
        told.add([("shop", "v1", f"app{number}", 1)])
        with pytest.raises(StoreUnavailable):
            await told.flush()
    assert len(told._batches) <= 2


async def test_the_days_that_are_asked_for_count_and_no_others() -> None:
    clock = ManualClock()
    told = Callers(MemoryUsage(), clock, "n1")
    for _ in range(5):
        told.add([("shop", "v1", "partner", 1)])
        await told.flush()
        clock.advance(86_400)
    assert [each["calls"] for each in await told.read("shop@v1", 3)] == [2]
    assert callers.DAYS == 30
