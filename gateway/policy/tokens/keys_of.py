"""The keys of a configuration: given in it, or published by somebody else. Loads `jwt`."""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson

from gateway.policy.tokens.signing_keys import KeySet, from_jwks


class KeySource(Protocol):
    """What `Remote` offers; see there."""

    @property
    def value(self) -> KeySet | None: ...
    @property
    def generation(self) -> int: ...
    @property
    def due(self) -> float: ...
    @property
    def may_renew(self) -> bool: ...
    def look(self) -> bool: ...
    def decide(self) -> None: ...
    async def current(self) -> KeySet: ...
    async def renew(self) -> None: ...


class Given:
    """Keys that stand in the configuration: there is nothing to ask again."""

    generation: Final = 0
    due: Final = float("inf")
    may_renew: Final = False

    def __init__(self, value: KeySet) -> None:
        self.value = value

    def look(self) -> bool:
        return True

    def decide(self) -> None:
        """What is not there does not exist."""

    async def current(self) -> KeySet:
        return self.value

    async def renew(self) -> None:
        """See `decide`."""


def given_set(jwks: Any) -> KeySet:
    """A JWK set as a mapping, or as text (a secret's). ValueError."""
    if isinstance(jwks, str):
        try:
            jwks = orjson.loads(jwks)
        except ValueError:
            raise ValueError("the key set is no JSON") from None
    return from_jwks(jwks)
