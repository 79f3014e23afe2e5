"""Sending one exchange by settings of its own. What is not overridden is as the upstream's settings say; the
connection's own patience does not count where this one has its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.errors import GatewayTimeout, Problem
from gateway.core.exchange import Exchange
from gateway.core.framing_reply import ReplyHead
from gateway.core.headers import finder
from gateway.core.override import Override
from gateway.relay.connection import Connection
from gateway.relay.rotation import Rotation
from gateway.relay.target import Pool
from gateway.relay.watched import Watched, WatchedFetching, WatchedForwarding

PATIENT: Final = 1e9  # seconds: the connection leaves it to this


class Overridden(Watched):
    """`_due`: when this attempt is late; 0: it cannot be. `_heard`: its response's head has come. `_keyed`: the request
    carries what its backend knows it by."""

    __slots__ = ()

    _override: Override
    _due: float
    _heard: bool
    _keyed: bool

    def _take(self, override: Override, keyed: bool) -> None:
        self._override = override
        self._keyed = keyed
        self._due = 0.0
        self._heard = False
        if override.retries is not None:
            self._retries = override.retries

    # what is overridden of others

    def _total(self) -> float:
        own = self._override.total_timeout
        return super()._total() if own is None else own

    def _retry_on(self) -> frozenset[int]:
        own = self._override.retry_on
        return super()._retry_on() if own is None else own

    def idempotent(self) -> bool:
        return self._keyed or super().idempotent()

    def _may_repeat_answered(self) -> bool:
        return self._keyed or super()._may_repeat_answered()

    def _choose(self) -> Pool | None:
        found = super()._choose()
        if found is None and self._override.past_circuits and self._rotation.pools:
            return self._rotation.any_pool()
        return found

    def _enter(self, pool: Pool) -> int:
        return 0 if self._override.past_circuits else super()._enter(pool)

    def _judge(self, failed: bool | None) -> None:
        if self._override.past_circuits:
            self._judged = True
        else:
            super()._judge(failed)

    # time

    def _wait_until(self, seconds: float | None) -> None:
        """From now on; None: as long as the connection waits."""
        self._due = 0.0
        if seconds is not None:
            deadlines = self._rotation.network.deadlines
            deadlines.add(self)
            self._due = deadlines.clock.monotonic() + seconds

    def quiet(self) -> float:
        extra = super().quiet()
        own = self._override.idle_timeout if self._heard else self._override.timeout
        return max(extra, PATIENT) if own is not None else extra

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        self._heard = True
        self._due = 0.0
        super().replied(head, has_body)
        self._go_on()

    def data(self, data: bytes) -> None:
        super().data(data)  # type: ignore[safe-super]  # the class beside this one has it
        self._go_on()

    def _go_on(self) -> None:
        """The response goes on. An event stream may be silent for as long as it is allowed to."""
        if self._connection is not None and not super().quiet():
            self._wait_until(self._override.idle_timeout)

    def check(self, now: float) -> None:
        if self._due and now > self._due:
            self._due = 0.0
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.drop()
                self.failed(GatewayTimeout("The upstream took too long to answer."), False)
        else:
            super().check(now)

    def failed(self, problem: Problem, silent: bool) -> None:
        self._due, self._heard = 0.0, False
        super().failed(problem, silent)

    def _finish(self) -> None:
        super()._finish()
        self._due = 0.0
        self._rotation.network.deadlines.discard(self)


class OverriddenForwarding(Overridden, WatchedForwarding):
    """A relay's. Its time begins when the request has left."""

    __slots__ = ()

    def __init__(
        self, exchange: Exchange, rotation: Rotation, target: bytes, key: bytes | None, override: Override
    ) -> None:
        WatchedForwarding.__init__(self, exchange, rotation, target, key)
        self._take(override, _carries(exchange, override))

    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        super().transmit(connection, target_authority, prefix)
        if self._done_request and not self._heard:
            self._wait_until(self._override.timeout)

    def body_end(self) -> None:
        super().body_end()
        if not self._heard and self._connection is not None:
            self._wait_until(self._override.timeout)

    def pause(self) -> None:
        self._due = 0.0  # a client that does not read is not the upstream's fault
        super().pause()

    def resume(self) -> None:
        super().resume()
        if self._heard:
            self._go_on()


class OverriddenFetching(Overridden, WatchedFetching):
    """A typed call's."""

    __slots__ = ()

    def __init__(
        self,
        rotation: Rotation,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        limit: int,
        key: bytes | None,
        override: Override,
    ) -> None:
        WatchedFetching.__init__(self, rotation, method, target, fields, body, limit, key)
        self._take(override, any(name.lower() == override.keyed for name, _ in fields))

    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        super().transmit(connection, target_authority, prefix)
        self._wait_until(self._override.timeout)


def _carries(exchange: Exchange, override: Override) -> bool:
    """What the upstream gets has the field."""
    name = override.keyed
    if name is None or name in exchange.chain.conceals:
        return False
    if exchange.edited is not None and name in exchange.edited.drop:
        return False
    return bool(finder(name)(exchange.head.block))
