"""What a token's claims must say (RFC 7519 section 4.1), with the time as an argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.core.conditions import compile_value
from gateway.policy.claims import reader
from gateway.policy.tokens.refusals import EXPIRED, InvalidToken


class Rules:
    """`issuer` and `audience` None: not looked at. Times in seconds. `endless`: claims may have no `exp`."""

    def __init__(
        self, issuer: str | None, audience: Iterable[str] | None, leeway: float, endless: bool = False
    ) -> None:
        self._endless = endless
        self._issuer = issuer
        self._audience = None if audience is None else frozenset(audience)
        self._leeway = leeway

    def check(self, claims: Mapping[str, Any], now: float) -> tuple[float, float]:
        """From when and until when the token holds, leeway included. InvalidToken when that is not now, or when it was
        issued by or for somebody else."""
        since, until = self._times(claims)
        if now >= until:
            raise InvalidToken("it has expired", EXPIRED)
        if now < since:
            raise InvalidToken("it is not valid yet")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise InvalidToken("its iss is another")
        if self._audience is not None and not self._audience & _audience(claims.get("aud")):
            raise InvalidToken("its aud is another")
        return since, until

    def _times(self, claims: Mapping[str, Any]) -> tuple[float, float]:
        expiry, begin = _time(claims, "exp"), _time(claims, "nbf")
        _time(claims, "iat")
        if expiry is None and not self._endless:
            raise InvalidToken("it has no exp")
        since = -math.inf if begin is None else begin - self._leeway
        return since, math.inf if expiry is None else expiry + self._leeway


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2)."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidToken(f"its {name} is no number")
    return value


def _audience(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset((value,))
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return frozenset(value)
    return frozenset()


Demand = Callable[[Mapping[str, Any]], str | None]


def demands(required: Mapping[str, Any]) -> Demand | None:
    """A function to the first claim that does not match, or None. Claims are named as in `policy.claims`, matchers are
    those of `when`; ValueError names what is wrong with one."""
    tests = [(path, reader((path,)), compile_value(spec, f"required.{path}")) for path, spec in required.items()]
    if not tests:
        return None

    def first_wrong(claims: Mapping[str, Any]) -> str | None:
        return next((path for path, read, matches in tests if not matches(read(claims))), None)

    return first_wrong
