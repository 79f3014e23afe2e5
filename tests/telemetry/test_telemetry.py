"""Access log and counters of exchanges that ended."""

from __future__ import annotations

import errno
from pathlib import Path

import orjson
import pytest

from gateway.core.call import Call, Context
from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import Identity
from gateway.core.live import LiveCell
from gateway.core.memory_wire import MemoryWire
from gateway.telemetry.access_log import BATCH, AccessLog
from gateway.telemetry.counters import render_prometheus, total
from gateway.telemetry.observer import Observer
from tests.serving import cell

FACTS = {"component": "shop", "version": "v2", "endpoint": 'GET /a"b'}


def _cell(observer: object, clock: ManualClock, status: int = 200) -> LiveCell:
    def step(exchange: Exchange) -> Reply:
        exchange.identity = Identity("key-1", "api-key", application="partner")
        exchange.call = Call("get_a", {}, Context("id"))
        exchange.operation = "get_a"
        clock.advance(0.02)
        return Reply(status, body=b"12345")

    live = cell(step, facts=FACTS)
    live.clock, live.observe = clock, observer  # type: ignore[assignment]
    return live


async def test_a_line_tells_the_exchange_and_no_secret(tmp_path: Path) -> None:
    """CASES C41: keys never in logs"""
    clock = ManualClock(1_700_000_000.0)
    observer = Observer(tmp_path / "log" / "access.log", clock)
    await MemoryWire.request(_cell(observer.observe, clock), "POST", "/a?key=hush", [(b"X-Api-Key", b"hush")], b"123")
    observer.close()
    text = (tmp_path / "log" / "access.log").read_bytes()
    assert b"hush" not in text
    assert orjson.loads(text) == {
        "time": "2023-11-14T22:13:20.020Z",
        "id": "id-1",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/a",
        "status": 200,
        "received": 3,
        "sent": 5,
        "ms": 20.0,
        "component": "shop",
        "version": "v2",
        "revision": "",
        "endpoint": 'GET /a"b',
        "operation": "get_a",
        "application": "partner",
        "lane": "call",
        "protocol": "1.1",
        "scheme": "http",
    }


async def test_lines_are_written_by_the_batch(tmp_path: Path) -> None:
    clock, writes = ManualClock(), []
    log = AccessLog(tmp_path / "access.log", clock, lambda _file, data: writes.append(data) or len(data))
    live = _cell(log.record, clock)
    for _ in range(BATCH - 1):
        await MemoryWire.request(live, "GET", "/a")
    assert writes == []
    await MemoryWire.request(live, "GET", "/a")
    assert [data.count(b"\n") for data in writes] == [BATCH]
    log.close()


async def test_a_full_disk_loses_lines_and_no_request(tmp_path: Path) -> None:
    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    clock = ManualClock()
    log = AccessLog(tmp_path / "access.log", clock, full)
    answer = await MemoryWire.request(_cell(log.record, clock), "GET", "/a")
    log.close()
    assert (answer.status, log.dropped) == (200, 1)


async def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    log = AccessLog(tmp_path / "access.log", clock)
    live = _cell(log.record, clock)
    await MemoryWire.request(live, "GET", "/a")
    (tmp_path / "access.log").rename(tmp_path / "old.log")
    log.reopen()
    await MemoryWire.request(live, "GET", "/a")
    log.close()
    assert (tmp_path / "old.log").read_bytes().count(b"\n") == 1
    assert (tmp_path / "access.log").read_bytes().count(b"\n") == 1


async def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    """Its descriptor must not be closed: the next connection of a client would get its number."""
    clock = ManualClock()
    log = AccessLog(tmp_path / "access.log", clock)
    live = _cell(log.record, clock)
    (tmp_path / "access.log").rename(tmp_path / "old.log")
    (tmp_path / "access.log").mkdir()
    log.reopen()
    await MemoryWire.request(live, "GET", "/a")
    log.close()
    assert (tmp_path / "old.log").read_bytes().count(b"\n") == 1


@pytest.mark.parametrize(("status", "name"), [(200, "2xx"), (404, "4xx"), (503, "5xx")])
async def test_counters_are_kept_by_class_of_status(status: int, name: str) -> None:
    clock, observer = ManualClock(), Observer(None)
    await MemoryWire.request(_cell(observer.observe, clock, status), "GET", "/a")
    page = render_prometheus([observer.snapshot()]).decode()
    labels = 'component="shop",version="v2",endpoint="GET /a\\"b",lane=""'
    assert f'penstock_requests_total{{{labels},status="{name}"}} 1\n' in page
    assert f'penstock_request_seconds_bucket{{{labels},le="0.01"}} 0\n' in page
    assert f'penstock_request_seconds_bucket{{{labels},le="0.025"}} 1\n' in page
    assert f'penstock_request_seconds_bucket{{{labels},le="+Inf"}} 1\n' in page


async def test_workers_counters_sum() -> None:
    clock, observers = ManualClock(), [Observer(None), Observer(None)]
    for observer in observers:
        await MemoryWire.request(_cell(observer.observe, clock), "POST", "/a", body=b"123")
    (entry,) = total(observer.snapshot() for observer in observers)["endpoints"]
    assert (entry["classes"][2], entry["received"], entry["sent"]) == (2, 6, 10)
    assert entry["seconds"] == pytest.approx(0.04)
