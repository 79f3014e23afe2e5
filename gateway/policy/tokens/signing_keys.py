"""Keys by which tokens are verified: from a JWK set, PEM or a secret. Each is used with the algorithms that fit it, and
no other, so that a public key never becomes a secret (RFC 8725 section 3.1, CASES C44).

Loads `jwt` and `cryptography`: for `build` of kinds that name this module among their `libraries`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import get_algorithm_by_name
from jwt.algorithms import Algorithm

from gateway.policy.tokens.algorithms import SYMMETRIC

log: Final = logging.getLogger("gateway.auth")

MOST: Final = 100  # keys of a set
UNNAMED: Final = 8  # keys that are tried for a token that names none
LONGEST_KID: Final = 256  # characters
RSA_BITS: Final = (2048, 8192)
SLOW_BITS: Final = 4096  # a verification by a larger key takes the loop longer than 0.1 ms
LARGEST_EXPONENT: Final = 2**32

_RSA: Final = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_CURVES: Final[Mapping[str, str]] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_SECRET_LENGTH: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes, RFC 7518 section 3.2


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`key` is what the algorithms' `verify` takes; `kid` None: it serves whatever a token names."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any


class KeySet:
    """Looked up by what a token's header names. Sets of the same content are equal."""

    def __init__(self, keys: Iterable[SigningKey], content: object) -> None:
        self._content = content
        self._found: dict[tuple[str | None, str], tuple[SigningKey, ...]] = {}
        self.kids = frozenset[str | None]()
        for key in keys:
            self.kids |= {key.kid}
            for algorithm in key.algorithms:
                for name in {key.kid, None}:
                    self._found[name, algorithm] = (*self._found.get((name, algorithm), ()), key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self._content == other._content

    def __hash__(self) -> int:
        return hash(KeySet)

    def knows(self, kid: str | None) -> bool:
        return kid is None or kid in self.kids or None in self.kids

    def find(self, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """Those to try: one of that name, or without a name those that fit, where they are few."""
        if kid in self.kids:
            return self._found.get((kid, algorithm), ())
        if kid is None:
            keys = self._found.get((None, algorithm), ())
            return keys if len(keys) <= UNNAMED else ()
        return tuple(key for key in self._found.get((None, algorithm), ()) if key.kid is None)[:UNNAMED]


def from_jwks(document: Any) -> KeySet:
    """The keys of a JWK set (RFC 7517 section 5) that verify signatures; others, broken and symmetric ones are left
    out, as a set that anybody may read holds no secrets. ValueError when it is no set, or holds no such key."""
    if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list | tuple):
        raise ValueError("this is no JWK set: an object with a list `keys` (RFC 7517 section 5)")
    keys = []
    for jwk in document["keys"][:MOST]:
        try:
            keys.append(_from_jwk(jwk))
        except Exception as error:  # whatever a library finds wrong with one key, the others serve
            log.info("a key of a JWK set is left out: %s", _reason(error))
    if not keys:
        raise ValueError("the JWK set holds no key that can verify a signature")
    return KeySet(keys, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def _from_jwk(jwk: Any) -> SigningKey:
    if not isinstance(jwk, Mapping):
        raise ValueError("it is no object")
    kid = jwk.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > LONGEST_KID):
        raise ValueError("its kid is no text, or too long")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise ValueError("it is not for signatures")
    if jwk.get("kty") not in _TYPES:
        raise ValueError("it is neither RSA, EC nor OKP")
    public = {name: value for name, value in jwk.items() if name not in _PRIVATE}
    name = _TYPES[jwk["kty"]]
    key = public_key(get_algorithm_by_name(name).from_jwk(public), kid)
    stated = jwk.get("alg")
    if stated is None:
        return key
    algorithms = key.algorithms & {stated}
    if not algorithms:
        raise ValueError("its alg does not fit its type")
    return SigningKey(kid, algorithms, key.key)


_TYPES: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def _reason(error: Exception) -> str:
    """In our own words, as a library's may hold the key."""
    return str(error) if type(error) is ValueError else type(error).__name__


def public_key(key: Any, kid: str | None = None) -> SigningKey:
    """A key with the algorithms that fit it. ValueError for one that is too weak, too large, or of another kind."""
    if isinstance(key, rsa.RSAPublicKey):
        least, most = RSA_BITS
        if not least <= key.key_size <= most:
            raise ValueError(f"an RSA key has {least} to {most} bits, not {key.key_size}")
        if key.public_numbers().e > LARGEST_EXPONENT:
            raise ValueError("its exponent is too large")
        if key.key_size > SLOW_BITS:
            log.warning("an RSA key of %d bits: each new token takes the event loop more than 0.1 ms", key.key_size)
        return SigningKey(kid, _RSA, key)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return SigningKey(kid, frozenset((_CURVES[key.curve.name],)), key)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return SigningKey(kid, frozenset(("EdDSA",)), key)
    raise ValueError("it is neither RSA, EC (P-256, P-384, P-521) nor Ed25519 or Ed448")


def from_pem(text: str) -> KeySet:
    """A public key or a certificate in PEM. ValueError; its text holds no key."""
    data = text.strip().encode()
    if b"PRIVATE KEY" in data:
        raise ValueError("a private key is nothing that a gateway should have; give its public key")
    try:
        if b"BEGIN CERTIFICATE" in data:
            key: Any = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, TypeError):
        raise ValueError("this is no public key or certificate in PEM") from None
    return KeySet([public_key(key)], data)


def from_secret(secret: str, algorithms: Iterable[str]) -> KeySet:
    """For HS256 and its like. ValueError for one that is shorter than the hash (RFC 7518 section 3.2)."""
    data, chosen = secret.encode(), frozenset(algorithms) & SYMMETRIC
    for name in sorted(chosen):
        if len(data) < _SECRET_LENGTH[name]:
            raise ValueError(f"a secret for {name} has at least {_SECRET_LENGTH[name]} bytes (RFC 7518 section 3.2)")
    return KeySet([SigningKey(None, chosen, data)], data)


def verifiers(algorithms: Iterable[str]) -> dict[str, Algorithm]:
    return {name: get_algorithm_by_name(name) for name in algorithms}
