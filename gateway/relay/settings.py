"""What an upstream is told. Times in seconds, None or 0: not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.override import Override

GATEWAY_ERRORS: Final = frozenset((502, 503, 504))  # its own upstream failed, or it is overloaded (RFC 9110 15.6)


@dataclass(frozen=True, slots=True)
class Settings:
    """`timeout`: from the request to the response's head; `idle_timeout`: between two reads of its body;
    `stream_idle`: the same of an event stream, and of a WebSocket both ways;
    `total_timeout`: from the request's start to the response's end; `keep`: how long an unused connection stays;
    `max_age`, `max_requests`: after which a connection is not used again; `queue`: how many requests wait for a
    connection, each for `queue_timeout`; `retry_on`: statuses for which a safe request is sent again."""

    timeout: float = 30.0
    connect_timeout: float = 5.0
    idle_timeout: float = 30.0
    stream_idle: float = 3600.0
    total_timeout: float = 0.0
    keep: float = 30.0
    max_age: float = 0.0
    max_requests: int = 0
    retries: int = 1
    retry_on: frozenset[int] = frozenset()
    max_connections: int = 256
    queue: int = 256
    queue_timeout: float = 10.0
    dns_ttl: float = 5.0
    server_name: str | None = None

    @property
    def watches(self) -> bool:
        """What is sent by these has to be watched."""
        return bool(self.total_timeout or self.retry_on)

    def overridden(self, by: Override) -> Settings:
        """Of one exchange."""
        names = ("timeout", "idle_timeout", "total_timeout", "retries", "retry_on")
        return replace(self, **{name: own for name in names if (own := getattr(by, name)) is not None})


@dataclass(frozen=True, slots=True)
class Health:
    """A GET of `path` every `interval`. `statuses` empty: any 2xx is well."""

    path: bytes
    interval: float = 10.0
    timeout: float = 2.0
    healthy: int = 2
    unhealthy: int = 3
    statuses: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ejection:
    """After `failures` in a row a target is left out for `time`, longer each time up to `max_time`, as long as no
    more than `max_share` of all would be."""

    failures: int = 5
    time: float = 30.0
    max_time: float = 300.0
    max_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Breaking:
    """When a circuit opens: after `failures` in a row (0: never), or when `rate` of at least `calls` within `window`
    failed (0: never). `open`: how long until one request is let through."""

    failures: int = 5
    rate: float = 0.0
    calls: int = 20
    window: float = 10.0
    open: float = 30.0
    whole_upstream: bool = False


ExchangeKey = Callable[[Exchange], "bytes | None"]


@dataclass(frozen=True, slots=True)
class Hashing:
    """Requests with one key go to one target. `of` is client-ip, application, path, header, query, cookie or
    parameter; `name` is that of the last four. `bound`: at most so many times its share of what is in flight (0: no
    bound)."""

    of: str
    name: str = ""
    bound: float = 0.0


@dataclass(frozen=True, slots=True)
class Balancing:
    """How targets are chosen and left out. `least_loaded` and `hashing` exclude each other; neither: in turn.
    `fail_on`: statuses that count as failures of the target."""

    least_loaded: bool = False
    hashing: Hashing | None = None
    health: Health | None = None
    ejection: Ejection | None = None
    breaking: Breaking | None = None
    slow_start: float = 0.0
    fail_on: frozenset[int] = GATEWAY_ERRORS

    @property
    def watches(self) -> bool:
        """What becomes of each request matters."""
        failing = self.ejection is not None or self.breaking is not None
        return failing or self.least_loaded or self.hashing is not None


IN_TURN: Final = Balancing()
