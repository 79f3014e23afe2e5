"""The access log's further members, its ways out, and the node's own log as JSON."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import orjson
import pytest

from gateway.core.clock import ManualClock
from gateway.core.errors import Forbidden
from gateway.core.exchange import CACHED, Exchange, Head, Reply
from gateway.core.ids import named_id
from gateway.core.memory_wire import MemoryWire
from gateway.server.logs import JsonLine
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.line_file import write_lines
from tests.serving import cell


async def lines(tmp_path: Path, step: object, **parts: object) -> list[dict[str, object]]:
    log = AccessLog(tmp_path / "access.log", ManualClock())
    live = cell(step, **parts)  # type: ignore[arg-type]
    live.observe = log.record
    await MemoryWire.request(live, "GET", "/a")
    log.close()
    return [orjson.loads(line) for line in (tmp_path / "access.log").read_bytes().splitlines()]


async def test_a_refusal_names_its_step_and_code(tmp_path: Path) -> None:
    def refuse(_exchange: Exchange) -> Reply:
        raise Forbidden("no")

    (line,) = await lines(tmp_path, refuse, names=("gate",))
    assert (line["step"], line["code"], line["status"]) == ("gate", "forbidden", 403)


async def test_a_relay_names_its_target_and_attempts(tmp_path: Path) -> None:
    def relayed(exchange: Exchange) -> Reply:
        exchange.upstream, exchange.attempts = "10.0.0.1:80", 2
        return Reply(200)

    (line,) = await lines(tmp_path, relayed)
    assert (line["upstream"], line["attempts"]) == ("10.0.0.1:80", 2)
    assert "step" not in line


async def test_what_a_cache_did_is_told(tmp_path: Path) -> None:
    def cached(exchange: Exchange) -> Reply:
        exchange.note(CACHED, b"hit")
        return Reply(200)

    (line,) = await lines(tmp_path, cached)
    assert line["cache"] == "hit"


def test_a_pipe_that_nobody_reads_loses_lines_and_waits_for_none() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        line = b"x" * 999 + b"\n"
        lost = sum(write_lines(writing, [line] * 64) for _ in range(4))
        read = b""
        while len(piece := _read(reading)):
            read += piece
        assert lost > 0
        assert read == line * (256 - lost)
    finally:
        os.close(reading)
        os.close(writing)


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65_536)
    except BlockingIOError:
        return b""


def test_a_line_that_no_pipe_takes_whole_is_one_that_says_so() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    long = b'{"time":"2026-11-26T00:00:00.000Z","id":"a","path":"/' + b"x" * 8000 + b'"}\n'
    assert write_lines(writing, [b'{"id":"b"}\n', long, b'{"id":"c"}\n']) == 0
    lines = [orjson.loads(each) for each in os.read(reading, 65_536).splitlines()]
    assert lines == [{"id": "b"}, {"time": "2026-11-26T00:00:00.000Z", "too_long": len(long)}, {"id": "c"}]
    os.close(reading)
    os.close(writing)


def test_lines_to_a_pipe_are_never_torn() -> None:
    """Several workers write to it: what is longer than PIPE_BUF may be mixed (pipe(7))."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    written: list[bytes] = []
    try:
        write_lines(writing, [b"y" * 700 + b"\n"] * 30, lambda _file, data: written.append(data) or len(data))
    finally:
        os.close(reading)
        os.close(writing)
    assert all(len(each) <= 4096 and each.endswith(b"\n") for each in written)
    assert b"".join(written).count(b"\n") == 30


def logged(message: str, *parts: object, error: bool = False) -> dict[str, object]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLine("worker 0"))
    handler.handle(
        logging.LogRecord("gateway.x", logging.WARNING, "", 0, message, parts, sys.exc_info() if error else None)
    )
    line, nothing = written.getvalue().split("\n")
    assert not nothing
    found: dict[str, object] = orjson.loads(line)
    return found


@pytest.mark.parametrize("sent", ["plain", "a\nINFO forged", "\u2028", "\ud800", "\x1b[31m"])
def test_a_record_is_one_object_on_one_line(sent: str) -> None:
    told = logged("request answered: %s", sent)
    assert (told["level"], told["process"], told["logger"]) == ("warning", "worker 0", "gateway.x")
    assert str(told["message"]).startswith("request answered: ")


def test_an_exception_stands_in_its_object() -> None:
    try:
        int("bad\nvalue")
    except ValueError:
        told = logged("failed", error=True)
    assert "ValueError: invalid" in str(told["exception"])


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (b"\r\nX-Request-Id: abc-1.2:3", "abc-1.2:3"),
        (b'\r\nX-Request-Id: a"b', None),
        (b"\r\nX-Request-Id: " + b"a" * 129, None),
        (b"\r\nX-Request-Id: a\r\nX-Request-Id: b", None),
        (b"", None),
    ],
)
def test_a_proxys_request_id_is_taken_where_it_is_safe(block: bytes, name: str | None) -> None:
    assert named_id(Head(b"GET", b"/", block=block)) == name
