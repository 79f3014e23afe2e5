"""What the protocol class and the in-memory wire see of the running gateway: one cell, read once per request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.chain import Chain
from gateway.core.clock import Clock, SystemClock
from gateway.core.exchange import Exchange, Head
from gateway.core.ids import id_source


class Router(Protocol):
    """Finds the chain of a request. Never raises: what does not exist has a chain that refuses (404, 405)."""

    def find(self, head: Head) -> tuple[Chain, tuple[bytes, ...]]:
        """The chain, and the raw path segments that the template's parameters matched, in its order."""
        ...

    def enter(self) -> None:
        """One more exchange runs on this router."""
        ...

    def leave(self) -> None:
        """One fewer; a replaced router closes what it holds after the last."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    head: int = 65_536  # request line and header block
    target: int = 16_384
    fields: int = 200  # header fields
    body: int = 1_048_576  # what a buffering step accepts
    head_timeout: float = 10.0
    body_timeout: float = 30.0  # between two reads of a body, or writes to a client that does not read
    keep_alive: float = 60.0
    extensions: int = 4096  # chunk extensions of one message in all
    rate: int = 64  # bytes a second, over `body_timeout`, that a body or a reader must reach; 0: any
    connections: int = 20_000  # of clients, in one worker
    exchanges: int = 10_000  # in flight, in one worker
    lag: float = 0.2  # how late the loop may be; then requests are shed; 0: never


def _unobserved(_exchange: Exchange) -> None:
    """No log, no counters."""


@dataclass(slots=True)
class LiveCell:
    """Replaced whole: a publish assigns `current`. `observe` hears of every exchange once, when it closes."""

    current: Router
    ids: Callable[[], str] = field(default_factory=id_source)
    clock: Clock = field(default_factory=SystemClock)
    observe: Callable[[Exchange], None] = _unobserved
    limits: Limits = Limits()
    trusted: tuple[str, ...] = ()  # networks whose Forwarded and X-Forwarded-* are believed
    draining: bool = False
    running: int = 0  # exchanges in flight
    due: int = sys.maxsize  # exchanges until one is looked at by `sample`, which sets it anew
    sample: Callable[[Exchange], None] = _unobserved
    ceiling: int = 10_000  # exchanges above which `server.overload` is asked; it sets it
    own_paths: frozenset[bytes] = frozenset()  # of the gateway's own answers about its health
    run: bytes = b""  # by which the node's own probes are known
