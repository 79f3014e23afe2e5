"""`http-signature`: a request that is signed as RFC 9421 says, with a key that is listed or in the directory.

    {use: http-signature, with: {keys: {partner: {algorithm: ed25519, key: secret:partner_key, application: partner}}}}

The key decides the algorithm, never the message. What `required` lists must be covered; a body must be covered by
Content-Digest (RFC 9530), which is compared with the body itself. A signature with a nonce is good once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.durations import seconds
from gateway.core.errors import Unauthorized, Unpresented
from gateway.core.exchange import Exchange, Head, StepResult
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.admit import admit
from gateway.policy.credentials import content_digest
from gateway.policy.credentials.holders import (
    Credential,
    Find,
    Held,
    Holder,
    NotInForce,
    either,
    listed,
    of_directory,
    shown,
)
from gateway.policy.credentials.replay import once
from gateway.policy.credentials.whole_body import with_body

if TYPE_CHECKING:
    from gateway.policy.credentials.message_signatures import Proved, VerifyingKey

log: Final = logging.getLogger("gateway.auth")

Algorithm = Literal[
    "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256"
]
SAME_TEXT: Final = "The signature is not valid."
DEFAULT: Final = ("@method", "@target-uri")


class SignatureKey(Holder):
    algorithm: Algorithm = Field(description="what it is for, and nothing else")
    key: str = Field(min_length=1, repr=False, description="a public key in PEM, or the secret of hmac-sha256")


class HttpSignature(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: dict[str, SignatureKey] = Field(default_factory=dict, description="by keyid")
    directory: bool | None = Field(
        None, description="also public keys of the directory; default: where no keys are listed"
    )
    algorithms: frozenset[Algorithm] = Field(
        frozenset({"ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512"}),
        description="for which a key of the directory may be used",
    )
    required: tuple[str, ...] = Field(DEFAULT, min_length=1, description="components that must be covered")
    tag: str | None = Field(None, description="of the signature that counts, where there are several")
    max_age: str = Field("5m", description="how long after `created` it is good")
    skew: str = Field("30s", description="by how much clocks may differ")
    nonce: Literal["required", "checked", "ignored"] = Field("checked", description="checked: once, where there is one")
    body: Literal["signed", "unsigned"] = Field("signed", description="unsigned: a body need not be covered")
    max_body: int = Field(1_048_576, ge=1, description="bytes of a body that is compared with its digest")

    @model_validator(mode="after")
    def _fits(self) -> HttpSignature:
        seconds(self.max_age), seconds(self.skew)
        if not self.keys and self.directory is False:
            raise ValueError("nobody could call: list `keys`, or write directory: true")
        return self


def build(config: HttpSignature, site: Site) -> Built:
    from gateway.policy.credentials.message_signatures import offered

    def name_of(head: Head) -> str | None:
        found = offered(head, config.tag)
        return None if found is None else found.keyid

    return Built(
        step=_Authentication(config, site).authenticate,
        conceals=frozenset((b"signature", b"signature-input")),
        presented=shown("public-key", site, name_of, "Signature-Input") if _asks_directory(config) else None,
    )


class _Signer(NamedTuple):
    """Whose signature it is, and what it covers."""

    keyid: str
    held: Held[VerifyingKey]
    proved: Proved


class _Authentication:
    """The step: the signature first, then what it covers, then its nonce."""

    def __init__(self, config: HttpSignature, site: Site) -> None:
        from gateway.policy.credentials import message_signatures

        self._signatures = message_signatures
        self._config = config
        self._find = _finder(config, site)
        max_age, skew = seconds(config.max_age), seconds(config.skew)
        clock = site.services.named("clock")
        self._verifier = message_signatures.Verifier(clock, config.required, config.tag, max_age, skew)
        self._challenge = _challenge(config, site.component)
        self._use = once(site, max_age + 2 * skew + 1, self._unauthorized)

    def _unauthorized(self, text: str) -> Unauthorized:
        return Unauthorized(text, headers=self._challenge)

    def _refused(self, exchange: Exchange, reason: str) -> Unauthorized:
        log.info("request %s: http signature refused: %s", exchange.id, reason)
        return self._unauthorized(SAME_TEXT)

    def authenticate(self, exchange: Exchange) -> StepResult:
        found = self._signatures.offered(exchange.head, self._config.tag)
        if found is None:
            raise Unpresented("Sign the request (RFC 9421).", headers=self._challenge)
        held = self._find(found.keyid)
        keys = (self._signatures.DECOY,) if held is None else held.secrets
        proved = self._verifier.verify(exchange, found.keyid, keys)
        if held is None or proved is None:
            raise self._refused(exchange, "another signature")
        if self._config.nonce == "required" and proved.nonce is None:
            raise self._unauthorized("Sign with a nonce, another for each request.")
        return self._covered(exchange, _Signer(found.keyid, held, proved))

    def _covered(self, exchange: Exchange, signer: _Signer) -> StepResult:
        """Of a digest that is signed the body is; one that is not signed proves nothing."""
        digest = signer.proved.covered.get("content-digest")
        if digest is not None:
            value = digest.encode("latin-1")
            return with_body(exchange, self._config.max_body, lambda exchange: self._compare(exchange, signer, value))
        if exchange.head.length and self._config.body == "signed":
            raise self._unauthorized("The body is not signed: cover Content-Digest (RFC 9530).")
        return self._enter(exchange, signer)

    def _compare(self, exchange: Exchange, signer: _Signer, digest: bytes) -> StepResult:
        if not content_digest.agrees(digest, exchange.body or b""):
            raise self._refused(exchange, "another body")
        return self._enter(exchange, signer)

    def _enter(self, exchange: Exchange, signer: _Signer) -> StepResult:
        def go_on(exchange: Exchange) -> StepResult:
            try:
                return admit(exchange, signer.held.identify())
            except NotInForce:
                raise self._unauthorized(SAME_TEXT) from None

        nonce = signer.proved.nonce
        if nonce is None or self._config.nonce == "ignored":
            return go_on(exchange)
        return self._use(exchange, f"{signer.keyid}:{nonce}", go_on)


def _challenge(config: HttpSignature, component: str) -> tuple[tuple[bytes, bytes], ...]:
    """RFC 9421 section 5.1 says what is wanted; RFC 9110 wants a challenge as well."""
    names = " ".join(f'"{name}"' for name in config.required if '"' not in name)
    wanted = f"sig1=({names});created;keyid" + (";nonce" if config.nonce == "required" else "")
    tag = f';tag="{config.tag}"' if config.tag else ""
    return (
        (b"WWW-Authenticate", f'Signature realm="{component}"'.encode()),
        (b"Accept-Signature", f"{wanted}{tag}".encode()),
    )


def _asks_directory(config: HttpSignature) -> bool:
    return not config.keys if config.directory is None else config.directory


def _finder(config: HttpSignature, site: Site) -> Find[VerifyingKey]:
    from gateway.policy.credentials.message_signatures import key_of

    own = listed(
        "http-signature", {name: (key, (key_of(key.algorithm, key.key),)) for name, key in config.keys.items()}
    )
    if not _asks_directory(config):
        return own
    return either(own, of_directory("public-key", "http-signature", site, _reader(config)))


def _reader(config: HttpSignature) -> Callable[[Credential, float], tuple[VerifyingKey, ...]]:
    from gateway.policy.credentials.message_signatures import keys_of_jwk

    allowed = frozenset[str](config.algorithms)

    def read(found: Credential, now: float) -> tuple[VerifyingKey, ...]:
        return tuple(key for each in found.secrets(now) for key in keys_of_jwk(orjson.dumps(each["jwk"]), allowed))

    return read


KIND = Kind(
    "http-signature",
    HttpSignature,
    build,
    protects=True,
    summary="Authenticates a request that is signed as RFC 9421 says",
    family="authentication",
    example={
        "keys": {
            "partner": {
                "algorithm": "hmac-sha256",
                "key": "an example of a long secret",
                "application": "partner",
            }
        }
    },
    libraries=("gateway.policy.credentials.message_signatures",),
)
