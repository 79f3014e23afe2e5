"""The connections to one address of a target: the one used last first, a bound on their number, a bounded queue."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import OrderedDict
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import BadGateway, GatewayTimeout, Problem, Unavailable
from gateway.core.headers import finder
from gateway.core.locations import Location
from gateway.relay.connecting import Connector
from gateway.relay.connection import Connection
from gateway.relay.names import Unresolved
from gateway.relay.network import Network
from gateway.relay.settings import Settings
from gateway.relay.state import State

log: Final = logging.getLogger("gateway.relay")

QUIET: Final = 10.0  # seconds between two warnings about one target
NEVER: Final = float("inf")
MARGIN: Final = 1.0  # seconds before an upstream closes an unused connection, in which it is not used any more
_keep_alive: Final = finder(b"keep-alive")


class Asker(Protocol):
    """Who wants a connection: hears once, `connected` or `unreachable`, unless it is withdrawn."""

    def connected(self, connection: Connection) -> None: ...

    def unreachable(self, problem: Problem) -> None: ...


class Pool:
    """Connections to one address (`address` None: every address of the name is tried). All on one event loop.

    Deadlines of connections mostly lie no earlier than the shorter of `timeout` and `idle_timeout` after they are set,
    and move `look` where they do, so that the sweep looks at connections in use only when one of them may be late."""

    def __init__(
        self,
        target: Location,
        settings: Settings,
        network: Network,
        tls: ssl.SSLContext | None = None,
        address: str | None = None,
        weight: int = 1,
        siblings: int = 1,
        quiet: bool = False,
    ) -> None:
        self.target = target
        self.address = address
        self.label = f"{target} ({address})" if address and target.address is None else str(target)
        self.settings = settings
        self.whole_weight = weight  # of all addresses of the target
        self.state = State(weight / siblings)
        self.active = 0  # requests, where they are counted
        self.deadlines = network.deadlines
        self._connector = Connector(target, address, settings, network, tls if target.tls else None)
        self._connector.share(siblings)
        self._idle: dict[Connection, float] = {}  # until when it may be used; the one released last is at the end
        self._busy: set[Connection] = set()
        self._waiting: OrderedDict[Asker, float] = OrderedDict()  # until when
        self._connecting: set[asyncio.Task[None]] = set()
        self.look = 0.0  # seconds: when a connection in use may be late
        self.soonest = min(settings.timeout, settings.idle_timeout)
        self._wears = bool(settings.max_age or settings.max_requests)
        self._worn: dict[Connection, tuple[float, float]] = {}  # age's end, requests left
        self._hints: dict[Connection, float] = {}  # what the upstream said of its own patience
        self._swept = self._retired = False
        self._warned = float("inf" if quiet else "-inf")

    def __str__(self) -> str:
        return self.label

    @property
    def now(self) -> float:
        """Coarse monotonic seconds."""
        return self.deadlines.now

    @property
    def clock(self) -> Clock:
        return self.deadlines.clock

    @property
    def size(self) -> int:
        """Open connections."""
        return len(self._busy) + len(self._idle)

    @property
    def in_use(self) -> bool:
        return bool(self._busy or self._waiting or self._connecting)

    @property
    def is_full(self) -> bool:
        """Whoever asks now is refused at once."""
        return not self._idle and self._is_crowded

    @property
    def _is_crowded(self) -> bool:
        settings = self.settings
        return len(self._waiting) + self.size - settings.max_connections >= settings.queue

    def acquire(self, asker: Asker, fresh: bool = False) -> None:
        """Gives the asker a connection, now or later. `fresh`: not one that may have gone stale."""
        if not self._swept:
            self._swept = True
            self.deadlines.add(self)
            self.look = self.deadlines.now + self.soonest
        idle = self._idle
        if idle:
            if fresh:
                self._make_room()
            else:
                connection, until = idle.popitem()
                if until > self.deadlines.now:
                    self._busy.add(connection)
                    asker.connected(connection)
                    return
                connection.drop()
                self._drop_idle()  # they were used longer ago
        self._wait(asker)

    def _make_room(self) -> None:
        if self.size >= self.settings.max_connections:
            next(iter(self._idle)).drop()

    def _wait(self, asker: Asker) -> None:
        """In the queue is whoever has no connection of its own to come."""
        if self._is_crowded:
            asker.unreachable(_busy("Too many requests wait for the upstream."))
            return
        self._waiting[asker] = self.now + self.settings.queue_timeout
        self._connect_more()

    def withdraw(self, asker: Asker) -> None:
        """The asker no longer waits."""
        self._waiting.pop(asker, None)

    def release(self, connection: Connection) -> None:
        """A connection that can serve another request."""
        if self._wears and self._is_worn(connection):
            connection.drop()
        else:
            self._give(connection)

    def _give(self, connection: Connection) -> None:
        if self._waiting:
            asker, _ = self._waiting.popitem(last=False)
            self._busy.add(connection)
            asker.connected(connection)
        elif self._retired:
            connection.drop()
        else:
            self._busy.discard(connection)
            until = self.deadlines.now + self.settings.keep
            self._idle[connection] = self._bounded(connection, until) if self._hints or self._wears else until

    def _bounded(self, connection: Connection, until: float) -> float:
        """No longer than the upstream keeps it, and no older than it may become."""
        hint = self.now + self._hints.get(connection, NEVER)
        return min(until, hint, self._worn.get(connection, (NEVER, 0))[0])

    def _is_worn(self, connection: Connection) -> bool:
        end, left = self._worn[connection]
        self._worn[connection] = end, left - 1
        return left <= 1 or self.now >= end

    def learn(self, connection: Connection, block: bytes) -> None:
        """The header block of a connection's first response: `Keep-Alive: timeout=5` bounds how long it may stay
        unused (RFC 2068 section 19.7.1), so that a request does not meet the upstream's closing."""
        for value in _keep_alive(block):
            for part in value.lower().split(b","):
                name, _, text = part.strip().partition(b"=")
                if name == b"timeout" and text.isdigit() and len(text) < 9:
                    self._hints[connection] = max(0.0, int(text) - MARGIN)

    def forget(self, connection: Connection) -> None:
        """A connection that ended."""
        if self._idle.pop(connection, None) is None:
            self._busy.discard(connection)
        self._hints.pop(connection, None)
        self._worn.pop(connection, None)
        if self._waiting:
            self._connect_more()

    def distrust(self) -> None:
        """One connection was stale, or the target fails: those unused for longer are no better."""
        self._drop_idle()

    def _drop_idle(self) -> None:
        for connection in tuple(self._idle):
            connection.drop()

    # connecting

    def _connect_more(self) -> None:
        opening = len(self._connecting)
        if opening < len(self._waiting) and opening + self.size < self.settings.max_connections:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._connect_more()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._connector.timeout):
                connection = await self._connector.open(lambda: Connection(self))
        except TimeoutError as error:
            self._warn(error)
            self._refuse(GatewayTimeout("The upstream took too long to accept a connection."))
        except Unresolved:
            self._refuse(BadGateway("The upstream's name cannot be resolved."))
        except (OSError, ssl.SSLError, ValueError) as error:
            self._warn(error)
            self._refuse(BadGateway("The upstream cannot be reached."))
        else:
            self._opened(connection)

    def _opened(self, connection: Connection) -> None:
        if connection.closed:  # between the handshake and now
            self._refuse(BadGateway("The upstream cannot be reached."))
            return
        self.state.missed = 0
        if self._wears:
            age, requests = self.settings.max_age, self.settings.max_requests
            self._worn[connection] = self.now + (age or NEVER), requests or NEVER
        self._give(connection)

    def _warn(self, error: Exception) -> None:
        """For the log alone: a client must not learn where the upstream is."""
        now = self.clock.monotonic()
        if now - self._warned >= QUIET:
            self._warned = now
            reason = str(error) or type(error).__name__
            log.warning("the upstream %s cannot be connected: %s", self, reason)

    def _refuse(self, problem: Problem) -> None:
        if self._waiting:
            asker, _ = self._waiting.popitem(last=False)
            asker.unreachable(problem)

    # the sweep

    def check(self, now: float) -> None:
        """Called by the sweep. What connects ends by its own time."""
        if now > self.look:
            self._check_busy(now)
        while self._idle:
            connection, until = next(iter(self._idle.items()))
            if now <= until:
                break
            connection.drop()
        while len(self._waiting) > len(self._connecting) and now > next(iter(self._waiting.values())):
            self._refuse(_busy("No connection to the upstream came free."))
        if not self._idle and not self.in_use:
            self._swept = False
            self.deadlines.discard(self)

    def _check_busy(self, now: float) -> None:
        soonest = now + self.soonest
        for connection in tuple(self._busy):
            deadline = connection.deadline
            if now > deadline:
                connection.check(now)
                soonest = now  # it may have been given more time
            elif deadline < soonest:
                soonest = deadline
        self.look = soonest

    def share_with(self, siblings: int) -> None:
        """The target has so many addresses now."""
        self.state.reweigh(self.whole_weight / siblings)
        self._connector.share(siblings)

    # the end

    def retire(self) -> None:
        """No new requests come: connections end as they come free, those unused at once."""
        self._retired = True
        self._drop_idle()

    async def close(self) -> None:
        """Unused connections end now, the others after their response; who waits is refused."""
        self.retire()
        waiting, self._waiting = self._waiting, OrderedDict()
        for task in tuple(self._connecting):
            task.cancel()
        for asker in waiting:
            asker.unreachable(Unavailable("The upstream was replaced."))


def _busy(text: str) -> Unavailable:
    return Unavailable(text, headers=((b"Retry-After", b"1"),))
