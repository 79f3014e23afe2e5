"""One request to an upstream, with the attempts that it takes.

A request is sent again only when that cannot do its work twice: nothing of it was sent, or its method is idempotent
(RFC 9110 section 9.2.2), no byte of a response came, and its body is still at hand. A pooled connection that went
stale unseen costs one further attempt; others are bounded by `retries` and by a budget over all requests (CASES A61).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from gateway.core.errors import Problem
from gateway.core.framing_reply import ReplyHead
from gateway.relay.connection import Connection
from gateway.relay.target import Pool

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Budget:
    """Retries that all requests to an upstream share: one for ten requests, and a few saved up."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens = 3.0

    def earn(self) -> None:
        self._tokens = min(10.0, self._tokens + 0.1)

    def spend(self) -> bool:
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Rotation:
    """The pools of an upstream's targets, taken in turn."""

    __slots__ = ("_next", "budget", "pools")

    def __init__(self, pools: tuple[Pool, ...]) -> None:
        self.pools = pools
        self.budget = Budget()
        self._next = 0

    def take(self) -> Pool:
        self._next = (self._next + 1) % len(self.pools)
        return self.pools[self._next]


class Sending(ABC):
    """The attempts of one request: an asker of pools and a receiver of connections."""

    __slots__ = ("_asking", "_connection", "_fresh", "_method", "_pool", "_retries", "_rotation", "_stale")

    def __init__(self, rotation: Rotation, method: bytes) -> None:
        self._rotation = rotation
        self._method = method
        self._connection: Connection | None = None
        self._pool = rotation.take()
        self._retries = self._pool.settings.retries
        self._asking = self._stale = self._fresh = False

    def go(self) -> None:
        """The first attempt."""
        self._rotation.budget.earn()
        self._ask()

    def _ask(self, fresh: bool = False) -> None:
        self._asking = True
        self._pool.acquire(self, fresh)

    def withdraw(self) -> None:
        """Nobody wants the response any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()
        elif self._asking:
            self._asking = False
            self._pool.withdraw(self)

    @abstractmethod
    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        """Sends the request, or begins to."""

    @abstractmethod
    def replayable(self) -> bool:
        """The request's body is still at hand."""

    @abstractmethod
    def give_up(self, problem: Problem) -> None:
        """The last attempt failed."""

    def connected(self, connection: Connection) -> None:
        self._asking = False
        self._connection = connection
        self._stale = connection.reused
        self.transmit(connection, self._pool.target.authority, self._pool.target.prefix)

    def unreachable(self, problem: Problem) -> None:
        """Nothing was sent: another target, or another try, can do no harm."""
        self._asking = False
        if problem.status == 503 or not self._again():
            self.give_up(problem)

    def failed(self, problem: Problem, silent: bool) -> None:
        self._connection = None
        if not silent or self._method not in IDEMPOTENT or not self.replayable():
            self.give_up(problem)
        elif self._stale and not self._fresh:
            self._fresh = True
            self._ask(fresh=True)
        elif not self._again():
            self.give_up(problem)

    def _again(self) -> bool:
        if not self._retries or not self._rotation.budget.spend():
            return False
        self._retries -= 1
        self._pool = self._rotation.take()
        self._ask(fresh=True)
        return True

    @abstractmethod
    def whole(self, head: ReplyHead, body: bytes) -> None: ...

    @abstractmethod
    def informed(self, head: ReplyHead) -> None: ...

    @abstractmethod
    def replied(self, head: ReplyHead, has_body: bool) -> None: ...

    @abstractmethod
    def data(self, data: bytes) -> None: ...

    @abstractmethod
    def ended(self) -> None: ...

    @abstractmethod
    def full(self) -> None: ...

    @abstractmethod
    def drained(self) -> None: ...
