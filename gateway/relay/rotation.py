"""The targets of one upstream: which of them are usable, which one is next, and what their answers say of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.errors import Problem, Unavailable
from gateway.core.locations import Location
from gateway.core.override import Override
from gateway.relay.balance import Balance, InTurn, InWeightedTurn, LeastLoaded, Ring, unit
from gateway.relay.circuit import CLOSED, Circuit
from gateway.relay.names import Addresses
from gateway.relay.network import Network
from gateway.relay.settings import IN_TURN, Balancing, Settings
from gateway.relay.state import State
from gateway.relay.target import Pool

SAVED: Final = 10.0  # retries
SHARE: Final = 0.1  # of the requests
OVERRIDES: Final = 256  # that are remembered


class Budget:
    """Retries that all requests to an upstream share: one for ten requests, and a few saved up: ten, or what a second
    of its traffic earns, so that those in flight at a target that dies are not lost (CASES A61)."""

    __slots__ = ("_at", "_clock", "_most", "_requests", "_seen", "_tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens = 3.0
        self._most = SAVED
        self._requests = self._seen = 0
        self._at = clock.monotonic()

    def earn(self) -> None:
        """A request begins."""
        self._requests += 1

    def spend(self) -> bool:
        """Whether one may be sent again."""
        self._gather()
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _gather(self) -> None:
        """What was earned since the last time."""
        requests, self._requests = self._requests, 0
        self._seen += requests
        now = self._clock.monotonic()
        if now - self._at >= 1.0:
            self._most = max(SAVED, SHARE * self._seen / (now - self._at))
            self._at, self._seen = now, 0
        self._tokens = min(self._most, self._tokens + SHARE * requests)


class Rotation:
    """`pools` are all there are, one for each address; the balance picks from those that are usable. Without health,
    ejection, circuit and counting (`watched` False) a pick is all that a request costs here."""

    def __init__(
        self,
        targets: Sequence[tuple[Location, int]],
        settings: Settings,
        network: Network,
        balancing: Balancing = IN_TURN,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.settings = settings
        self.network = network
        self.balancing = balancing
        self.budget = Budget(network.clock)
        self.active = 0  # requests, where they are counted
        self.changed: Callable[[], None] = _nobody  # hears when `pools` changed
        self.watched = balancing.watches or settings.watches
        self.monotonic = network.clock.monotonic
        self._tls = tls
        self._targets = targets
        self.whole = _circuit(balancing, whole_upstream=True)
        self._balance = _balance(balancing, targets, network)
        self._groups = [[self._pool(location, weight, None, 1)] for location, weight in targets]
        self.take: Callable[[], Pool] = self._take if self.watched else self._balance.pick
        self._overridden: dict[int, tuple[Override, Settings]] = {}
        self._leaving: list[Pool] = []
        self._closed = False
        self._ends = [
            network.names.watch(location.host, self._following(index), settings.dns_ttl)
            for index, (location, _) in enumerate(targets)
            if _is_name(location)
        ]
        self.refresh()

    def _pool(self, location: Location, weight: int, address: str | None, siblings: int) -> Pool:
        literal = None if location.address is None else str(location.address)
        pool = Pool(location, self.settings, self.network, self._tls, address or literal, weight, siblings)
        pool.state.circuit = _circuit(self.balancing, whole_upstream=False)
        return pool

    def overridden(self, by: Override) -> Settings:
        """The settings of an exchange that has its own. Steps leave the same few overrides again and again."""
        found = self._overridden.get(id(by))
        if found is None:
            if len(self._overridden) >= OVERRIDES:
                self._overridden.clear()
            found = self._overridden[id(by)] = by, self.settings.overridden(by)
        return found[1]

    # names

    def _following(self, index: int) -> Callable[[Addresses], None]:
        return lambda addresses: self._moved(index, addresses)

    def _moved(self, index: int, addresses: Addresses) -> None:
        """A name has these addresses now. Those that stay keep their connections and what is known of them."""
        location, weight = self._targets[index]
        known = {pool.address: pool for pool in self._groups[index]}
        first = None in known
        group = []
        for address in addresses:
            pool = known.pop(address, None)
            if pool is None:
                pool = self._pool(location, weight, address, len(addresses))
                if not first:
                    pool.state.come_back(self.now, self.balancing.slow_start)
            pool.share_with(len(addresses))
            group.append(pool)
        self._groups[index] = group
        for gone in known.values():
            self._leave(gone)
        self.refresh()
        self.changed()

    def _leave(self, pool: Pool) -> None:
        pool.retire()
        self._leaving = [each for each in self._leaving if each.in_use]
        self._leaving.append(pool)
        if isinstance(self._balance, Ring):
            self._balance.forget(pool)

    @property
    def now(self) -> float:
        return self.monotonic()

    # which are usable

    def refresh(self) -> None:
        """After something changed. With nothing usable, everything that no circuit holds back is used."""
        now, slow_start = self.now, self.balancing.slow_start
        self.pools = tuple(pool for group in self._groups for pool in group)
        for pool in self.pools:
            pool.state.tick(now, slow_start)
        admitted = [pool for pool in self.pools if pool.state.circuit is None or pool.state.circuit.admits(now)]
        chosen = [pool for pool in admitted if pool.state.usable] or admitted
        if chosen != self._balance.pools or self.balancing.least_loaded:  # whose parts change with slow start
            self._balance.set(chosen)
        if not self._closed and any(pool.state.pending for pool in self.pools):
            self.network.deadlines.add(self)
        else:
            self.network.deadlines.discard(self)

    def check(self, _now: float) -> None:
        """Called by the sweep, while something changes with time."""
        self.refresh()

    # picks

    def _take(self) -> Pool:
        """For what is not watched itself. Raises Unavailable."""
        pool = self.choose(None)
        if pool is None:
            raise self.refusal()
        return pool

    def choose(self, key: bytes | None) -> Pool | None:
        """A pick where circuits may forbid all: None."""
        return self._balance.pick(key) if self._admits() and self._balance.pools else None

    def _admits(self) -> bool:
        """No circuit of the whole upstream holds requests back."""
        return self.whole is None or self.whole.admits(self.now)

    def enter(self, pool: Pool) -> int:
        """A request goes to this target. The token comes back with `judge`."""
        pool.state.attempts += 1
        circuit = self.whole or pool.state.circuit
        if circuit is None:
            return 0
        token = circuit.enter()
        if circuit.state != CLOSED and circuit is not self.whole:
            self.refresh()  # half-open: this one, and no other
        return token

    def refusal(self) -> Problem:
        """Why nothing could be chosen."""
        circuits = [self.whole] if self.whole is not None else [pool.state.circuit for pool in self.pools]
        now = self.now
        wait = min((each.retry_after(now) for each in circuits if each is not None), default=1)
        text = "The upstream has failed too often and is left alone for a while."
        return Unavailable(text, headers=((b"Retry-After", b"%d" % wait),))

    def another(self, tried: Sequence[Pool], beside: bool) -> Pool | None:
        """Where a request may go of which nothing was sent: another address of the name (`beside`), then another
        target, not to one that is full. That is no second attempt; only with no usable target left it costs the
        budget."""
        if self._closed or not self._admits():
            return None
        if beside and (found := self._beside(tried)) is not None:
            return found
        left = [pool for pool in self._balance.pools if pool not in tried and not pool.is_full]
        usable = [pool for pool in left if pool.state.usable]
        return self._any(usable or left) if usable or (left and self.budget.spend()) else None

    def _beside(self, tried: Sequence[Pool]) -> Pool | None:
        """Another address of the same name: a usable one, or else one that was left out."""
        target = tried[-1].target
        beside = [pool for pool in self.pools if pool.target is target and pool not in tried and pool.state.admits]
        left = [pool for pool in beside if not pool.is_full]
        usable = [pool for pool in left if pool.state.usable]
        return self._any(usable or left) if left else None

    def again(self, last: Pool) -> Pool | None:
        """Where a request may go that failed at `last`, which is the place only when there is no other."""
        if not self.budget.spend() or not self._admits():
            return None
        left = [pool for pool in self._balance.pools if pool is not last]
        return self._any(left or self._balance.pools) if self._balance.pools else None

    def _any(self, pools: Sequence[Pool]) -> Pool:
        return pools[int(self.network.chance() * len(pools))]

    def any_pool(self) -> Pool:
        """Whatever is known of them."""
        return self._any(self.pools)

    # what is learnt

    def missed(self, pool: Pool) -> None:
        """It could not be connected: the others are used for a while."""
        if len(self.pools) > 1:
            pool.state.avoid(self.now)
            self.refresh()

    def judge(self, pool: Pool, token: int, failed: bool | None) -> None:
        """The end of an attempt; None: it says nothing about the target."""
        state = pool.state
        if failed:
            state.failed += 1
            state.failures += 1
        elif failed is not None:
            state.failures = 0
        circuit = self.whole or state.circuit
        if circuit is not None:
            now = self.now
            if circuit.ended(token, failed, now):
                self._turned(pool, circuit, failed, now)
        ejection = self.balancing.ejection
        if failed and ejection is not None and state.failures >= ejection.failures and self._may_eject(pool):
            state.eject(ejection, self.now)
            self.refresh()

    def _turned(self, pool: Pool, circuit: Circuit, failed: bool | None, now: float) -> None:
        if failed:
            pool.distrust()
        elif failed is not None and circuit is pool.state.circuit:
            pool.state.come_back(now, self.balancing.slow_start)
        self.refresh()

    def _may_eject(self, pool: Pool) -> bool:
        ejection, count = self.balancing.ejection, len(self.pools)
        if ejection is None or count < 2 or pool.state.ejected:
            return False
        return 1 + sum(each.state.ejected for each in self.pools) <= max(1, int(ejection.max_share * count))

    def checked(self, pool: Pool, well: bool) -> None:
        """The result of an active check."""
        health = self.balancing.health
        if health is not None and pool.state.checked(well, health):
            if well:
                pool.state.come_back(self.now, self.balancing.slow_start)
            self.refresh()

    # the end

    async def close(self) -> None:
        self._closed = True
        for end in self._ends:
            end()
        self.network.deadlines.discard(self)
        for pool in (*self.pools, *self._leaving):
            await pool.close()


def _nobody() -> None:
    """Nobody wants to hear."""


def _circuit(balancing: Balancing, whole_upstream: bool) -> Circuit | None:
    breaking = balancing.breaking
    return Circuit(breaking) if breaking is not None and breaking.whole_upstream is whole_upstream else None


def _balance(balancing: Balancing, targets: Sequence[tuple[Location, int]], network: Network) -> Balance:
    weights = [weight for _, weight in targets]
    if balancing.hashing is not None:
        return Ring(balancing.hashing.bound, unit(weights))
    if balancing.least_loaded:
        return LeastLoaded(network.chance)
    names = any(_is_name(location) for location, _ in targets)  # whose addresses share one weight
    equal = len(set(weights)) == 1 and not balancing.slow_start and not (names and len(targets) > 1)
    return InTurn() if equal else InWeightedTurn()


def _is_name(location: Location) -> bool:
    return not location.socket and location.address is None


COUNTED: Final = ("attempts", "failed", "ejections", "opened", "checks", "failed_checks", "buckets", "seconds")
"""What only grows, of all that `states` tells."""


def states(rotation: Rotation) -> list[dict[str, Any]]:
    """What is known of each target, JSON-ready."""
    return [told for _, told in identified(rotation)]


def identified(rotation: Rotation) -> list[tuple[State, dict[str, Any]]]:
    """The same, each with what it is known by as long as it lives."""
    return [(pool.state, _state(pool, rotation.whole or pool.state.circuit)) for pool in rotation.pools]


def _state(pool: Pool, circuit: Circuit | None) -> dict[str, Any]:
    state = pool.state
    return {
        "target": str(pool),
        "healthy": state.healthy,
        "ejected": state.ejected,
        "circuit": 0 if circuit is None else circuit.state,
        "attempts": state.attempts,
        "failed": state.failed,
        "ejections": state.ejections,
        "opened": 0 if circuit is None else circuit.opened,
        "checks": state.checks,
        "failed_checks": state.failed_checks,
        "buckets": list(state.buckets),
        "seconds": state.seconds,
        "active": pool.active,
        "connections": pool.size,
    }
