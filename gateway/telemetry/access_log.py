"""The access log: one JSON object a line. A request costs its line, of which most was made before; lines are written
by the batch.

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
KNOWN: Final = 8192  # places whose members are kept
_NAMES: Final = ("component", "version", "revision", "endpoint")
PERIOD: Final = 0.5  # seconds until a smaller batch is written

Members = tuple[bytes, bytes]
"""What stands before the application in a line, and what behind it."""


class AccessLog:
    """Appends to `path`; every write is of whole lines, so that workers may share a file. `-` is standard output."""

    def __init__(self, path: Path, clock: Clock, write: Callable[[int, bytes], int] = os.write) -> None:
        self._path = path
        self._clock = clock
        self._write = write
        self._file = open_lines(path)
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._offset = 0.0  # makes wall-clock time of monotonic one; looked at for each batch
        self._at = -1  # ms since 1970 of `_time`
        self._time = b""
        self._known: dict[tuple[Any, ...], tuple[Mapping[str, str], Members]] = {}  # by the identity of facts, and more
        self.dropped = 0  # lines lost to a full disk

    def record(self, exchange: Exchange) -> None:
        """What needs no escape by the rules of framing (id, method, path) is put in as it is: this runs for every
        request."""
        lines = self._lines
        if not lines:
            self._begin()
        head, identity = exchange.head, exchange.identity
        ended = exchange.ended_at
        at = round((ended + self._offset) * 1000)
        lane = b"relay" if exchange.upstream_at else b"edge" if exchange.call is None else b"call"
        facts, upstream, peer = exchange.chain.facts, exchange.upstream, head.peer
        place = (id(facts), exchange.operation, lane, head.http10, peer.scheme, upstream, exchange.attempts)
        known = self._known.get(place)
        before, behind = known[1] if known is not None else self._of(place, facts)
        status, notes = exchange.status, exchange.notes
        if status >= 400 or exchange.trace is not None or (notes is not None and CACHED in notes):
            behind += _more(exchange)
        line = _FORM % (
            self._time if at == self._at else self._tell(at),
            exchange.id.encode(),
            _quoted(peer.client),
            head.method,
            head.path,
            status,
            exchange.received,
            exchange.sent,
            (ended - exchange.started_at) * 1000,
            before,
            _quoted(None if identity is None else identity.application),
            behind,
        )
        lines.append(line)
        if len(lines) >= BATCH:
            self.flush()

    def _begin(self) -> None:
        """A batch."""
        self._offset = self._clock.time() - self._clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self.flush)

    def _tell(self, at: int) -> bytes:
        """The time of a line. Under load many lines have the same."""
        second, millisecond = divmod(at, 1000)
        self._at, self._time = at, b"%b.%03dZ" % (_second(second), millisecond)
        return self._time

    def _of(self, place: tuple[Any, ...], facts: Mapping[str, str]) -> Members:
        """The members of a place that was not seen before; publishing makes new facts of the same endpoints."""
        if len(self._known) >= KNOWN:
            self._known.clear()
        _, operation, lane, http10, scheme, upstream, attempts = place
        before = b'%b,"operation":%b' % (_named(facts), _quoted(operation))
        came = b'"protocol":"%b","scheme":%b' % (b"1.0" if http10 else b"1.1", _quoted(scheme))
        behind = b'"lane":"%b",%b' % (lane, came)
        if upstream:
            behind += b',"upstream":%b,"attempts":%d' % (_quoted(upstream), attempts)
        self._known[place] = facts, (before, behind)
        return before, behind

    def flush(self) -> None:
        """Writes what is there. A disk that takes nothing loses lines, never requests."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            lost = write_lines(self._file, lines, self._write)
        except OSError:
            if not self.dropped:
                log.exception("the access log %s cannot be written", self._path)
            lost = len(lines)
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


def _more(exchange: Exchange) -> bytes:
    """Members that few lines have: the trace, the step that refused with its code, what the cache did."""
    found = b""
    if (trace := sampled(exchange.trace)) is not None:
        found += b',"trace":"%b"' % trace.trace_id.encode()
    if (problem := exchange.problem) is not None:
        step = step_name(exchange.chain, exchange.at)
        found += b',"step":%b,"code":%b' % (_quoted(step), _quoted(problem.code))
    if exchange.notes is not None and CACHED in exchange.notes:
        found += b',"cache":"%b"' % exchange.notes[CACHED]
    return found


@lru_cache(maxsize=4)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


@lru_cache(maxsize=4096)
def _quoted(text: str | None) -> bytes:
    return orjson.dumps(text)


def _named(facts: Mapping[str, str]) -> bytes:
    """The members that name an endpoint."""
    return b",".join(b'"%b":%b' % (name.encode(), _quoted(facts.get(name, ""))) for name in _NAMES)


_FORM: Final = (
    b'{"time":"%b","id":"%b","client":%b,"method":"%b","path":"%b","status":%d,"received":%d,"sent":%d,'
    b'"ms":%.3f,%b,"application":%b,%b}\n'
)
