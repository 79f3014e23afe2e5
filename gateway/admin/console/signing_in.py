"""Ways to sign in: an admin token, and every `Way` that is given: a button that leads to its flow, at whose end it
calls `begin` with what proves the person."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.access import Access
from gateway.admin.console.sessions import Prove
from gateway.consumers.tokens import Token, current_token, find_token
from gateway.core.clock import Clock
from gateway.core.errors import TooManyRequests

MOST: Final = 20  # wrong tokens of one address at once
EVERY: Final = 3.0  # seconds until it may have one more
ADDRESSES: Final = 1000  # that are remembered


class Begin(Protocol):
    def __call__(self, request: Request, prove: Prove, target: str = ...) -> Response:
        """Signs in who was proved, and leads on to a page of the console."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """The button says `Sign in with {label}`. `answer` serves GET `/console/sign-in/{name}`, and `…/{name}/back` for
    who comes back from elsewhere; it may raise a Problem, which becomes a page."""

    label: str
    name: str
    answer: Callable[[Request, Begin], Awaitable[Response]]


class TooManyAttempts(TooManyRequests):
    title, code = "Too many wrong tokens", "too_many_attempts"


@dataclass
class Attempts:
    """Wrong tokens by address: what an address may still do comes back with time."""

    clock: Clock
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def _now(self, address: str) -> float:
        left, then = self._left.get(address, (float(MOST), self.clock.monotonic()))
        return min(float(MOST), left + (self.clock.monotonic() - then) / EVERY)

    def check(self, address: str) -> None:
        if self._now(address) < 1:
            raise TooManyAttempts("Wait a minute, then try again.", headers=[(b"Retry-After", b"60")])

    def wrong(self, address: str) -> None:
        self._left[address] = self._now(address) - 1, self.clock.monotonic()
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)


async def by_token(access: Access, presented: str) -> Prove | None:
    """None for a token that is unknown, revoked or has ended. The plaintext is not kept."""
    found = await find_token(access.store, access.hasher, access.clock, presented)
    if found is None:
        return None
    id = found.id

    async def prove() -> Token | None:
        return await current_token(access.store, access.clock, id)

    return prove
