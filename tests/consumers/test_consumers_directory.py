"""The directory by itself: dumps, order of changes, age, size."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest

from gateway.consumers.directory import Directory
from gateway.store.store import APPLICATIONS, KEYS, SUBSCRIPTIONS, Change


def record(number: int, application: str = "partner", **more: object) -> dict[str, object]:
    return {"digest": f"{number:064x}", "application": application, "api": "shop", "plan": None, **more}


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def directory() -> Directory:
    found = Directory()
    found.apply(Change(1, APPLICATIONS, "partner", {"title": "Partner"}))
    found.apply(Change(2, SUBSCRIPTIONS, "partner/shop", {"plan": "gold"}))
    found.apply(Change(3, KEYS, "k-1", record(1, starts=5.0, ends=9.0)))
    return found


def test_a_dump_is_loaded_as_it_was(directory: Directory) -> None:
    directory.as_of = 17.0
    loaded = Directory.load(directory.dump())
    assert (loaded.sequence, loaded.as_of, len(loaded)) == (3, 17.0, 1)
    key = loaded.find(digest(1))
    assert key is not None
    assert (key.id, key.plan, key.starts, key.ends, key.refusal(6)) == ("k-1", "gold", 5.0, 9.0, None)
    assert loaded.application("partner") == {"title": "Partner"}
    assert loaded.dump() == directory.dump()


def test_a_large_dump_is_taken_in_by_slices_and_is_whole_only_then(directory: Directory) -> None:
    """A worker's loop turns between two slices (CASES A67)."""
    for number in range(2500):
        directory.put(APPLICATIONS, f"application-{number}", {})
    taken = Directory()
    counts = [len(list(taken._applications)) for _ in taken.take_in(directory.dump().split(b"\n"))]
    assert len(counts) > 3
    assert max(b - a for a, b in pairwise([0, *counts])) <= 1000
    assert taken.dump() == directory.dump()


@pytest.mark.parametrize("cut", [1, 3])
def test_a_dump_that_lost_its_end_is_refused(directory: Directory, cut: int) -> None:
    lines = directory.dump().split(b"\n")
    with pytest.raises(ValueError, match="no directory"):
        Directory.load(b"\n".join(lines[:-cut]))


@pytest.mark.parametrize(
    "dumped", [b"", b"{}", b"[]", b"\0", b'{"form": 1}', b'{"form": 2}', b'{"form": 2, "slices": 0}']
)
def test_what_is_no_dump_is_refused(dumped: bytes) -> None:
    with pytest.raises(ValueError):
        Directory.load(dumped)


def test_an_old_change_does_nothing(directory: Directory) -> None:
    directory.apply(Change(2, KEYS, "k-1", None))
    assert directory.find(digest(1)) is not None


def test_changes_of_other_tables_move_the_sequence_only(directory: Directory) -> None:
    directory.apply(Change(9, "plans", "gold", {}))
    assert (directory.sequence, len(directory)) == (9, 1)


def test_a_key_that_changed_its_digest_is_not_found_by_the_old_one(directory: Directory) -> None:
    directory.apply(Change(4, KEYS, "k-1", record(2)))
    assert directory.find(digest(1)) is None
    assert directory.find(digest(2)) is not None


def test_a_keys_own_plan_comes_before_its_subscriptions(directory: Directory) -> None:
    directory.apply(Change(4, KEYS, "k-1", record(1, plan="silver")))
    key = directory.find(digest(1))
    assert key is not None
    assert key.plan == "silver"


def test_a_key_of_a_missing_application_opens_nothing(directory: Directory) -> None:
    directory.apply(Change(4, APPLICATIONS, "partner", None))
    key = directory.find(digest(1))
    assert key is not None
    assert key.refusal(6) == "no subscription"


def test_keys_may_come_before_their_subscription() -> None:
    directory = Directory()
    directory.apply(Change(1, KEYS, "k-1", record(1)))
    key = directory.find(digest(1))
    assert key is not None
    assert key.refusal(0) == "no subscription"
    directory.apply(Change(2, APPLICATIONS, "partner", {}))
    directory.apply(Change(2, SUBSCRIPTIONS, "partner/shop", {"plan": None}))
    assert key.refusal(0) is None


def test_a_directory_is_stale_when_nobody_confirmed_it(directory: Directory) -> None:
    directory.as_of = 100.0
    assert not directory.stale(200.0, 100.0)
    assert directory.stale(200.1, 100.0)


def test_a_hundred_thousand_keys_take_less_than_a_hundred_megabytes() -> None:
    tracemalloc.start()
    directory = Directory()
    for number in range(100_000):
        directory.put(KEYS, f"k-{number:016x}", record(number, f"app-{number % 5000}"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(directory) == 100_000
    assert used < 100 * 1024 * 1024
