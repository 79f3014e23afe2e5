"""Attempts to sign in at the provider. Each belongs to the browser that began it, is used once, and ends by itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gateway.core.clock import Clock

ATTEMPT: Final = 600.0  # seconds for a person to sign in
MOST: Final = 1000  # attempts; the oldest goes first


@dataclass(frozen=True, slots=True)
class Attempt:
    nonce: str
    verifier: str
    target: str  # the page of the console to go to
    ends: float


class ProviderAttempts:
    """Of one control process, by a hash of their state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: OrderedDict[str, Attempt] = OrderedDict()

    def begin(self, target: str) -> tuple[str, Attempt]:
        """Its state, which the browser keeps, and what stays here."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        attempt = Attempt(secrets.token_urlsafe(32), verifier, target, self._clock.monotonic() + ATTEMPT)
        self._attempts[_hash(state)] = attempt
        if len(self._attempts) > MOST:
            self._attempts.popitem(last=False)
        return state, attempt

    def take(self, kept: str, state: str) -> Attempt:
        """Used once, whatever becomes of it. `kept`: the state that the browser keeps. Raises SignInFailed."""
        from gateway.policy.tokens.sessions import SignInFailed

        if not state or not hmac.compare_digest(kept.encode(), state.encode()):
            raise SignInFailed("this browser began no such attempt")
        attempt = self._attempts.pop(_hash(state), None)
        if attempt is None or self._clock.monotonic() >= attempt.ends:
            raise SignInFailed("the attempt is over: it took too long, was used before, or the gateway has restarted")
        return attempt


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
