"""Sessions of people who signed in: what is in the cookie, and the requests to the issuer that begin and renew one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.core.clock import Clock
from gateway.policy.tokens.client import Prover
from gateway.policy.tokens.compact import Compact
from gateway.policy.tokens.introspecting import LIMIT, failed
from gateway.policy.tokens.metadata import Metadata
from gateway.policy.tokens.published import Tls
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.remote import Remote
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.signing_keys import KeySet
from gateway.relay.outside import Outside

FOREVER: Final = 4_102_444_800.0


@dataclass(frozen=True, slots=True)
class Session:
    """`claims` are those of the ID token, with the granted `scope`; `renew_at` and `ends` in seconds since 1970;
    `access` only where the backend gets it."""

    claims: Mapping[str, Any]
    ends: float
    renew_at: float
    refresh: str | None = None
    access: str | None = None

    def content(self) -> dict[str, Any]:
        found = {"c": self.claims, "e": self.ends, "x": self.renew_at, "r": self.refresh, "a": self.access}
        return {key: value for key, value in found.items() if value is not None}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Session:
        return cls(content["c"], content["e"], content["x"], content.get("r"), content.get("a"))


class SignInFailed(Exception):
    """The issuer did not confirm who it is. The text is for the log."""


class Issuer:
    """The issuer's token endpoint, and its ID tokens (OpenID Connect Core 1.0 section 3.1.3)."""

    def __init__(
        self,
        metadata: Remote[Metadata],
        keys: Remote[KeySet],
        compact: Compact,
        rules: Rules,
        prover: Prover,
        client_id: str,
        outside: Outside,
        clock: Clock,
        timeout: float,
        tls: Tls,
    ) -> None:
        self.metadata = metadata
        self._keys = keys
        self._compact = compact
        self._rules = rules
        self._prover = prover
        self._client_id = client_id
        self._outside = outside
        self._clock = clock
        self._timeout = timeout
        self._tls = tls

    async def redeem(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token endpoint's answer. SignInFailed when it refuses, DependencyFailed when it cannot be asked."""
        url = (await self.metadata.current()).token_endpoint
        if url is None:
            raise failed(self._client_id, "its metadata names no token_endpoint")
        fields, body = await self._prover.form(url, form)
        answer = await self._outside.fetch(
            "POST", url, fields=fields, body=body, timeout=self._timeout, limit=LIMIT, tls=self._tls
        )
        try:
            found = orjson.loads(answer.body)
        except ValueError:
            found = None
        if answer.status in {400, 401} and isinstance(found, dict) and found.get("error") == "invalid_grant":
            raise SignInFailed("the token endpoint answers invalid_grant")
        if answer.status != 200 or not isinstance(found, dict):
            raise failed(url, f"it answers {answer.status}")
        return found

    async def identify(self, token: object, nonce: str | None) -> dict[str, Any]:
        """The claims of an ID token (section 3.1.3.7). Raises SignInFailed, DependencyFailed."""
        if not isinstance(token, str):
            raise SignInFailed("there is no ID token")
        try:
            claims = await self._verified(token.encode())
        except InvalidToken as error:
            raise SignInFailed(f"of the ID token: {error}") from None
        if nonce is not None and not _same(claims.get("nonce"), nonce):
            raise SignInFailed("the ID token's nonce is another")
        if claims.get("azp", self._client_id) != self._client_id:
            raise SignInFailed("the ID token was made for another client")
        return claims

    async def _verified(self, token: bytes) -> dict[str, Any]:
        signed = self._compact.read(token)
        keys = await self._keys.current()
        if not keys.knows(signed.kid) and self._keys.may_renew:
            await self._keys.renew()
            keys = await self._keys.current()
        claims = self._compact.claims(signed, keys.find(signed.kid, signed.algorithm))
        self._rules.check(claims, self._clock.time())
        return claims

    def session(
        self, claims: Mapping[str, Any], answer: Mapping[str, Any], ends: float, keep_access: bool, old: Session | None
    ) -> Session:
        """Of a token answer. Without a refresh token there is nothing to renew: the session lasts as long as it may."""
        refresh, access, expires = answer.get("refresh_token"), answer.get("access_token"), answer.get("expires_in")
        if not isinstance(refresh, str):
            refresh = None if old is None else old.refresh
        lasts = expires if isinstance(expires, int | float) and not isinstance(expires, bool) and expires > 0 else 300
        scope = answer.get("scope", {} if old is None else old.claims.get("scope"))
        granted = {"scope": scope} if isinstance(scope, str) else {}
        kept = access if keep_access and isinstance(access, str) else None
        renew_at = self._clock.time() + lasts if refresh is not None else FOREVER
        if kept is not None and refresh is None:
            ends = min(ends, self._clock.time() + lasts)
        return Session({**claims, **granted}, ends, renew_at, refresh, kept)


def _same(given: object, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())
