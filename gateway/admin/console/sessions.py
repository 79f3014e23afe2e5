"""Who is signed in at the console: random names in cookies, all else in this process, bounded in number and time.

What proves who somebody is, is asked again at every request: a token that was revoked ends its sessions at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.consumers.tokens import Token
from gateway.core.clock import Clock

IDLE: Final = 30 * 60.0  # seconds without a request
LONGEST: Final = 12 * 3600.0  # seconds in all
MOST: Final = 1000  # sessions; the one that was idle longest goes first

Prove = Callable[[], Awaitable[Token | None]]
"""Who this is now, with roles and components; None when it has ended. The seam of every way to sign in."""


@dataclass(slots=True)
class Session:
    """`forms` stands in every form (CSRF); `told` is said once, on the next page. `leave`: where one signs out of what
    proved it, too."""

    prove: Prove
    begun: float
    used: float
    forms: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    told: str = ""
    leave: str = ""


@dataclass
class Sessions:
    clock: Clock
    _open: OrderedDict[bytes, Session] = field(default_factory=OrderedDict, repr=False)

    def begin(self, prove: Prove, leave: str = "") -> str:
        """The name of a new session, of 256 random bits; only its hash is kept."""
        name, now = secrets.token_urlsafe(32), self.clock.monotonic()
        self._open[_hash(name)] = Session(prove, now, now, leave=leave)
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return name

    def find(self, name: str) -> Session | None:
        key, now = _hash(name), self.clock.monotonic()
        session = self._open.get(key)
        if session is None:
            return None
        if now - session.used > IDLE or now - session.begun > LONGEST:
            del self._open[key]
            return None
        session.used = now
        self._open.move_to_end(key)
        return session

    def end(self, name: str) -> None:
        self._open.pop(_hash(name), None)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
