"""People on the admin REST: an access token of the organisation's identity provider instead of an admin token.

It is verified as the kind `jwt` verifies them: keys by discovery, kept and asked for again in the background. About one
that is no JWT the provider is asked (`opaque`), where this gateway has a client with a secret there. A claim tells the
roles, by a mapping; who has none of them gets in nowhere. How people come by such a token is told to whoever asks
(`SignIn`): it is no secret, and the command line has to know it before it has a credential.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.consumers.tokens import Token
from gateway.core.clock import Clock
from gateway.core.errors import Forbidden
from gateway.core.secrets import Secret
from gateway.policy.claims import reader, words
from gateway.relay.outside import Outside

if TYPE_CHECKING:
    from gateway.admin.opaque import OpaqueTokens
    from gateway.policy.tokens.compact import Compact
    from gateway.policy.tokens.keys_of import KeySource
    from gateway.policy.tokens.rules import Rules

log: Final = logging.getLogger("gateway.admin")
LEEWAY: Final = 5.0  # seconds
PERSON: Final = "person:"  # how the ids of people begin
LONGEST: Final = 16_384  # bytes of a token
TIMEOUT: Final = 5.0  # seconds of a question about one


@dataclass(frozen=True, slots=True)
class Provider:
    """`roles`: values of the claim `claim`, each with a role that it gives. `components`: the claim that binds a person
    to API components; None: people are bound to none."""

    issuer: str
    audience: str
    claim: str
    roles: Sequence[tuple[str, str]]
    components: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """How the command line signs people in: a public client of the provider, and what it asks for."""

    issuer: str
    client_id: str
    scopes: Sequence[str]
    resource: str | None = None

    def told(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "scopes": list(self.scopes),
            "resource": self.resource,
        }


@dataclass(frozen=True, slots=True)
class Asker:
    """As whom the provider is asked about tokens that are no JWT."""

    id: str
    secret: Secret


class People:
    """Of one control process. `sign_in`: how the command line does it; None: it does not. `asker` None: tokens that are
    no JWT are nobody's."""

    def __init__(
        self,
        provider: Provider,
        outside: Outside,
        clock: Clock,
        sign_in: SignIn | None = None,
        asker: Asker | None = None,
    ) -> None:
        self.sign_in = sign_in
        self.asker = asker
        self._opaque: OpaqueTokens | None = None
        self._provider = provider
        self._outside = outside
        self._clock = clock
        self._role_of = reader((provider.claim,))
        self._bound_to = None if provider.components is None else reader((provider.components,))
        self._parts: tuple[KeySource, Compact, Rules] | None = None

    async def token(self, presented: str) -> Token | None:
        """None for what is no token of this issuer that holds. Raises Forbidden for a person without a role,
        DependencyFailed while it cannot be decided."""
        from gateway.policy.tokens.refusals import InvalidToken

        keys, compact, rules = await self._loaded()
        try:
            if len(presented) > LONGEST:
                return None
            signed = compact.read(presented.encode())
            found = await keys.current()
            if not found.knows(signed.kid):
                if keys.may_renew:
                    await keys.renew()
                    found = await keys.current()
                keys.decide()
            claims = compact.claims(signed, found.find(signed.kid, signed.algorithm))
            _, until = rules.check(claims, self._clock.time())
        except InvalidToken as error:
            log.info("a token of a person is refused: %s", error)
            return None
        except UnicodeEncodeError:
            return None
        return self.person(claims, until)

    async def opaque(self, presented: str) -> Token | None:
        """Of a token that is no JWT. None for what is no token of this issuer that holds, and where nobody is asked or
        the provider offers no introspection. Raises as `token` does."""
        if self.asker is None or len(presented) > LONGEST:
            return None
        await self._loaded()
        from gateway.policy.tokens.published import Published

        metadata = self._outside.shared(Published).metadata(self._provider.issuer)
        if (await metadata.current()).introspection_endpoint is None:
            return None
        self._opaque = self._opaque or _opaque(self._provider, self.asker, self._outside, self._clock)
        found = await self._opaque.claims(presented)
        return None if found is None else self.person(*found)

    async def _loaded(self) -> tuple[KeySource, Compact, Rules]:
        if self._parts is None:
            await asyncio.to_thread(_load)
            from gateway.policy.tokens.algorithms import ASYMMETRIC
            from gateway.policy.tokens.compact import Compact
            from gateway.policy.tokens.published import Published
            from gateway.policy.tokens.rules import Rules

            provider = self._provider
            keys = self._outside.shared(Published).keys_of(provider.issuer)
            rules = Rules(provider.issuer, (provider.audience,), LEEWAY)
            self._parts = keys, Compact(ASYMMETRIC, (None, "jwt", "at+jwt")), rules
        return self._parts

    def person(self, claims: Mapping[str, Any], until: float) -> Token | None:
        """Of claims that were verified. None for nobody who can be named; Forbidden for who has no role."""
        sub = claims.get("sub")
        if not isinstance(sub, str) or not sub.isprintable() or not 0 < len(sub) <= 256:
            return None
        mail = claims.get("email")
        proved = claims.get("email_verified", True) in (True, "true")  # else anybody's, as whoever types it
        name = mail if proved and isinstance(mail, str) and mail.isprintable() and 0 < len(mail) <= 256 else sub
        held = words(self._role_of(claims))
        roles = frozenset(role for value, role in self._provider.roles if value in held)
        if not roles:
            raise Forbidden(f"{name} has no role on this gateway: {self._lacking(held)}")
        bound = None if self._bound_to is None else words(self._bound_to(claims))
        return Token(f"{PERSON}{sub}", name, roles, bound, until)

    def _lacking(self, held: frozenset[str]) -> str:
        """Why, for whoever mends it: the values of the claim are the person's own."""
        shown = ", ".join(f"`{value:.60}`" for value in sorted(held)[:10] if value.isprintable())
        has = f"has {shown}" if shown else "is empty"
        return f"the claim `{self._provider.claim}` {has}, and the setting admin_oidc_roles maps none of it."


def _load() -> None:
    """Large libraries, in a thread."""
    import gateway.policy.tokens.compact
    import gateway.policy.tokens.published  # noqa: F401


def _opaque(provider: Provider, asker: Asker, outside: Outside, clock: Clock) -> OpaqueTokens:
    """After `_load`."""
    from gateway.admin.opaque import OpaqueTokens
    from gateway.policy.tokens.client import Client, Prover
    from gateway.policy.tokens.introspecting import Introspection, failed
    from gateway.policy.tokens.published import Published
    from gateway.policy.tokens.rules import Rules

    metadata = outside.shared(Published).metadata(provider.issuer)

    async def where() -> str:
        url = (await metadata.current()).introspection_endpoint
        if url is None:
            raise failed(provider.issuer, "its metadata names no introspection_endpoint")
        return url

    prover = Prover(Client(id=asker.id, secret=asker.secret.reveal()), clock)
    rules = Rules(provider.issuer, (provider.audience,), LEEWAY)
    return OpaqueTokens(Introspection(where, prover, outside, TIMEOUT, None).ask, provider.issuer, rules, clock)
