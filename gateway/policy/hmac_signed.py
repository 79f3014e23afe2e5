"""`hmac`: a request that is signed with a secret that both sides have; each is good once and for a short time.

`{use: hmac, with: {keys: {partner: {secret: secret:partner_hmac, application: partner}}}}`. What is signed is told in
`policy/credentials/hmac_canonical.py`. A body is covered by its digest, which is compared with the body itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.errors import Unauthorized, Unpresented
from gateway.core.exchange import Exchange, Head, StepResult
from gateway.core.kinds import Built, Kind, Site
from gateway.core.secrets import KeyHasher
from gateway.policy.admit import admit
from gateway.policy.credentials import authorization, content_digest
from gateway.policy.credentials.hmac_canonical import (
    SCHEME,
    WEBHOOK_FIELDS,
    Signed,
    canonical,
    parameters,
    proves,
    webhook,
    webhook_content,
    webhook_secret,
)
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

log: Final = logging.getLogger("gateway.auth")

SAME_TEXT: Final = "The signature is not valid."
WEBHOOK_SCHEME: Final = "StandardWebhooks"
SHORTEST: Final = 16  # bytes of a secret


class Shared(Holder):
    secret: str = Field(min_length=1, repr=False, description="what both sides have, as secret:NAME")


class Hmac(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: Literal["penstock", "standard-webhooks"] = Field("penstock", description="how it is signed")
    keys: dict[str, Shared] = Field(default_factory=dict, description="by key id; webhooks name none, all are tried")
    directory: bool | None = Field(
        None, description="also credentials of the directory; default: where no keys are listed"
    )
    window: str = Field("5m", description="how far the time of signing may be from now, either way")
    body: Literal["signed", "unsigned"] = Field("signed", description="unsigned: a body without a digest is let pass")
    max_body: int = Field(1_048_576, ge=1, description="bytes of a body that is compared with its digest")

    @model_validator(mode="after")
    def _fits(self) -> Hmac:
        seconds(self.window)
        if self.scheme == "standard-webhooks" and (self.directory or not self.keys or len(self.keys) > 16):
            raise ValueError("a webhook names no key: list 1 to 16 `keys` that are tried")
        if self.scheme == "standard-webhooks" and self.body == "unsigned":
            raise ValueError("the body of a webhook is always signed")
        if not self.keys and self.directory is False:
            raise ValueError("nobody could call: list `keys`, or write directory: true")
        return self


def build(config: Hmac, site: Site) -> Built:
    name = SCHEME if config.scheme == "penstock" else WEBHOOK_SCHEME
    challenge = ((b"WWW-Authenticate", f'{name} realm="{site.component}"'.encode()),)
    within = _window(config, site, challenge)
    use = once(site, 2 * seconds(config.window) + 1, lambda text: Unauthorized(text, headers=challenge))

    def enter(exchange: Exchange, held: Held[bytes], signed: Signed, key: str) -> StepResult:
        """Proved: it is good once."""

        def go_on(exchange: Exchange) -> StepResult:
            try:
                return admit(exchange, held.identify())
            except NotInForce:
                raise Unauthorized(SAME_TEXT, headers=challenge) from None

        return use(exchange, f"{key}:{signed.nonce}", go_on)

    def refused(exchange: Exchange, reason: str) -> Unauthorized:
        log.info("request %s: hmac refused: %s", exchange.id, reason)
        return Unauthorized(SAME_TEXT, headers=challenge)

    if config.scheme == "standard-webhooks":
        fields = frozenset(WEBHOOK_FIELDS)
        return Built(_webhook_step(config, within, enter, refused, challenge), conceals=fields, credentials=fields)
    step = _signed_step(config, site, within, enter, refused, challenge)
    read = authorization.reader(SCHEME)

    def name_of(head: Head) -> str | None:
        text = read(head)
        return None if text is None else parameters(text).key

    presented = shown("hmac", site, name_of, "Authorization") if _asks_directory(config) else None
    return Built(step, conceals=frozenset((authorization.FIELD,)), presented=presented)


Within = Callable[[Signed], None]
Enter = Callable[[Exchange, Held[bytes], Signed, str], StepResult]
Refused = Callable[[Exchange, str], Unauthorized]
Challenge = tuple[tuple[bytes, bytes], ...]


def _window(config: Hmac, site: Site, challenge: Challenge) -> Within:
    clock: Clock = site.services.named("clock")
    window = seconds(config.window)

    def within(signed: Signed) -> None:
        if abs(clock.time() - signed.created) > window:
            raise Unauthorized(f"The time of signing is more than {window:g} s from now.", headers=challenge)

    return within


def _signed_step(
    config: Hmac, site: Site, within: Within, enter: Enter, refused: Refused, challenge: Challenge
) -> Callable[[Exchange], Any]:
    find = _finder(config, site)
    read = authorization.reader(SCHEME)
    nobody: Held[bytes] = Held((os.urandom(32),), _nobody)

    def authenticate(exchange: Exchange) -> StepResult:
        text = read(exchange.head)
        if text is None:
            raise Unpresented(f"Sign the request ({SCHEME}).", headers=challenge)
        signed = parameters(text)
        digest = exchange.head.get(content_digest.FIELD) or b""
        held = find(signed.key) or nobody
        if not proves(held.secrets, signed.signatures, canonical(exchange.head, signed, digest)) or held is nobody:
            raise refused(exchange, "another signature")
        within(signed)
        if digest:
            return with_body(exchange, config.max_body, lambda exchange: compare(exchange, held, signed, digest))
        if exchange.head.length and config.body == "signed":
            raise Unauthorized("The body is not signed: send Content-Digest (RFC 9530).", headers=challenge)
        return enter(exchange, held, signed, signed.key)

    def compare(exchange: Exchange, held: Held[bytes], signed: Signed, digest: bytes) -> StepResult:
        if not content_digest.agrees(digest, exchange.body or b""):
            raise refused(exchange, "another body")
        return enter(exchange, held, signed, signed.key)

    return authenticate


def _webhook_step(
    config: Hmac, within: Within, enter: Enter, refused: Refused, challenge: Challenge
) -> Callable[[Exchange], Any]:
    secrets = {name: webhook_secret(key.secret) for name, key in config.keys.items()}
    find = _own(config, secrets)

    def authenticate(exchange: Exchange) -> StepResult:
        signed = webhook(exchange)
        if signed is None:
            raise Unpresented("Sign the request (Standard Webhooks).", headers=challenge)
        within(signed)
        return with_body(exchange, config.max_body, lambda exchange: prove(exchange, signed))

    def prove(exchange: Exchange, signed: Signed) -> StepResult:
        content = webhook_content(exchange.head, exchange.body or b"")
        for name, secret in secrets.items():
            if proves((secret,), signed.signatures, content):
                held = find(name)
                assert held is not None
                return enter(exchange, held, signed, name)
        raise refused(exchange, "another signature")

    return authenticate


def _nobody() -> Any:
    raise AssertionError("nobody is never let in")


def _own(config: Hmac, secrets: dict[str, bytes]) -> Find[bytes]:
    if short := [name for name, secret in secrets.items() if len(secret) < SHORTEST]:
        raise ValueError(f"the secret of the key {short[0]} is too short: at least {SHORTEST} bytes")
    return listed("hmac", {name: (key, (secrets[name],)) for name, key in config.keys.items()})


def _asks_directory(config: Hmac) -> bool:
    return not config.keys if config.directory is None else config.directory


def _finder(config: Hmac, site: Site) -> Find[bytes]:
    own = _own(config, {name: key.secret.encode() for name, key in config.keys.items()})
    if not _asks_directory(config):
        return own
    return either(own, of_directory("hmac", "hmac", site, _opener(site)))


def _opener(site: Site) -> Callable[[Credential, float], tuple[bytes, ...]]:
    """Secrets of the directory are sealed."""
    from gateway.consumers.sealed import Sealer

    sealer = Sealer(site.services.of(KeyHasher))
    return lambda found, now: tuple(sealer.open(each["sealed"], found.context) for each in found.secrets(now))


KIND = Kind(
    "hmac",
    Hmac,
    build,
    protects=True,
    summary="Authenticates a request that is signed with a shared secret, once",
    family="authentication",
    example={"keys": {"partner": {"secret": "an example of a long secret", "application": "partner"}}},
    libraries=("gateway.consumers.sealed",),
)
