"""Who still calls a version: counts of real requests by application and hour, from the workers into the store.

Workers tell once a second, this node writes every few seconds and before it is asked; a batch whose answer was lost is
sent again and counts once. What a worker that was killed had not told is lost, a second at most.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request

from gateway.admin.access import require
from gateway.admin.bodies import number
from gateway.admin.routing import Entry
from gateway.consumers.tokens import Token
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.store.usage import KEPT_DAYS, MOST, OTHERS, Counts, Usage

log: Final = logging.getLogger("gateway.control")
EVERY: Final = 10.0  # seconds between two writes
NOBODY: Final = ""  # calls of no known application
DAYS: Final = 30

Waiting = dict[tuple[str, str], dict[str, Counts]]  # (hour, component@version): by application


@dataclass
class Callers:
    """What this node's workers have told and the store does not have yet. `source` names the node."""

    usage: Usage
    clock: Clock
    source: str = ""
    _told: Waiting = field(default_factory=dict)
    _batches: list[tuple[str, tuple[str, str], dict[str, Counts]]] = field(default_factory=list)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, calls: Iterable[Sequence[Any]]) -> None:
        """Rows of `telemetry.counters.Call`."""
        hour = _hour(self.clock.time())
        for component, version, application, *count in calls:
            counts = self._told.setdefault((hour, f"{component}@{version}"), {})
            name = application or NOBODY
            if name not in counts and len(counts) >= MOST:
                name = OTHERS
            counts[name] = counts.get(name, Counts()).plus(Counts(*count))

    @property
    def unwritten(self) -> int:
        return len(self._batches)

    async def flush(self) -> None:
        """StoreUnavailable; nothing is lost then."""
        async with self._flushing:
            told, self._told = self._told, {}
            self._batches += [(uuid.uuid4().hex, what, counts) for what, counts in told.items()]
            self._merge()
            while self._batches:
                batch, (hour, what), counts = self._batches[0]
                await self.usage.add(batch, self.source, hour, what, counts)
                del self._batches[0]

    def _merge(self) -> None:
        """While the store is away, what was never sent is one batch an hour and version; the first may have been."""
        first, rest = self._batches[:1], self._batches[1:]
        merged: Waiting = {}
        for _, what, counts in rest:
            sums = merged.setdefault(what, {})
            for name, count in counts.items():
                sums[name] = sums.get(name, Counts()).plus(count)
        self._batches = first + [(uuid.uuid4().hex, what, counts) for what, counts in merged.items()]

    async def flush_forever(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.flush()
            except StoreUnavailable as error:
                log.info("calls are not written yet: %s", error)
            except Exception:
                log.exception("calls could not be written; trying again")

    async def read(self, name: str, days: int) -> list[dict[str, Any]]:
        """Who called a version in the last days, today among them, the most calls first."""
        await self.flush()
        wanted = [_day(self.clock.time(), back) for back in range(days)]
        found: dict[str, dict[str, Any]] = {}
        for day, counts in sorted((await self.usage.read(name, wanted)).items()):
            for application, count in counts.items():
                entry = found.setdefault(application, {"application": application or None, "calls": 0, "first": day})
                entry["calls"] += count.calls
                entry["last"] = day
        return sorted(found.values(), key=lambda each: (-each["calls"], each["application"] or ""))


def _hour(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H")


def _day(now: float, back: int) -> str:
    return (datetime.fromtimestamp(now, UTC) - timedelta(days=back)).date().isoformat()


def entries(callers: Callers) -> Iterator[Entry]:
    async def one(request: Request, token: Token) -> Any:
        name: str = request.path_params["name"]
        require(token, "viewer", name.partition("@")[0])
        days = number(request, "days", 1, KEPT_DAYS) or DAYS
        found = await callers.read(name, days)
        return {"name": name, "days": days, "calls": sum(each["calls"] for each in found), "items": found}

    yield Entry("/versions/{name}/callers", "GET", one, None)
