"""A document that another service publishes, kept in memory: an issuer's keys, its metadata.

One request at a time, whoever waits for it (CASES C48). It is asked for again in the background once it is no longer
fresh (Cache-Control within bounds), and what is known goes on to serve while the service does not answer, for `STALE`
at most: keys that an issuer withdrew must end some time, too.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from gateway.core.clock import Clock
from gateway.relay.outside import DependencyFailed
from gateway.relay.upstream import Fetched

log: Final = logging.getLogger("gateway.auth")
T = TypeVar("T")

FRESH: Final = (60.0, 300.0, 86_400.0)  # seconds: least, where nothing is said, most
STALE: Final = 86_400.0  # seconds after the last good answer
COOL_DOWN: Final = 30.0  # seconds between two requests that clients can cause
AGAIN: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds after failures in a row
_MAX_AGE: Final = re.compile(rb"max-age\s*=\s*\"?([0-9]{1,9})")
_NEVER: Final = float("-inf")


class Remote(Generic[T]):
    """`load` gets it: the value, and for how many seconds it is fresh; what it raises is a failure. `generation`
    counts the different values. `due`: the monotonic time from which `look` has to be asked before `value` is used."""

    def __init__(self, what: str, load: Callable[[], Awaitable[tuple[T, float]]], clock: Clock) -> None:
        self.value: T | None = None
        self.generation = 0
        self.due = _NEVER
        self._what = what  # for the log
        self._load = load
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._asked = self._again = self._ends = _NEVER
        self._failures = 0

    def look(self) -> bool:
        """Whether `value` may be used now; it is asked for again where that is due."""
        now = self._clock.monotonic()
        if now >= self.due:
            self._begin(now)
        return self.value is not None and now < self._ends

    async def current(self) -> T:
        """The value, waiting for it where there is none to use. Raises DependencyFailed."""
        if not self.look() and self._task is not None:
            await asyncio.shield(self._task)
        if self.value is None or self._clock.monotonic() >= self._ends:
            raise _unknown()
        return self.value

    @property
    def may_renew(self) -> bool:
        """Whether `renew` would wait: something is under way, or the last request was long enough ago."""
        return self._task is not None or self._clock.monotonic() >= self._asked + COOL_DOWN

    async def renew(self) -> None:
        """Asks again, as something was not found, at most once in `COOL_DOWN`. Raises DependencyFailed when the last
        answer could not be used: then nobody knows whether it is there."""
        if self._task is None and self.may_renew:
            self._begin(self._clock.monotonic(), anyway=True)
        if self._task is not None:
            await asyncio.shield(self._task)
        self.decide()

    def decide(self) -> None:
        """Raises DependencyFailed unless the last answer was good, so that what it does not hold does not exist."""
        if self._failures:
            raise _unknown()

    def _begin(self, now: float, anyway: bool = False) -> None:
        if self._task is None and (anyway or now >= self._again):
            self._asked = now
            self._task = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            value, fresh = await self._load()
        except Exception as error:  # whatever it is, the next request asks again
            self._failed(error)
        else:
            self._learnt(value, fresh)
        finally:
            self._task = None

    def _learnt(self, value: T, fresh: float) -> None:
        now = self._clock.monotonic()
        if self._failures:
            log.info("%s is there again", self._what)
        self._failures = 0
        self._again = now
        self.due = now + min(max(fresh, FRESH[0]), FRESH[2])
        self._ends = now + STALE
        if value != self.value:
            self.value = value
            self.generation += 1

    def _failed(self, error: Exception) -> None:
        if not self._failures:
            known = "what is known of it stays in use" if self.value is not None else "nothing is known of it"
            log.warning("%s cannot be had (%s); %s", self._what, error, known)
        self._again = self._clock.monotonic() + AGAIN[min(self._failures, len(AGAIN) - 1)]
        self.due = self._again
        self._failures += 1

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _unknown() -> DependencyFailed:
    return DependencyFailed("What the token has to be checked by is not known now.", headers=[(b"Retry-After", b"1")])


def freshness(answer: Fetched) -> float:
    """For how many seconds an answer is fresh, within bounds (RFC 9111 sections 4.2 and 5.2.2)."""
    control = b",".join(value for name, value in answer.fields if name == b"cache-control").lower()
    if b"no-store" in control or b"no-cache" in control:
        return FRESH[0]
    found = _MAX_AGE.search(control)
    if found is None:
        return FRESH[1]
    age = answer.get(b"age") or b"0"
    return float(int(found[1]) - (int(age) if age.isdigit() and len(age) < 10 else 0))
