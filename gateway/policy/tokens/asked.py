"""The step that lets in who shows a token that only its issuer understands: the issuer is asked, and its answer is
remembered for a while, yes and no. One question at a time for one token, whoever waits for it."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange, Switch
from gateway.core.identity import Identity
from gateway.core.kinds import Site
from gateway.core.secrets import KeyHasher
from gateway.policy.credentials.presented import Read
from gateway.policy.tokens.admission import Admission
from gateway.policy.tokens.memo import MOST, Verified
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.settings import TokenSettings

OFTEN: Final = 5.0  # seconds: no more often than this a token is asked for again while its exchange lasts
GRACE: Final = 30.0  # seconds for which such an exchange goes on when nobody answers
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")

Ask = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(slots=True)
class Answered:
    """What is known of a token: `verified`, or why it is `refused`. `until`: for how long that decides about requests;
    `again`: when an exchange that lasts makes it be asked for again. Seconds since 1970."""

    token: str
    verified: Verified | None
    refused: InvalidToken | None
    until: float
    again: float


@dataclass(frozen=True, slots=True)
class Remembering:
    """For how many seconds a yes and a no are remembered; 0: not at all."""

    yes: float
    no: float


class AskedTokens:
    """Of one step. `ask` gives a token's claims, or None for one that is not active; it raises DependencyFailed."""

    def __init__(
        self,
        settings: TokenSettings,
        read: Read,
        ask: Ask,
        rules: Rules,
        remembering: Remembering,
        site: Site,
        method: str,
    ) -> None:
        self._read = read
        self._ask = ask
        self._rules = rules
        self._remembering = remembering
        self._fixed = settings.query is None
        self._known: OrderedDict[bytes, Answered] = OrderedDict()
        self._by_credential: dict[str, bytes] = {}
        self._asking: dict[bytes, asyncio.Task[Answered]] = {}
        self._hasher = site.services.of(KeyHasher)
        self._clock: Clock = site.services.named("clock")
        self.admission = Admission(settings, site, method, self.stays)

    def authenticate(self, exchange: Exchange) -> Switch | Coroutine[Any, Any, Any] | None:
        digest = exchange.head.memo.get(self._read)
        known = None if digest is None else self._remembered(digest)
        if known is None:
            token = self._read(exchange)
            if token is None:
                raise self.admission.challenges.missing()
            digest = self._hasher.digest(token)
            if self._fixed:
                exchange.head.memo[self._read] = digest
            known = self._remembered(digest)
            if known is None:
                return self.later(exchange, digest, token)
        return self._decide(exchange, known)

    def _remembered(self, digest: bytes) -> Answered | None:
        known = self._known.get(digest)
        if known is None or self._clock.time() >= known.until:
            return None
        self._known.move_to_end(digest)
        return known

    def _decide(self, exchange: Exchange, known: Answered) -> Switch | None:
        if known.verified is None:
            raise self.admission.challenges.invalid(exchange, known.refused or InvalidToken("it is not active"))
        return self.admission.admit(exchange, known.verified)

    async def later(self, exchange: Exchange, digest: bytes, token: bytes) -> Switch | None:
        if _TOKEN.fullmatch(token) is None:
            raise self.admission.challenges.invalid(exchange, InvalidToken("it has characters that none has"))
        return self._decide(exchange, await asyncio.shield(self._begin(digest, token.decode())))

    # asking

    def _begin(self, digest: bytes, token: str) -> asyncio.Task[Answered]:
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.get_running_loop().create_task(self._learn(digest, token))
            task.add_done_callback(lambda done: self._asked(digest, done))
        return task

    def _asked(self, digest: bytes, task: asyncio.Task[Answered]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # those who wait hear of it; perhaps nobody does any more

    async def _learn(self, digest: bytes, token: str) -> Answered:
        began = self._clock.time()
        claims = await self._ask(token)
        answered = self._judge(digest, token, claims, began)
        self._keep(digest, answered)
        return answered

    def _judge(self, digest: bytes, token: str, claims: Mapping[str, Any] | None, began: float) -> Answered:
        """Remembered from when it was asked: what was revoked since may be known no later than that."""
        if claims is None:
            return self._refusal(token, InvalidToken("it is not active"), began)
        try:
            since, until = self._rules.check(claims, self._clock.time())
            verified = self.admission.verified(claims, digest, since, until, 0)
        except InvalidToken as error:
            return self._refusal(token, error, began)
        yes = self._remembering.yes
        return Answered(token, verified, None, min(began + yes, until), began + max(yes, OFTEN))

    def _refusal(self, token: str, error: InvalidToken, began: float) -> Answered:
        return Answered(token, None, error, began + self._remembering.no, began + OFTEN)

    def _keep(self, digest: bytes, answered: Answered) -> None:
        self._known[digest] = answered
        self._known.move_to_end(digest)
        self._by_credential[_credential(digest)] = digest
        if len(self._known) > MOST:
            old, _ = self._known.popitem(last=False)
            self._by_credential.pop(_credential(old), None)

    # exchanges that last

    def stays(self, identity: Identity, now: float) -> bool:
        """Whether the token still holds as far as is known; it is asked for again where that is long ago."""
        expiry = identity.claims.get("exp")
        digest = self._by_credential.get(identity.credential or "")
        known = None if digest is None else self._known.get(digest)
        if digest is None or known is None or known.verified is None or (expiry is not None and now >= expiry):
            return False
        self._known.move_to_end(digest)
        if now >= known.again:
            self._begin(digest, known.token)
        return now < known.again + GRACE


def _credential(digest: bytes) -> str:
    return f"t-{digest[:12].hex()}"
