"""The directory by itself: dumps, order of changes, age, size."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import orjson
import pytest

from gateway.consumers.directory import Directory
from gateway.consumers.records import key_id
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS, Change


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


def test_what_an_earlier_release_dumped_is_read(directory: Directory) -> None:
    """All of it in one line."""
    applications = {"partner": {"title": "Partner"}}
    keys = [["k-1", f"{1:064x}", "partner", "shop", None, 5.0, 9.0, None]]
    old = {"form": 1, "sequence": 3, "as_of": 0.0, "applications": applications, "keys": keys}
    loaded = Directory.load(orjson.dumps({**old, "subscriptions": [["partner", "shop", "gold"]]}))
    assert loaded.dump() == directory.dump()


def test_a_change_while_a_dump_is_written_is_in_it_or_comes_after_it(directory: Directory) -> None:
    """Who reads the dump takes the changes from its sequence on, also those that it holds already."""
    changes = [
        Change(4, KEYS, "k-2", record(2)),
        Change(5, KEYS, "k-1", None),
        Change(6, SUBSCRIPTIONS, "partner/shop", None),
        Change(7, APPLICATIONS, "other", {"title": "Other"}),
    ]
    lines = directory.lines()
    dumped = [next(lines)]
    for change in changes:
        directory.apply(change)
        dumped += [line for line in (next(lines, b""),) if line]
    loaded = Directory.load(b"".join([*dumped, *lines]))
    for change in changes:
        loaded.apply(change)
    assert loaded.dump() == directory.dump()


def test_a_key_is_found_by_its_id_as_it_is_now() -> None:
    """Whether its digest tells it, as those do that are made here, or not."""
    directory = Directory()
    ids = [key_id(bytes.fromhex(f"{number:02x}" * 32)) for number in range(100)]
    for number, id in enumerate(ids):
        directory.put(KEYS, id, {**record(1), "digest": f"{number:02x}" * 32})
    directory.put(KEYS, "another", record(2))
    assert [directory.find_id(id).id for id in ids] == ids  # type: ignore[union-attr]
    assert directory.find_id("another") is directory.find(digest(2))
    directory.put(KEYS, ids[7], {**record(1), "digest": "07" * 32, "revoked": 1.0})
    assert directory.find_id(ids[7]).revoked == 1.0  # type: ignore[union-attr]
    for id in (ids[7], "another"):
        directory.put(KEYS, id, None)
        assert directory.find_id(id) is None
    assert directory.find(bytes.fromhex("07" * 32)) is None
    assert directory.find(digest(2)) is None
    assert len(directory) == 99
    assert directory.find_id("k-nothing") is directory.find_id("") is directory.find_id("k-") is None


def test_an_application_may_have_many_subscriptions(directory: Directory) -> None:
    for number in range(5):
        directory.put(SUBSCRIPTIONS, f"partner/api-{number}", {"plan": f"plan-{number}"})
    found = directory.subscription("partner", "api-3")
    assert found is not None
    assert found.plan == "plan-3"
    assert sorted(each.api for each in directory.subscriptions()) == [*(f"api-{n}" for n in range(5)), "shop"]
    directory.put(SUBSCRIPTIONS, "partner/api-3", None)
    assert directory.subscription("partner", "api-3") is None
    assert Directory.load(directory.dump()).dump() == directory.dump()


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


def test_an_application_and_a_credential_take_less_than_a_kilobyte_each() -> None:
    tracemalloc.start()
    directory = Directory()
    for number in range(2000):
        directory.put(APPLICATIONS, f"app-{number}", {"title": "One of many", "contacts": ["a@b.example"]})
        value = {"type": "oauth-client", "name": f"client-{number}", "application": f"app-{number}"}
        value |= {"secrets": [{"digest": f"{number:064x}"}], "scopes": ["orders:read"]}  # type: ignore[dict-item]
        directory.put(CREDENTIALS, f"c-{number:024x}", value)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2000 * 2 * 1024


def test_a_hundred_thousand_keys_take_less_than_thirty_megabytes() -> None:
    tracemalloc.start()
    directory = Directory()
    for number in range(100_000):
        directory.put(KEYS, f"k-{number:016x}", record(number, f"app-{number % 5000}"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(directory) == 100_000
    assert used < 30 * 1024 * 1024


def test_a_pinned_version_is_dumped_and_a_dump_without_pins_is_read(directory: Directory) -> None:
    plain = directory.dump()
    assert b'"partner","shop","gold"]' in plain
    directory.apply(Change(4, SUBSCRIPTIONS, "partner/shop", {"plan": "gold", "version": "v2"}))
    pinned = Directory.load(directory.dump()).find(digest(1))
    unpinned = Directory.load(plain).find(digest(1))
    assert pinned is not None
    assert unpinned is not None
    assert (pinned.version, unpinned.version) == ("v2", None)


def test_a_suspended_application_closes_its_keys_and_is_dumped_as_such(directory: Directory) -> None:
    directory.apply(Change(4, APPLICATIONS, "partner", {"title": "Partner", "status": "suspended"}))
    for each in (directory, Directory.load(directory.dump())):
        key = each.find(digest(1))
        assert key is not None
        assert key.refusal(6) == "suspended"
        assert each.subscription("partner", "shop") is None
    directory.apply(Change(5, APPLICATIONS, "partner", {"status": "active"}))
    assert directory.subscription("partner", "shop") is not None
