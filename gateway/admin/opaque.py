"""Access tokens of people that only their provider understands: it is asked about them (RFC 7662), as the client that
the console signs people in with.

What it says is remembered shortly, yes and no, by a hash of the token. It has to say for whom the token was made and
until when it holds, as a JWT does: else any token of the provider would do, one that was made for another API too. What
it cannot tell is 503, never a yes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.rules import Rules
from gateway.relay.outside import DependencyFailed

log: Final = logging.getLogger("gateway.admin")
YES, NO = 30.0, 5.0  # seconds for which an answer is remembered, at most
MOST: Final = 1000  # answers; the oldest goes first
AT_ONCE: Final = 32  # questions: nobody makes more of them by tokens that do not exist
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1
_ACCESS: Final = (None, "access", "access_token")  # `token_use`, where a provider tells it

Ask = Callable[[str], Awaitable[Mapping[str, Any] | None]]
Found = tuple[Mapping[str, Any], float]


@dataclass(frozen=True, slots=True)
class _Answer:
    found: Found | None
    until: float


class OpaqueTokens:
    """`ask` gives a token's claims, or None for one that is not active; it raises DependencyFailed."""

    def __init__(self, ask: Ask, issuer: str, rules: Rules, clock: Clock) -> None:
        self._ask = ask
        self._issuer = issuer
        self._rules = rules
        self._clock = clock
        self._known: OrderedDict[bytes, _Answer] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Found | None]] = {}

    async def claims(self, token: str) -> Found | None:
        """Its claims, and until when it holds; None for what does not hold. Raises DependencyFailed while nobody can
        tell. Of those who show one token at the same time, one asks."""
        if _TOKEN.fullmatch(token) is None:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._clock.time() < known.until:
            return known.found
        task = self._asking.get(digest) or self._begin(digest, token)
        return await asyncio.shield(task)

    def _begin(self, digest: bytes, token: str) -> asyncio.Task[Found | None]:
        if len(self._asking) >= AT_ONCE:
            text = "The identity provider is asked about too many tokens now."
            raise DependencyFailed(text, headers=[(b"Retry-After", b"1")])
        task = self._asking[digest] = asyncio.get_running_loop().create_task(self._learn(digest, token))
        task.add_done_callback(lambda done: self._asked(digest, done))
        return task

    def _asked(self, digest: bytes, task: asyncio.Task[Found | None]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # those who wait hear of it; perhaps nobody does any more

    async def _learn(self, digest: bytes, token: str) -> Found | None:
        began = self._clock.time()  # what is revoked from then on may not be in the answer
        found = self._judged(await self._ask(token))
        until = began + NO if found is None else min(began + YES, found[1])
        self._known[digest] = _Answer(found, until)
        self._known.move_to_end(digest)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return found

    def _judged(self, claims: Mapping[str, Any] | None) -> Found | None:
        if claims is None:
            return None
        told = {"iss": self._issuer, **claims}  # RFC 7662 section 2.2: it may leave out that it is itself
        try:
            _only_shown(told)
            return told, self._rules.check(told, self._clock.time())[1]
        except InvalidToken as error:
            log.info("a token of a person is refused, as of what the provider says of it %s", error)
            return None


def _only_shown(claims: Mapping[str, Any]) -> None:
    """Whoever shows it may use it: no refresh token, and none that is bound to a key (RFC 9449, RFC 8705)."""
    if str(claims.get("token_type", "bearer")).lower() not in {"bearer", "access_token"}:
        raise InvalidToken("its token_type is another than Bearer")
    if claims.get("token_use") not in _ACCESS:
        raise InvalidToken("its token_use is another than that of an access token")
    if "cnf" in claims:
        raise InvalidToken("it is bound to a key, of which nothing was shown")
