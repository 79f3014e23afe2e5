"""What is kept of a secret, a public key or a certificate that a credential is proved by; and what is shown once.

Imported where credentials are written: argon2, PyJWT and `cryptography` are loaded here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import argon2
import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.consumers.credentials import Type, subject_name
from gateway.consumers.sealed import Sealer
from gateway.core.errors import InvalidInput
from gateway.core.secrets import KeyHasher, new_credential

# OWASP's least parameters: 19 MiB and about 20 ms, as workers check them. A hash holds its own.
_ARGON2: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}\Z")
_SHORTEST: Final = {"password": 12, "secret": 32}  # characters, of those that somebody chose
_LONGEST: Final = 512
_LEAST_RSA: Final = 2048  # bits (NIST SP 800-131A)
_PUBLIC: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops")  # RFC 7518 section 6
_MOST_KEYS: Final = 20  # of a JWKS
TAKEN: Final[Mapping[Type, tuple[str, ...]]] = {
    "basic": ("password",),
    "hmac": ("secret",),
    "public-key": ("public_key", "jwk"),
    "certificate": ("certificate", "fingerprint", "subject", "issuer"),
    "oauth-client": ("client_secret", "jwks"),
}


@dataclass(frozen=True, slots=True)
class Material:
    """`kept` goes into the record; `shown` is the plaintext, None for what we never had. `name` and `ends` are those
    that a certificate tells."""

    kept: Mapping[str, Any]
    shown: str | None = None
    name: str | None = None
    ends: float | None = None
    about: Mapping[str, str] = field(default_factory=dict)


def make(type: Type, name: str | None, given: Mapping[str, Any], hasher: KeyHasher) -> Material:
    """InvalidInput for what cannot be used; its text never quotes a secret. May take 20 ms: call it in a thread."""
    if unknown := sorted(given.keys() - set(TAKEN[type])):
        raise InvalidInput(f"A credential of type {type} takes {', '.join(TAKEN[type])}.", target=unknown[0])
    if type == "basic":
        password = _chosen(given, "password") or new_credential("pw_")
        return Material({"argon2": _ARGON2.hash(password)}, password)
    if type == "hmac":
        secret = _chosen(given, "secret") or new_credential("hs_")
        return Material({"sealed": Sealer(hasher).seal(secret.encode(), f"{type}/{name}")}, secret)
    if type == "public-key":
        return Material({"jwk": _public_key(given)})
    return _certificate(given) if type == "certificate" else _client(given, hasher)


def _chosen(given: Mapping[str, Any], what: str) -> str | None:
    text: str | None = given.get(what)
    if text is not None and not _SHORTEST[what] <= len(text) <= _LONGEST:
        raise InvalidInput(f"A chosen {what} has {_SHORTEST[what]} to {_LONGEST} characters.", target=what)
    return text


def _client(given: Mapping[str, Any], hasher: KeyHasher) -> Material:
    kept: dict[str, Any] = {}
    shown = None
    if "jwks" in given:
        kept["jwks"] = _key_set(given["jwks"])
    if given.get("client_secret", "jwks" not in given):
        shown = new_credential("cs_")
        kept["digest"] = hasher.digest(shown.encode()).hex()
    if not kept:
        raise InvalidInput("An OAuth client has a secret, `jwks`, or both.", target="client_secret")
    return Material(kept, shown)


def _key_set(jwks: Any) -> dict[str, Any]:
    """RFC 7517 section 5: public keys, each with its own `kid` where there are several."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= _MOST_KEYS or not all(isinstance(e, dict) for e in keys):
        raise InvalidInput(f'`jwks` is {{"keys": […]}} with 1 to {_MOST_KEYS} public keys.', target="jwks")
    found = [_jwk(each, "jwks") for each in keys]
    if len(found) > 1 and len({each.get("kid") for each in found} - {None}) != len(found):
        raise InvalidInput("Each of several keys in `jwks` has a `kid` of its own.", target="jwks")
    return {"keys": found}


def _public_key(given: Mapping[str, Any]) -> dict[str, Any]:
    if ("public_key" in given) == ("jwk" in given):
        raise InvalidInput("Send one of `public_key` (PEM) and `jwk`.", target="public_key")
    return _jwk(given["jwk"], "jwk") if "jwk" in given else _from_pem(given["public_key"])


def _from_pem(text: str) -> dict[str, Any]:
    if "PRIVATE KEY" in text:
        raise InvalidInput("This is a private key: keep it, and send its public key.", target="public_key")
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "`public_key` is no public key as PEM (-----BEGIN PUBLIC KEY-----).", target="public_key"
        ) from None
    return _as_jwk(key, "public_key")


def _as_jwk(key: Any, target: str) -> dict[str, Any]:
    """Its public members (RFC 7518 section 6, RFC 8037)."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _LEAST_RSA:
            raise InvalidInput(f"An RSA key has {_LEAST_RSA} bits or more; this has {key.key_size}.", target=target)
        return _members(RSAAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _members(ECAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return _members(OKPAlgorithm.to_jwk(key, as_dict=True))
    raise InvalidInput("A public key is RSA, EC (P-256, P-384, P-521), Ed25519 or Ed448.", target=target)


def _members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in _PUBLIC if name in jwk}


def _jwk(jwk: Mapping[str, Any], target: str) -> dict[str, Any]:
    if jwk.keys() & {"d", "k", "p", "q"} or jwk.get("kty") == "oct":
        raise InvalidInput("A key here is a public one: leave its private members out.", target=target)
    try:
        key = jwt.PyJWK.from_dict(dict(jwk)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise InvalidInput(f"`{target}` holds no public key that is understood (RFC 7517).", target=target) from None
    extra = {name: jwk[name] for name in ("kid", "alg", "use") if isinstance(jwk.get(name), str)}
    return _as_jwk(key, target) | extra


def _certificate(given: Mapping[str, Any]) -> Material:
    ways = ["certificate" in given, "fingerprint" in given, "subject" in given or "issuer" in given]
    if sum(ways) != 1:
        raise InvalidInput(
            "Send `certificate` (PEM), or `fingerprint`, or `subject` and `issuer`.", target="certificate"
        )
    if "certificate" in given:
        return _from_certificate(given["certificate"])
    if "fingerprint" in given:
        name = given["fingerprint"].replace(":", "").lower()
        if _FINGERPRINT.match(name) is None:
            raise InvalidInput(
                "`fingerprint` is the SHA-256 of the certificate: 64 hexadecimal digits.", target="fingerprint"
            )
        return Material({}, name=name)
    if not given.get("subject") or not given.get("issuer"):
        raise InvalidInput("`subject` and `issuer` go together: others may issue for the same name.", target="issuer")
    about = {"subject": given["subject"], "issuer": given["issuer"]}
    if not all(each.isprintable() and len(each) <= _LONGEST for each in about.values()):
        raise InvalidInput(f"A name is written as RFC 4514 says, in at most {_LONGEST} characters.", target="subject")
    return Material({}, name=subject_name(**about), about=about)


def _from_certificate(text: str) -> Material:
    """It ends when the certificate does."""
    try:
        found = x509.load_pem_x509_certificate(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "`certificate` is no certificate as PEM (-----BEGIN CERTIFICATE-----).", target="certificate"
        ) from None
    about = {"subject": found.subject.rfc4514_string(), "issuer": found.issuer.rfc4514_string()}
    ends = found.not_valid_after_utc.timestamp()
    return Material({}, name=found.fingerprint(hashes.SHA256()).hex(), ends=ends, about=about)
