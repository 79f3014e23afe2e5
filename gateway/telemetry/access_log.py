"""The access log: one JSON object a line. A request costs a tuple; lines are made and written by the batch.

Never in a line: credentials, header fields, query values (they may hold secrets), bodies.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.core.clock import Clock
from gateway.core.exchange import CACHED, Exchange
from gateway.core.trace import sampled, step_name
from gateway.telemetry.line_file import open_lines, write_lines

log: Final = logging.getLogger("gateway.telemetry")

BATCH: Final = 64  # lines; a batch by time alone would stall the loop under load
KNOWN: Final = 8192  # endpoints whose members are kept
_NAMES: Final = ("component", "version", "revision", "endpoint")
PERIOD: Final = 0.5  # seconds until a smaller batch is written

Row = tuple[Any, ...]


def lane(exchange: Exchange) -> bytes:
    """`relay`, `call`, or `edge` for what the gateway answered by itself."""
    if exchange.upstream_at:
        return b"relay"
    return b"edge" if exchange.call is None else b"call"


class AccessLog:
    """Appends to `path`; every write is of whole lines, so that workers may share a file. `-` is standard output."""

    def __init__(self, path: Path, clock: Clock, write: Callable[[int, bytes], int] = os.write) -> None:
        self._path = path
        self._clock = clock
        self._write = write
        self._file = open_lines(path)
        self._rows: list[Row] = []
        self._timer: asyncio.TimerHandle | None = None
        self._known: dict[int, tuple[Mapping[str, str], bytes]] = {}  # by the identity of a chain's facts
        self.dropped = 0  # lines lost to a full disk

    def record(self, exchange: Exchange) -> None:
        head, identity, facts = exchange.head, exchange.identity, exchange.chain.facts
        row = (
            exchange.ended_at,
            exchange.ended_at - exchange.started_at,
            exchange.id,
            head.peer.client,
            head.method,
            head.path,
            exchange.status,
            exchange.received,
            exchange.sent,
            known[1] if (known := self._known.get(id(facts))) is not None else self._of(facts),
            exchange.operation,
            None if identity is None else identity.application,
            lane(exchange),
            _way(head.http10, head.peer.scheme, exchange.upstream, exchange.attempts),
            None if exchange.status < 400 and exchange.trace is None and not _cached(exchange) else _more(exchange),
        )
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self.flush)

    def _of(self, facts: Mapping[str, str]) -> bytes:
        """The members of an endpoint that was not seen before; publishing makes new facts of the same endpoints."""
        if len(self._known) >= KNOWN:
            self._known.clear()
        named = _named(facts)
        self._known[id(facts)] = (facts, named)
        return named

    def flush(self) -> None:
        """Writes what is there. A disk that takes nothing loses lines, never requests."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._rows = self._rows, []
        if not rows:
            return
        offset = self._clock.time() - self._clock.monotonic()
        try:
            lost = write_lines(self._file, [_line(row, offset) for row in rows], self._write)
        except OSError:
            if not self.dropped:
                log.exception("the access log %s cannot be written", self._path)
            lost = len(rows)
        self.dropped += lost

    def reopen(self) -> None:
        """After the file was rotated away. One that cannot be opened leaves the old one in use: a closed descriptor may
        be a client's by the next write."""
        self.flush()
        try:
            opened = open_lines(self._path)
        except OSError:
            log.exception("the access log %s cannot be opened again; the old file is written on", self._path)
            return
        os.close(self._file)
        self._file = opened

    def close(self) -> None:
        self.flush()
        os.close(self._file)


def _cached(exchange: Exchange) -> bool:
    return exchange.notes is not None and CACHED in exchange.notes


def _more(exchange: Exchange) -> bytes:
    """Members that few lines have: the trace, the step that refused with its code, what the cache did."""
    found = b""
    if (trace := sampled(exchange.trace)) is not None:
        found += b',"trace":"%b"' % trace.trace_id.encode()
    if (problem := exchange.problem) is not None:
        step = step_name(exchange.chain, exchange.at)
        found += b',"step":%b,"code":%b' % (_quoted(step), _quoted(problem.code))
    if exchange.notes is not None and _cached(exchange):
        found += b',"cache":"%b"' % exchange.notes[CACHED]
    return found


@lru_cache(maxsize=4)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


@lru_cache(maxsize=4096)
def _quoted(text: str | None) -> bytes:
    return orjson.dumps(text)


@lru_cache(maxsize=1024)
def _way(http10: bool, scheme: str, upstream: str, attempts: int) -> bytes:
    """The members that tell how the request came, and where it went."""
    came = b'"protocol":"%b","scheme":%b' % (b"1.0" if http10 else b"1.1", _quoted(scheme))
    return came if not upstream else came + b',"upstream":%b,"attempts":%d' % (_quoted(upstream), attempts)


def _named(facts: Mapping[str, str]) -> bytes:
    """The members that name an endpoint."""
    return b",".join(b'"%b":%b' % (name.encode(), _quoted(facts.get(name, ""))) for name in _NAMES)


def _line(row: Row, offset: float) -> bytes:
    """`offset` makes wall-clock time of the row's monotonic one. What needs no escape by the rules of framing (id,
    method, path) or is a name out of a few is put in as it is: this runs for every request."""
    ended, seconds, id, client, method, path, status, received, sent, endpoint, operation, application, lane_ = row[:13]
    way, more = row[13:]
    second, millisecond = divmod(round((ended + offset) * 1000), 1000)
    return _FORM % (
        _second(second),
        millisecond,
        id.encode(),
        _quoted(client),
        method,
        path,
        status,
        received,
        sent,
        seconds * 1000,
        endpoint,
        _quoted(operation),
        _quoted(application),
        lane_,
        way + more if more else way,
    )


_FORM: Final = (
    b'{"time":"%b.%03dZ","id":"%b","client":%b,"method":"%b","path":"%b","status":%d,"received":%d,"sent":%d,'
    b'"ms":%.3f,%b,"operation":%b,"application":%b,"lane":"%b",%b}\n'
)
