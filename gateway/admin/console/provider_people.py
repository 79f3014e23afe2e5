"""Who signed in at the provider, by its tokens, and whether it still is so: renewed by the refresh token before they
end; without one, the session ends with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.admin.console.provider_client import ProviderClient
from gateway.admin.console.sessions import Prove
from gateway.admin.people import PERSON, People
from gateway.consumers.tokens import Token
from gateway.core.clock import Clock
from gateway.core.errors import Forbidden, Problem
from gateway.relay.outside import DependencyFailed

log: Final = logging.getLogger("gateway.admin")
AHEAD: Final = 10.0  # seconds before their end at which tokens are renewed


@dataclass(slots=True)
class Signed:
    """Who was proved, until when, and how to go on then."""

    token: Token
    until: float
    refresh: str | None


class ProviderPeople:
    """Of one control process."""

    def __init__(self, client: ProviderClient, people: People, clock: Clock) -> None:
        self._client = client
        self._people = people
        self._clock = clock

    async def person(self, claims: Mapping[str, Any] | None, told: Mapping[str, Any], before: str | None) -> Signed:
        """Of the ID token's claims, where one came, and the answer with it; `before`: the refresh token so far. Raises
        Forbidden for a person without a role."""
        from gateway.policy.tokens.sessions import SignInFailed

        access, refresh = told.get("access_token"), told.get("refresh_token")
        found = await self._named(claims, access if isinstance(access, str) else "")
        if found is None:
            raise SignInFailed("the provider's tokens name nobody")
        if claims is not None and found.id != f"{PERSON}{claims.get('sub')}":
            raise SignInFailed("the provider's tokens are about different people")
        return Signed(found, found.ends or 0.0, refresh if isinstance(refresh, str) else before)

    async def _named(self, claims: Mapping[str, Any] | None, access: str) -> Token | None:
        """An access token that is no JWT is asked about only where the ID token does not do."""
        found = await self._people.token(access) if access.count(".") == 2 else None
        if found is not None:
            return found
        if claims is None:
            return await self._people.opaque(access)
        try:
            return self._people.person(claims, float(claims["exp"]))
        except Forbidden:
            found = await self._people.opaque(access)
            if found is None:
                raise
            return found

    def prover(self, signed: Signed) -> Prove:
        """Who it is now: renewed by one request at a time."""
        lock = asyncio.Lock()

        async def prove() -> Token | None:
            async with lock:
                due = self._clock.time() >= signed.until - (AHEAD if signed.refresh else 0.0)
                return None if due and not await self._renewed(signed) else signed.token

        return prove

    async def _renewed(self, signed: Signed) -> bool:
        """False: the session is over. Raises DependencyFailed while nobody can tell."""
        from gateway.policy.tokens.sessions import SignInFailed

        if signed.refresh is None:
            return False
        issuer = await self._client.issuer()
        form = self._client.client.form(grant_type="refresh_token", refresh_token=signed.refresh)
        try:
            told = await issuer.redeem(form)
            claims = await issuer.identify(told["id_token"], None) if "id_token" in told else None
            fresh = await self.person(claims, told, signed.refresh)
        except (SignInFailed, Problem) as error:
            if isinstance(error, DependencyFailed):
                raise
            log.info("the session of %s at the console has ended: %s", signed.token.name, error)
            return False
        if fresh.token.id != signed.token.id:
            return False
        signed.token, signed.until, signed.refresh = fresh.token, fresh.until, fresh.refresh
        return True
