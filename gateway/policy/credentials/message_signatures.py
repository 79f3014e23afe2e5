"""HTTP Message Signatures (RFC 9421) over the raw head of a request. Imported where a step needs it.

Parsing, the signature base and the algorithms are http-message-signatures'; it takes the target as it was sent and
repairs nothing. Ours are the clock, the choice of one signature and of its key, and that the key decides the algorithm.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import http_sf
import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from gateway.core.clock import Clock
from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange, Head

log: Final = logging.getLogger("gateway.auth")

ALGORITHMS: Final[Mapping[str, type[HTTPSignatureAlgorithm]]] = {
    each.algorithm_id: each
    for each in (
        algorithms.ED25519,
        algorithms.ECDSA_P256_SHA256,
        algorithms.ECDSA_P384_SHA384,
        algorithms.RSA_PSS_SHA512,
        algorithms.RSA_V1_5_SHA256,
        algorithms.HMAC_SHA256,
    )
}
_BY_JWK: Final = {
    ("OKP", "Ed25519"): ("ed25519",),
    ("EC", "P-256"): ("ecdsa-p256-sha256",),
    ("EC", "P-384"): ("ecdsa-p384-sha384",),
    ("RSA", None): ("rsa-pss-sha512", "rsa-v1_5-sha256"),
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One key, good for one algorithm."""

    algorithm: str
    key: Any


@dataclass(frozen=True, slots=True)
class Offered:
    """The signature that is looked at, as it is offered: proved by `verify` alone."""

    keyid: str
    nonce: str | None


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proved signature covers, by component name without parameters."""

    covered: Mapping[str, str]
    nonce: str | None


def key_of(algorithm: str, text: str) -> VerifyingKey:
    """A PEM public key, or the secret of hmac-sha256. ValueError, which does not repeat it."""
    if algorithm == "hmac-sha256":
        if len(text) < 16:
            raise ValueError("the secret of hmac-sha256 has at least 16 bytes")
        return VerifyingKey(algorithm, text.encode())
    try:
        key = load_pem_public_key(text.encode())
        ALGORITHMS[algorithm](public_key=key)
    except Exception:  # whatever the libraries raise for what is no such key
        raise ValueError(f"it is no public key for {algorithm} in PEM") from None
    return VerifyingKey(algorithm, key)


@lru_cache(maxsize=4096)
def keys_of_jwk(text: bytes, allowed: frozenset[str]) -> tuple[VerifyingKey, ...]:
    """Of a JWK (RFC 7517) as JSON text; none where its kind is not allowed."""
    try:
        jwk = jwt.PyJWK.from_json(text.decode())
    except (jwt.PyJWTError, ValueError):
        return ()
    data = jwk._jwk_data
    fitting = _BY_JWK.get((str(jwk.key_type), data.get("crv")), ())
    return tuple(VerifyingKey(each, jwk.key) for each in fitting if each in allowed)


DECOY: Final = VerifyingKey("ed25519", ed25519.Ed25519PrivateKey.generate().public_key())
"""For key ids that nobody has: they take as long as known ones (CASES C40)."""


class _Message:
    """A request as the library reads one."""

    def __init__(self, head: Head) -> None:
        target = head.target + b"?" if head.lone else head.target
        self.method = head.method.decode("latin-1")
        self.request_target = target.decode("latin-1")
        self.url = f"{head.peer.scheme}://{head.host.decode('latin-1')}{self.request_target}"
        self.headers = _Lines(head)


class _Lines:
    def __init__(self, head: Head) -> None:
        self._lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.fields]

    def items(self) -> list[tuple[str, str]]:
        return self._lines


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, keyid: str, key: Any) -> None:
        self._keyid, self._key = keyid, key

    def resolve_public_key(self, key_id: str) -> Any:
        return self._key if key_id == self._keyid else None


class _Verifier(HTTPMessageVerifier):
    """With the gateway's clock."""

    clock: Clock

    def validate_created_and_expires(self, sig_input: Any, max_age: datetime.timedelta | None = None) -> None:
        """Seconds since 1970 (RFC 9421 section 2.3). InvalidSignature."""
        now, skew = self.clock.time(), self.max_clock_skew.total_seconds()
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created) is not int or created > now + skew:
            raise InvalidSignature("created is missing or in the future")
        if max_age is not None and created + max_age.total_seconds() < now - skew:
            raise InvalidSignature("it was created too long ago")
        if expires is not None and (type(expires) is not int or expires < now - skew):
            raise InvalidSignature("it has expired")


def offered(head: Head, tag: str | None) -> Offered | None:
    """The signature with this tag, or the only one; None when there is none. BadRequest when it is not one."""
    given = head.get(b"signature-input")
    if given is None or head.get(b"signature") is None:
        return None
    try:
        parsed: Any = http_sf.parse(given, tltype="dictionary")
    except Exception:  # whatever the library raises
        raise BadRequest("Signature-Input cannot be read (RFC 9421).") from None
    fitting = [params for _, params in parsed.values() if tag is None or params.get("tag") == tag]
    if not fitting and tag is not None:
        return None
    if len(fitting) != 1:
        raise BadRequest("Send one signature.")
    keyid, nonce = fitting[0].get("keyid"), fitting[0].get("nonce")
    if not isinstance(keyid, str) or not 0 < len(keyid) <= 512:
        raise BadRequest("A signature names its key: keyid.")
    return Offered(keyid, nonce if isinstance(nonce, str) else None)


class Verifier:
    """Times in seconds."""

    def __init__(self, clock: Clock, required: Sequence[str], tag: str | None, max_age: float, skew: float) -> None:
        self._required = tuple(required)
        self._tag = tag
        self._max_age = datetime.timedelta(seconds=max_age)
        self._clock = clock
        self._skew = datetime.timedelta(seconds=skew)

    def verify(self, exchange: Exchange, keyid: str, keys: Sequence[VerifyingKey]) -> Proved | None:
        """What the signature covers when one of the keys proves it."""
        message = _Message(exchange.head)
        for key in keys:
            verifier = _Verifier(signature_algorithm=ALGORITHMS[key.algorithm], key_resolver=_OneKey(keyid, key.key))
            verifier.clock, verifier.max_clock_skew = self._clock, self._skew
            try:
                results = verifier.verify(
                    message, max_age=self._max_age, expect_tag=self._tag, require_components=self._required
                )
            except Exception as error:  # InvalidSignature, and whatever else malformed input raises in the library
                log.debug("request %s: not by the key %s: %s", exchange.id, keyid, type(error).__name__)
                continue
            if len(results) == 1:
                return Proved(_plain(results[0].covered_components), results[0].nonce)
        return None


def _plain(covered: Mapping[str, str]) -> dict[str, str]:
    """Components without parameters: those with one cover a part only."""
    return {name[1:-1]: value for name, value in covered.items() if name[:1] == name[-1:] == '"'}
