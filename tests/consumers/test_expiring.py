"""Keys and credentials that end soon are told of: once a day each, and as metrics."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest

from gateway.consumers.credentials import credential_id
from gateway.consumers.directory import Directory
from gateway.consumers.expiring import DAY, SLICE, ExpiryWatch
from gateway.core.clock import ManualClock
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture
def directory() -> Directory:
    found = Directory()
    found.put(APPLICATIONS, "partner", {})
    found.put(SUBSCRIPTIONS, "partner/shop", {"plan": None})
    return found


def add(directory: Directory, number: int, **more: Any) -> None:
    record = {"digest": f"{number:02x}" * 32, "application": "partner", "api": "shop"}
    directory.put(KEYS, f"k-{f'{number:02x}' * 8}", record | more)


async def test_each_is_told_once_a_day_until_it_ends(
    directory: Directory, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    add(directory, 1, ends=clock.time() + 3 * DAY)
    watch = ExpiryWatch(14 * DAY, clock)
    told = []
    with caplog.at_level(logging.WARNING):
        for _ in range(2 * 4):  # every half day, for four days
            await watch.look(directory)
            told.append(len(caplog.records))
            clock.advance(DAY / 2)
    assert told == [1, 1, 2, 2, 3, 3, 3, 3]
    assert "the key k-0101010101010101 of partner for shop ends at 2023-11-17T22:13:20Z, in 72 hours" in caplog.text


async def test_what_ends_late_never_or_is_over_is_not_told(directory: Directory, clock: ManualClock) -> None:
    now = clock.time()
    add(directory, 1)
    add(directory, 2, ends=now + 15 * DAY)
    add(directory, 3, ends=now)
    add(directory, 4, ends=now + DAY, revoked=now - 1)
    watch = ExpiryWatch(14 * DAY, clock)
    await watch.look(directory)
    assert watch.found == []
    assert watch.lines()[-1] == "penstock_credentials_expiring 0"


async def test_metrics_tell_when_each_ends_the_first_first(directory: Directory, clock: ManualClock) -> None:
    now = clock.time()
    add(directory, 1, ends=now + 2 * DAY)
    basic = {"type": "basic", "name": "web", "application": "partner", "ends": now + DAY}
    directory.put(CREDENTIALS, credential_id("basic", "web"), basic)
    watch = ExpiryWatch(14 * DAY, clock)
    await watch.look(directory)
    lines = [line for line in watch.lines() if not line.startswith("#")]
    assert lines == [
        "penstock_credentials_expiring 2",
        f'penstock_credential_expires_timestamp_seconds{{type="basic",id="{credential_id("basic", "web")}",'
        f'application="partner",api=""}} {now + DAY:.0f}',
        'penstock_credential_expires_timestamp_seconds{type="key",id="k-0101010101010101",'
        f'application="partner",api="shop"}} {now + 2 * DAY:.0f}',
    ]


async def test_many_are_looked_through_in_slices_while_others_change(directory: Directory, clock: ManualClock) -> None:
    for number in range(2 * SLICE + 1):
        record = {"digest": f"{number:064x}", "application": "partner", "api": "shop", "ends": clock.time() + 1}
        directory.put(KEYS, f"key-{number}", record)
    watch = ExpiryWatch(DAY, clock)
    look = watch.look(directory)
    look.send(None)
    directory.put(KEYS, "key-0", None)
    with contextlib.suppress(StopIteration):
        while True:
            look.send(None)
    assert len(watch.found) == 2 * SLICE + 1


async def test_nothing_is_watched_where_nobody_asked(directory: Directory, clock: ManualClock) -> None:
    await ExpiryWatch(0.0, clock).watch(lambda: directory)
