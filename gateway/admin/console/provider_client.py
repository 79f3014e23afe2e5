"""This gateway as a client of the organisation's OpenID provider. Its libraries are large: loaded at the first use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.clock import Clock
from gateway.core.secrets import Secret
from gateway.relay.outside import Outside

if TYPE_CHECKING:
    from gateway.policy.tokens.sessions import Issuer

TIMEOUT: Final = 5.0  # seconds for an answer of the provider
SKEW: Final = 5.0  # seconds by which its clock may differ


@dataclass(frozen=True)
class Client:
    """This gateway at its provider. `secret` None: a public client."""

    issuer: str
    id: str
    secret: Secret | None
    scopes: Sequence[str]
    resource: str | None

    def form(self, **more: str) -> dict[str, str]:
        """A request's parameters, with the resource (RFC 8707) where one is named."""
        return more if self.resource is None else {**more, "resource": self.resource}


class ProviderClient:
    """Of one control process."""

    def __init__(self, client: Client, outside: Outside, clock: Clock) -> None:
        self.client = client
        self._outside = outside
        self._clock = clock
        self._issuer: Issuer | None = None

    async def issuer(self) -> Issuer:
        if self._issuer is None:
            await asyncio.to_thread(_load)
            self._issuer = self._made()
        return self._issuer

    def _made(self) -> Issuer:
        from gateway.policy.tokens.algorithms import ASYMMETRIC
        from gateway.policy.tokens.client import Client as Proved
        from gateway.policy.tokens.client import Prover
        from gateway.policy.tokens.compact import Compact
        from gateway.policy.tokens.published import Published
        from gateway.policy.tokens.rules import Rules
        from gateway.policy.tokens.sessions import Issuer

        client, published = self.client, self._outside.shared(Published)
        return Issuer(
            published.metadata(client.issuer),
            published.keys_of(client.issuer),
            Compact(ASYMMETRIC, (None, "jwt")),
            Rules(client.issuer, (client.id,), SKEW),
            Prover(Proved(id=client.id, secret=client.secret and client.secret.reveal()), self._clock),
            client.id,
            self._outside,
            self._clock,
            TIMEOUT,
            None,
        )


def _load() -> None:
    """Large libraries, in a thread."""
    import gateway.policy.tokens.compact
    import gateway.policy.tokens.published
    import gateway.policy.tokens.sessions  # noqa: F401
