"""The step that lets in who shows a signed token: one that was verified before is found in memory. Loads `jwt`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange, Switch
from gateway.core.kinds import Site
from gateway.core.secrets import KeyHasher
from gateway.policy.credentials.presented import Read
from gateway.policy.tokens.admission import Admission
from gateway.policy.tokens.compact import Compact, Signed
from gateway.policy.tokens.keys_of import KeySource
from gateway.policy.tokens.memo import Memo, Verified
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.signing_keys import KeySet

Standing = Callable[[Mapping[str, Any], float], "str | None"]


class SignedTokens:
    """Of one step. `authenticate` is the step; it is a coroutine only while keys have to be waited for."""

    def __init__(
        self,
        read: Read,
        keys: KeySource,
        compact: Compact,
        rules: Rules,
        admission: Admission,
        site: Site,
        fixed: bool,
        standing: Standing | None = None,
    ) -> None:
        """`fixed`: the token stands in the header block alone, so that its digest is remembered with it. `standing`:
        asked each time why a token holds no more, as an issuer of ours knows."""
        self._read = read
        self._keys = keys
        self._compact = compact
        self._rules = rules
        self._admission = admission
        self._standing = standing
        self._admit = admission.admit if standing is None else self._admit_standing
        self._fixed = fixed
        self._memo = Memo()
        self._hasher = site.services.of(KeyHasher)
        self._clock: Clock = site.services.named("clock")

    def authenticate(self, exchange: Exchange) -> Switch | Coroutine[Any, Any, Any] | None:
        digest = exchange.head.memo.get(self._read)
        if digest is None:
            digest = self._digest(exchange)
        keys = self._keys
        found = self._memo.find(digest, self._clock.time(), keys.generation)
        if found is not None and (self._clock.monotonic() < keys.due or keys.look()):
            return self._admit(exchange, found)
        try:
            signed = self._compact.read(self._read(exchange) or b"")
            if keys.look() and keys.value is not None and (keys.value.knows(signed.kid) or not keys.may_renew):
                return self._admit(exchange, self._verify(digest, signed, keys.value))
        except InvalidToken as error:
            raise self._admission.challenges.invalid(exchange, error) from None
        return self._later(exchange, digest, signed)

    def _digest(self, exchange: Exchange) -> bytes:
        token = self._read(exchange)
        if token is None:
            raise self._admission.challenges.missing()
        digest = self._hasher.digest(token)
        if self._fixed:
            exchange.head.memo[self._read] = digest
        return digest

    async def _later(self, exchange: Exchange, digest: bytes, signed: Signed) -> Switch | None:
        """Once the keys are there. Raises DependencyFailed."""
        keys = await self._keys.current()
        if not keys.knows(signed.kid) and self._keys.may_renew:
            await self._keys.renew()
            keys = await self._keys.current()
        try:
            verified = self._verify(digest, signed, keys)
        except InvalidToken as error:
            raise self._admission.challenges.invalid(exchange, error) from None
        return self._admit(exchange, verified)

    def _admit_standing(self, exchange: Exchange, verified: Verified) -> Switch | None:
        assert self._standing is not None
        reason = self._standing(verified.identity.claims, self._clock.time())
        if reason is not None:
            raise self._admission.challenges.invalid(exchange, InvalidToken(reason))
        return self._admission.admit(exchange, verified)

    def _verify(self, digest: bytes, signed: Signed, keys: KeySet) -> Verified:
        if not keys.knows(signed.kid):
            self._keys.decide()
        claims = self._compact.claims(signed, keys.find(signed.kid, signed.algorithm))
        since, until = self._rules.check(claims, self._clock.time())
        verified = self._admission.verified(claims, digest, since, until, self._keys.generation)
        self._memo.keep(digest, verified)
        return verified
