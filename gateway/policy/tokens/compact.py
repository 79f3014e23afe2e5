"""A signed token in its compact form (RFC 7515 section 3.1, RFC 7519), taken apart and verified.

The algorithms are PyJWT's; the header is read here, once, as strictly as RFC 8725 wants: it chooses nothing but a name
among the keys that are known. `jwk`, `jku`, `x5u` and `x5c` in it are never looked at (CASES C45).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.signing_keys import LONGEST_KID, SigningKey, verifiers

_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(slots=True)
class Signed:
    """A token whose signature is not verified yet."""

    kid: str | None
    algorithm: str
    signed: bytes
    payload: bytes
    signature: bytes


class Compact:
    """`types`: what `typ` may be (lower case, without `application/`); None stands for a token without one."""

    def __init__(self, algorithms: Iterable[str], types: Iterable[str | None]) -> None:
        self._verify = {name: each.verify for name, each in verifiers(algorithms).items()}
        self._types = frozenset(types)

    def read(self, token: bytes) -> Signed:
        """Raises InvalidToken, whose text is for the log."""
        match = _COMPACT.fullmatch(token)
        if match is None:
            raise InvalidToken("it is no signed token in compact form")
        head, payload, signature = match.groups()
        header = _object(head, "header")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._verify:
            raise InvalidToken("its alg is not allowed")
        if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11: nothing that could stand there is understood
            raise InvalidToken("its crit is not understood")
        if kid is not None and not (isinstance(kid, str) and len(kid) <= LONGEST_KID):
            raise InvalidToken("its kid is no text, or too long")
        if _type(header.get("typ")) not in self._types:
            raise InvalidToken("its typ is not allowed")
        return Signed(kid, algorithm, token[: match.end(2)], payload, _decoded(signature))

    def unproved(self, token: Signed) -> dict[str, Any]:
        """What it says, which nobody has signed yet: for whom to look. Raises InvalidToken."""
        return _object(token.payload, "payload")

    def claims(self, token: Signed, keys: Iterable[SigningKey]) -> dict[str, Any]:
        """What it says, once one of the keys has signed it. Raises InvalidToken."""
        verify = self._verify[token.algorithm]
        for each in keys:
            if verify(token.signed, each.key, token.signature):
                return _object(token.payload, "payload")
        raise InvalidToken("its signature is not by a key that is known")


def _type(given: object) -> object:
    """RFC 7515 section 4.1.9: without case, `application/` may be left out."""
    return given.lower().removeprefix("application/") if isinstance(given, str) else given if given is None else ""


def _object(part: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(_decoded(part))
    except ValueError:
        raise InvalidToken(f"its {what} is no JSON") from None
    if not isinstance(found, Mapping):
        raise InvalidToken(f"its {what} is no JSON object")
    return found  # type: ignore[return-value]  # what JSON objects become


def _decoded(part: bytes) -> bytes:
    """base64url without padding; the alphabet was seen to."""
    try:
        return binascii.a2b_base64(part.translate(_STANDARD) + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise InvalidToken("it is not in base64url") from None
