"""The gateway's own issuer, as the kind `jwt` sees it: its keys and what was revoked are in the directory, so that no
request goes over the network, and no egress rule is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.consumers.current import CurrentDirectory
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.identity import Identity

if TYPE_CHECKING:
    from gateway.policy.tokens.signing_keys import KeySet

CLIENT: Final = "oauth-client"
_LATER: Final = ((b"Retry-After", b"5"),)


class OwnIssuer:
    """A service of a node that has a token endpoint. `url` is its `iss`. Without a directory nothing can be asked: in
    a dry build."""

    def __init__(self, url: str, directory: CurrentDirectory | None = None, clock: Clock | None = None) -> None:
        self.url = url
        self._directory = directory
        self._clock = clock

    def keys(self) -> OwnKeys:
        return OwnKeys(self._directory, self._clock)

    def refusal(self, claims: Mapping[str, Any], now: float) -> str | None:
        """Why a token of this issuer holds no more, as far as its signature does not tell; None if it does. Raises
        StoreUnavailable."""
        assert self._directory is not None
        if self._directory.undecidable(now):
            raise StoreUnavailable("What is known here of revoked tokens is too old to decide by.", headers=_LATER)
        jti, name = claims.get("jti"), claims.get("client_id")
        if not isinstance(jti, str) or not isinstance(name, str):
            return "it has no jti or client_id"
        if jti in self._directory.current.revoked_tokens:
            return "it was revoked"
        client = self._directory.credential(CLIENT, name)
        if client is None:
            return "its client is gone"
        reason = client.standing(now)
        return None if reason is None else f"its client: {reason}"

    def holds(self, identity: Identity, now: float) -> bool:
        """Asked of exchanges that last."""
        try:
            return self.refusal(identity.claims, now) is None
        except StoreUnavailable:
            return False


class OwnKeys:
    """What `Remote` offers, of the directory as it is then."""

    due: Final = float("-inf")  # keys leave at a time, and by a change: it is looked at each time
    may_renew: Final = False

    def __init__(self, directory: CurrentDirectory | None, clock: Clock | None) -> None:
        self._directory = directory
        self._clock = clock
        self._seen: object = None
        self._until = float("-inf")
        self._value: KeySet | None = None
        self._generation = 0

    @property
    def value(self) -> KeySet | None:
        self._refresh()
        return self._value

    @property
    def generation(self) -> int:
        self._refresh()
        return self._generation

    def look(self) -> bool:
        return self.value is not None

    def decide(self) -> None:
        """A key that is not there does not exist, unless what is known here is too old."""
        assert self._directory is not None
        assert self._clock is not None
        if self._value is None or self._directory.undecidable(self._clock.time()):
            raise StoreUnavailable("The keys known here are too old to decide by.", headers=_LATER)

    async def current(self) -> KeySet:
        self.decide()
        assert self._value is not None
        return self._value

    async def renew(self) -> None:
        """There is nobody to ask."""

    def _refresh(self) -> None:
        assert self._directory is not None
        assert self._clock is not None
        keys, now = self._directory.current.signing_keys, self._clock.time()
        seen = (keys, keys.generation)
        if seen == self._seen and now < self._until:
            return
        self._seen = seen
        published = keys.published(now)
        self._until = min((ends for each in published if (ends := keys.ends(each)) is not None), default=float("inf"))
        value = _key_set([each.jwk for each in published])
        if value != self._value:
            self._value, self._generation = value, self._generation + 1


def _key_set(published: list[Mapping[str, Any]]) -> KeySet | None:
    from gateway.policy.tokens.signing_keys import from_jwks

    return from_jwks({"keys": published}) if published else None
