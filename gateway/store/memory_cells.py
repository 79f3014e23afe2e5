"""The in-memory twin of the cells: one process's, by its clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.clock import Clock, SystemClock
from gateway.store.cells import BURIED, LARGEST, Claimed, Read, Written, ignored

_SWEEP_EVERY = 1_000  # writes


@dataclass(slots=True)
class _Cell:
    ends: float
    values: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Tag:
    members: dict[str, float] = field(default_factory=dict)  # key: until when


class MemoryCells:
    """Delivers at once. `away` True: as if the store could not be reached."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._cells: dict[str, _Cell] = {}
        self._claims: dict[str, tuple[float, bytes]] = {}
        self._tags: dict[str, _Tag] = {}
        self._buried: dict[tuple[str, str], float] = {}  # ("tag" or "key", name): when
        self._writes = 0
        self.away = False

    def open(self) -> None:
        """Nothing is connected."""

    def read(self, key: str, fields: Sequence[bytes], deliver: Read) -> None:
        if self.away:
            deliver(None)
            return
        cell = self._cells.get(key)
        known = cell.values if cell is not None and cell.ends > self._clock.time() else {}
        deliver([known.get(name) for name in fields])

    def write(
        self,
        key: str,
        values: Mapping[bytes, bytes],
        ttl: float,
        deliver: Written,
        *,
        tags: Sequence[str] = (),
        age: float = 0.0,
        most: int = 0,
    ) -> None:
        now = self._clock.time()
        named = [("key", key), *(("tag", tag) for tag in tags)]
        if self.away:
            deliver(None)
        elif sum(map(len, values.values())) > LARGEST or any(self._purged(each, now - age) for each in named):
            deliver(False)
        else:
            self._sweep(now)
            for tag in tags:
                members = self._tags.setdefault(tag, _Tag()).members
                members[key] = max(members.get(key, 0.0), now + ttl)
            self._put(key, values, now, ttl, most)
            deliver(True)

    def _purged(self, named: tuple[str, str], since: float) -> bool:
        at = self._buried.get(named)
        return at is not None and at >= since

    def _put(self, key: str, values: Mapping[bytes, bytes], now: float, ttl: float, most: int) -> None:
        cell = self._cells.get(key)
        if cell is None or cell.ends <= now:
            cell = self._cells[key] = _Cell(0.0)
        if most and len(cell.values.keys() | values.keys()) > most:
            other = next((name for name in cell.values if name not in values), None)
            cell.values.pop(other or b"", None)
        cell.values.update(values)
        cell.ends = max(cell.ends, now + ttl)

    def claim(self, key: str, mine: bytes, ttl: float, deliver: Claimed) -> None:
        if self.away:
            deliver(None)
            return
        now = self._clock.time()
        there = self._claims.get(key)
        if there is not None and there[0] > now:
            deliver(there[1])
            return
        self._sweep(now)
        self._claims[key] = now + ttl, mine
        deliver(True)

    def settle(self, key: str, mine: bytes, value: bytes, ttl: float, deliver: Written) -> None:
        if self.away:
            deliver(None)
        elif len(value) > LARGEST or not self._is_mine(key, mine):
            deliver(False)
        else:
            self._claims[key] = self._clock.time() + ttl, value
            deliver(True)

    def release(self, key: str, mine: bytes, deliver: Written = ignored) -> None:
        if self.away:
            deliver(None)
            return
        if held := self._is_mine(key, mine):
            del self._claims[key]
        deliver(held)

    def _is_mine(self, key: str, mine: bytes) -> bool:
        there = self._claims.get(key)
        return there is not None and there[0] > self._clock.time() and there[1] == mine

    async def purge(self, tag: str) -> int:
        now = self._clock.time()
        self._buried["tag", tag] = now
        members = self._tags.pop(tag, _Tag()).members
        count = 0
        for key in members:
            cell = self._cells.pop(key, None)
            count += cell is not None and cell.ends > now
            self._buried["key", key] = now
        return count

    def _sweep(self, now: float) -> None:
        self._writes += 1
        if self._writes % _SWEEP_EVERY:
            return
        self._cells = {key: cell for key, cell in self._cells.items() if cell.ends > now}
        self._claims = {key: there for key, there in self._claims.items() if there[0] > now}
        self._buried = {key: at for key, at in self._buried.items() if at > now - BURIED}
        for tag in self._tags.values():
            tag.members = {key: until for key, until in tag.members.items() if until > now}
        self._tags = {name: tag for name, tag in self._tags.items() if tag.members}

    async def close(self) -> None:
        self._cells.clear()
        self._claims.clear()
