"""Names of signature algorithms (RFC 7518 section 3.1, RFC 8037). `none` is none of them."""

from __future__ import annotations

from typing import Final, Literal

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
SYMMETRIC: Final = frozenset(("HS256", "HS384", "HS512"))
ASYMMETRIC: Final[tuple[Algorithm, ...]] = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
