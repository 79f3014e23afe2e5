"""Sending where answers are watched: by circuits, ejection, loads, retries on statuses, or a time for the whole
exchange. An upstream that has none of these uses the plain classes, and pays for none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.errors import GatewayTimeout, Problem, RequestTimeout
from gateway.core.exchange import Exchange
from gateway.core.framing_reply import ReplyHead
from gateway.relay.connection import Connection
from gateway.relay.fetch import Fetching
from gateway.relay.forward import Forwarding
from gateway.relay.rotation import Rotation
from gateway.relay.sending import Sending
from gateway.relay.target import Pool
from gateway.relay.upgrading import Upgrading
from gateway.relay.websocket import Handshake

SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))  # RFC 9110 section 9.2.1, as far as they are relayed


class Watched(Sending):
    """`_held`: the target at which the attempt is counted; `_judged`: what it says of the target is known; `_token`:
    its circuit's; `_key`: for the ring; `_until`: when the exchange must be over."""

    __slots__ = ()

    _key: bytes | None

    def go(self) -> None:
        rotation = self._rotation
        rotation.budget.earn()
        self._held: Pool | None = None
        self._judged = True
        self._until = 0.0
        if total := self.settings.total_timeout:
            rotation.network.deadlines.add(self)
            self._until = rotation.network.deadlines.now + total
        pool = self._choose()
        if pool is None:
            self.give_up(rotation.refusal())
            return
        self._use(pool)
        self._ask(False)

    # what an exchange may have of its own: see `overridden`

    def _choose(self) -> Pool | None:
        return self._rotation.choose(self._key)

    def _enter(self, pool: Pool) -> int:
        return self._rotation.enter(pool)

    def _may_repeat_answered(self) -> bool:
        """Also when a response came."""
        return self._method in SAFE

    # attempts

    def _use(self, pool: Pool) -> None:
        if self._held is not None:
            self._let_go()
        self._pool = self._held = pool
        self._token = self._enter(pool)
        self._judged = False
        pool.active += 1
        self._rotation.active += 1

    def _missed(self, _problem: Problem) -> None:
        """It is counted where it is judged."""

    def _judge(self, failed: bool | None) -> None:
        """Once for an attempt."""
        if not self._judged and self._held is not None:
            self._judged = True
            self._rotation.judge(self._held, self._token, failed)

    def _let_go(self) -> None:
        """The attempt is over."""
        pool = self._held
        if pool is not None:
            if not self._judged:
                self._judge(None)
            self._held = None
            pool.active -= 1
            self._rotation.active -= 1

    def _finish(self) -> None:
        """No attempt follows."""
        self._let_go()
        if self._until:
            self._until = 0.0
            self._rotation.network.deadlines.discard(self)

    # what becomes of it

    def unreachable(self, problem: Problem) -> None:
        self._judge(None if problem.status == 503 else True)
        self._let_go()
        super().unreachable(problem)

    def failed(self, problem: Problem, silent: bool) -> None:
        stale = silent and self._stale  # a race with the upstream's own patience: no fault of it
        blameless = stale or self._client_is_late()
        if self._judged and not blameless:  # a response that began well and broke
            self._judged = False
        self._judge(None if blameless else True)
        self._let_go()
        super().failed(problem, silent)

    def whole(self, head: ReplyHead, body: bytes) -> None:
        if self._answered(head.status):
            self._connection = None
            if self._once_more(head.status):
                return
        self._finish()
        super().whole(head, body)  # type: ignore[safe-super]  # the class beside this one has it

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        if self._answered(head.status):
            connection, self._connection = self._connection, None  # as who withdraws now has no connection
            if self._once_more(head.status):
                if connection is not None:
                    connection.drop()
                return
            self._connection = connection
        super().replied(head, has_body)  # type: ignore[safe-super]

    def _answered(self, status: int) -> bool:
        """Judges the target by the status; True when that was not done before."""
        first = not self._judged
        self._judge(status in self._rotation.balancing.fail_on)
        return first

    def _once_more(self, status: int) -> bool:
        if status not in self.settings.retry_on or not self._may_repeat_answered() or not self.replayable():
            return False
        if self._trace is not None:
            self._end_span(None, status)
        return self._again()

    def ended(self) -> None:
        self._finish()
        super().ended()  # type: ignore[safe-super]

    def withdraw(self) -> None:
        self._finish()
        super().withdraw()

    def check(self, now: float) -> None:
        """Called by the sweep: the whole exchange took too long."""
        if not self._until or now <= self._until:
            return
        late = self._too_late()
        if not self._client_is_late():  # nor is an answer that streams on a failure: its head was judged
            self._judge(True)
        self.withdraw()
        self.give_up(late)

    def _client_is_late(self) -> bool:
        """The request's body has not come whole, so that an upstream may lose its patience with it: no client may
        open a circuit for all others by that."""
        return False

    def _too_late(self) -> Problem:
        if self._client_is_late():
            return RequestTimeout("The request's body took too long to arrive.")
        return GatewayTimeout("The exchange with the upstream took too long.")


class WatchedForwarding(Watched, Forwarding):
    """A relay's. A client that is itself too slow with its body is told so."""

    __slots__ = ()

    def __init__(self, exchange: Exchange, rotation: Rotation, target: bytes, key: bytes | None) -> None:
        super().__init__(exchange, rotation, target)
        self._key = key

    def go(self) -> None:
        Watched.go(self)
        if self._asking:
            self._exchange.on_close(self._closed)

    def _client_is_late(self) -> bool:
        return self._piped and not self._done_request

    def give_up(self, problem: Problem) -> None:
        self._finish()
        super().give_up(problem)


class WatchedUpgrading(WatchedForwarding, Upgrading):
    """A WebSocket's. The tunnel counts at its target while it lasts, and has no time for the whole."""

    __slots__ = ()

    def __init__(
        self, exchange: Exchange, rotation: Rotation, target: bytes, key: bytes | None, handshake: Handshake
    ) -> None:
        Upgrading.__init__(self, exchange, rotation, target, handshake)
        self._key = key

    def switched(self, connection: Connection, head: ReplyHead, rest: bytes) -> None:
        super().switched(connection, head, rest)
        self._answered(head.status)
        if self._until:
            self._until = 0.0
            self._rotation.network.deadlines.discard(self)
        if self._exchange.done:
            self._finish()
        else:
            self._exchange.on_close(lambda _exchange: self._finish())


class WatchedFetching(Watched, Fetching):
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
    ) -> None:
        super().__init__(rotation, method, target, fields, body, limit)
        self._key = key

    def give_up(self, problem: Problem) -> None:
        self._finish()
        super().give_up(problem)
