"""One request to an upstream, with the attempts that it takes.

A request is sent again only when that cannot do its work twice: nothing of it was sent, or its method is idempotent
(RFC 9110 section 9.2.2), no byte of a response came, and its body is still at hand. Whatever is sent after the first
time is paid from a budget over all requests (CASES A61); looking for a target that can be connected is not, as long as
there is one that was not found wanting. A pooled connection that went stale unseen costs one attempt beside `retries`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from gateway.core.errors import BadGateway, Problem
from gateway.core.framing_reply import ReplyHead
from gateway.core.trace import CLIENT, Attributes, Span, Trace
from gateway.relay.connecting import SILENT
from gateway.relay.connection import Connection
from gateway.relay.rotation import Rotation
from gateway.relay.settings import Settings
from gateway.relay.target import Pool

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Sending(ABC):
    """The attempts of one request: an asker of pools and a receiver of connections."""

    __slots__ = (
        "_asking",
        "_at",
        "_connection",
        "_fresh",
        "_held",  # this and the next three: see `watched`
        "_judged",
        "_key",
        "_keyed",  # this and `_past_circuits`: see `overridden`
        "_late",
        "_method",
        "_past_circuits",
        "_pool",
        "_retries",
        "_rotation",
        "_span",
        "_stale",
        "_token",
        "_trace",
        "_tried",
        "_until",
        "settings",
    )

    def __init__(self, rotation: Rotation, method: bytes, trace: Trace | None = None) -> None:
        self._rotation = rotation
        self._at: float  # when the request was sent last
        self._trace = trace  # None: no spans, and no `_span`
        if trace is not None:
            self._span: Span | None = None
        self._method = method
        self._connection: Connection | None = None
        self.settings = settings = rotation.settings
        self._retries = settings.retries
        self._asking = self._stale = self._fresh = False
        self._tried: tuple[Pool, ...] = ()
        self._late = 0  # addresses that did not answer in time

    def override(self, settings: Settings) -> None:
        """By these, not by those of the upstream: before the first attempt."""
        self.settings = settings
        self._retries = settings.retries

    def go(self) -> None:
        """The first attempt."""
        rotation = self._rotation
        rotation.budget.earn()
        self._pool = pool = rotation.take()
        pool.state.attempts += 1
        self._asking = True
        if self._trace is not None:
            self._begin_span(self._trace)
        pool.acquire(self)

    def _use(self, pool: Pool) -> None:
        """The next attempt goes there."""
        self._pool = pool
        pool.state.attempts += 1

    def _missed(self, _problem: Problem) -> None:
        """The attempt failed."""
        self._pool.state.failed += 1

    def _heard_of(self, status: int) -> None:
        """The head of an answer is there. One in four is timed, the first one too."""
        state = self._pool.state
        if state.attempts & 3 == 1:
            state.took(self._rotation.monotonic() - self._at)
        if self._trace is not None:
            self._end_span(None, status)

    # spans, of an exchange that has a trace

    def _begin_span(self, trace: Trace) -> None:
        target = self._pool.target
        told: Attributes = {"http.request.method": self._method.decode(), "server.address": target.host or str(target)}
        if self._tried or self._retries < self.settings.retries:
            told["http.request.resend_count"] = len(self._tried) + self.settings.retries - self._retries
        if target.port:
            told["server.port"] = target.port
        self._span = trace.begin(self._method.decode(), CLIENT, told)

    def _end_span(self, error: Problem | None, status: int = 0) -> None:
        span, self._span = self._span, None
        if span is not None and self._trace is not None:
            if status:
                span.attributes["http.response.status_code"] = status
            self._trace.end(span, error)
            if status >= 500:
                span.problem = str(status)

    def _ask(self, fresh: bool) -> None:
        self._asking = True
        if self._trace is not None:
            self._begin_span(self._trace)
        self._pool.acquire(self, fresh)

    def withdraw(self) -> None:
        """Nobody wants the response any more."""
        connection, self._connection = self._connection, None
        if self._trace is not None:
            self._end_span(None)
        if connection is not None:
            connection.drop()
        elif self._asking:
            self._asking = False
            self._pool.withdraw(self)

    @abstractmethod
    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        """Sends the request, or begins to."""

    def idempotent(self) -> bool:
        """Sending it twice does what sending it once does."""
        return self._method in IDEMPOTENT

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
        target = self._pool.target
        self.transmit(connection, target.authority, target.prefix)

    def unreachable(self, problem: Problem) -> None:
        """Nothing was sent: another target, or another try, can do no harm. 503: the pool is full or closed."""
        self._asking = False
        self._missed(problem)
        if self._trace is not None:
            self._end_span(problem)
        full = problem.status == 503
        if not full:
            self._rotation.missed(self._pool)
        self._tried = (*self._tried, self._pool)
        self._late += problem.status == 504
        other = None
        if self._late < SILENT:
            other = self._rotation.another(self._tried, beside=not full)
        if other is not None:
            self._use(other)
            self._ask(False)
        elif full or not self._again():
            self.give_up(problem)

    def failed(self, problem: Problem, silent: bool) -> None:
        self._connection = None
        self._missed(problem)
        if self._trace is not None:
            self._end_span(problem)
        if not silent or not self.idempotent() or not self.replayable():
            self.give_up(problem)
        elif self._stale and not self._fresh:
            self._fresh = True
            self._pool.distrust()
            if self._rotation.budget.spend():
                self._use(self._pool)
                self._ask(True)
            else:
                self.give_up(problem)
        elif not self._again():
            self.give_up(problem)

    def _again(self) -> bool:
        """Another attempt, if there may be one: at another target where there is one."""
        pool = self._rotation.again(self._pool) if self._retries else None
        if pool is None:
            return False
        self._retries -= 1
        self._use(pool)
        self._ask(True)
        return True

    def switched(self, connection: Connection, head: ReplyHead, rest: bytes) -> None:
        raise BadGateway("The upstream switched protocols; nobody asked for that.")

    def quiet(self) -> float:
        return 0.0

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
