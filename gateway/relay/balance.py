"""How a request's target is picked. What can be computed is computed when the usable targets change (`set`); a pick
is a step in a list, in a heap, or a search in a sorted one. Each takes a `key`, which only the ring reads."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import heapify, heapreplace
from itertools import accumulate
from math import ceil, gcd
from typing import Final, Protocol

from gateway.relay.target import Pool

POINTS: Final = 100  # of a target with the least weight, on the ring
MOST_POINTS: Final = 65_536

Chance = Callable[[], float]


class Balance(Protocol):
    pools: Sequence[Pool]  # those that are picked from

    def set(self, pools: Sequence[Pool]) -> None:
        """These are usable from now on, with the shares that they have now. A pick needs one."""
        ...

    def pick(self, key: bytes | None = None) -> Pool: ...


class InTurn:
    """One after the other: all weigh the same."""

    def __init__(self) -> None:
        self.pools: Sequence[Pool] = ()
        self._next = -1

    def set(self, pools: Sequence[Pool]) -> None:
        self.pools = pools

    def pick(self, key: bytes | None = None) -> Pool:
        self._next = next_ = (self._next + 1) % len(self.pools)
        return self.pools[next_]


class InWeightedTurn:
    """Each target's next turn stands 1/share behind its last one; the earliest is taken (earliest deadline first).
    The first one stands half as far, so that 5:1:1 begins with two of five, not with all five."""

    def __init__(self) -> None:
        self.pools: Sequence[Pool] = ()
        self._heap: list[tuple[float, int, Pool]] = []
        self._now = 0.0

    def set(self, pools: Sequence[Pool]) -> None:
        known = {pool for _, _, pool in self._heap}
        self.pools = pools
        for pool in pools:
            if pool not in known:
                pool.state.turn = self._now + 0.5 / pool.state.share
        self._heap = [(pool.state.turn, index, pool) for index, pool in enumerate(pools)]
        heapify(self._heap)

    def pick(self, key: bytes | None = None) -> Pool:
        self._now, index, pool = self._heap[0]
        state = pool.state
        state.turn = turn = self._now + 1.0 / state.share
        heapreplace(self._heap, (turn, index, pool))
        return pool


class LeastLoaded:
    """Of two that chance names by weight, the one with fewer requests in flight for its weight."""

    def __init__(self, chance: Chance) -> None:
        self.pools: Sequence[Pool] = ()
        self._chance = chance
        self._ends: list[float] = []  # where each one's part of the whole ends

    def set(self, pools: Sequence[Pool]) -> None:
        self.pools = pools
        self._ends = list(accumulate(pool.state.share for pool in pools))

    def pick(self, key: bytes | None = None) -> Pool:
        pools, ends = self.pools, self._ends
        last = len(pools) - 1
        if not last:
            return pools[0]
        index = min(bisect_right(ends, self._chance() * ends[-1]), last)
        one = pools[index]
        start, share = ends[index] - one.state.share, one.state.share
        at = self._chance() * (ends[-1] - share)
        other = pools[min(bisect_right(ends, at if at < start else at + share), last)]
        return other if other.active * share < one.active * other.state.share else one


class Ring:
    """Consistent hashing (Karger and others, 1997): a target that leaves takes only its own keys along. With `bound`
    one that has more than so many times its share in flight passes a key on (Mirrokni and others, 2016)."""

    def __init__(self, bound: float, unit: int) -> None:
        self.pools: Sequence[Pool] = ()
        self._bound = bound
        self._unit = unit  # a weight that gets POINTS
        self._keyless = InTurn()
        self._points: dict[Pool, list[int]] = {}
        self._hashes: list[int] = []
        self._owners: list[Pool] = []
        self._whole = 1.0

    def set(self, pools: Sequence[Pool]) -> None:
        self.pools = pools
        self._keyless.set(pools)
        self._whole = sum(pool.state.weight for pool in pools)
        points = {pool: self._points.get(pool) or _points(pool, self._unit) for pool in pools}
        self._points |= points
        ring = sorted((hash_, index) for index, pool in enumerate(pools) for hash_ in points[pool])
        self._hashes = [hash_ for hash_, _ in ring]
        self._owners = [pools[index] for _, index in ring]

    def forget(self, pool: Pool) -> None:
        self._points.pop(pool, None)

    def pick(self, key: bytes | None = None) -> Pool:
        if key is None:
            return self._keyless.pick()
        owners = self._owners
        at = bisect_left(self._hashes, _hash(key)) % len(owners)
        pool = owners[at]
        return pool if not self._bound or self._has_room(pool) else self._next(at)

    def _has_room(self, pool: Pool) -> bool:
        total = sum(each.active for each in self.pools) + 1
        return pool.active < ceil(self._bound * total * pool.state.weight / self._whole)

    def _next(self, at: int) -> Pool:
        """The next one on the ring that has room. One has: the bounds add up to more than is in flight."""
        owners, full = self._owners, {self._owners[at]}
        for step in range(1, len(owners)):
            pool = owners[(at + step) % len(owners)]
            if pool in full:
                continue
            if len(full) == len(self.pools) - 1 or self._has_room(pool):
                return pool
            full.add(pool)
        return owners[at]


def _points(pool: Pool, unit: int) -> list[int]:
    count = max(1, round(POINTS * pool.whole_weight / unit))
    return [_hash(b"%b#%d" % (str(pool).encode(), index)) for index in range(count)]


def _hash(key: bytes) -> int:
    """The same in every worker and after every start."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def unit(weights: Sequence[int]) -> int:
    """The weight that gets POINTS, such that the ring stays bounded."""
    smallest = gcd(*weights)
    return max(smallest, ceil(POINTS * sum(weights) / MOST_POINTS))
