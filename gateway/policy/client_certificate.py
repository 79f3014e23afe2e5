"""`client-certificate`: who calls by the certificate of its TLS connection, or by that which a trusted proxy tells.

    {use: client-certificate, with: {certificates: [{name: "URI:spiffe://example/app", application: partner}]}}

The listener has verified the certificate against its authorities; this step says whom it lets in. A field is believed
only of the peers listed under `field.from`, and of them nothing else is: their own certificates are theirs. The fields
never go on to the backend.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.certificate import ClientCertificate
from gateway.core.errors import BadRequest, Unauthorized, Unpresented
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import finder
from gateway.core.identity import Identity
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.access_list import Entries, among
from gateway.policy.admit import admit
from gateway.policy.credentials.holders import Find, Holder, NotInForce, of_directory, shown

log: Final = logging.getLogger("gateway.auth")

FIELDS: Final = frozenset((b"client-cert", b"client-cert-chain", b"x-forwarded-client-cert"))
SAME_TEXT: Final = "The client certificate is not one that may call."
_KINDS: Final = {"DNS": "DNS", "URI": "URI", "IP": "IP Address", "email": "email"}
Read = Callable[[Head], ClientCertificate | None]


class Wanted(Holder):
    """All that is given must fit; who calls is the certificate's subject."""

    subject: str | None = Field(None, description="as RFC 4514 writes it, such as CN=app,O=Example")
    issuer: str | None = Field(None, description="likewise")
    name: str | None = Field(None, description="an alternative name: DNS:…, URI:…, IP:… or email:…")
    fingerprint: str | None = Field(None, description="SHA-256 of the certificate, hexadecimal")

    @field_validator("fingerprint")
    @classmethod
    def _plain(cls, text: str | None) -> str | None:
        if text is None:
            return None
        plain = text.replace(":", "").lower()
        if len(plain) != 64 or set(plain) - set("0123456789abcdef"):
            raise ValueError("a fingerprint is the SHA-256 in 64 hexadecimal digits, with or without colons")
        return plain

    @model_validator(mode="after")
    def _fits(self) -> Wanted:
        if self.name is not None and self.name.partition(":")[0] not in _KINDS:
            raise ValueError(f"a name begins with its kind: {', '.join(_KINDS)}, such as DNS:app.example")
        if (self.subject, self.issuer, self.name, self.fingerprint) == (None, None, None, None):
            raise ValueError("say which certificate: subject, issuer, name or fingerprint")
        return self

    def fits(self, certificate: ClientCertificate) -> bool:
        if self.name is not None:
            kind, _, value = self.name.partition(":")
            if (_KINDS[kind], value) not in certificate.names:
                return False
        pairs = (
            (self.subject, certificate.subject),
            (self.issuer, certificate.issuer),
            (self.fingerprint, certificate.fingerprint),
        )
        return all(wanted in (None, there) for wanted, there in pairs)


class ProxyField(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Literal["client-cert", "x-forwarded-client-cert"] = Field("client-cert", description="which the proxy writes")
    from_: tuple[str, ...] = Field(alias="from", min_length=1, description="addresses and networks of the proxies")

    @field_validator("from_")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        return Entries(clients=proxies).clients


class Certificates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    certificates: tuple[Wanted, ...] = Field((), description="who may call; the first that fits counts")
    directory: bool | None = Field(
        None, description="also credentials of the directory; default: where none are listed"
    )
    field: ProxyField | None = Field(None, description="believe this field of these proxies")

    @model_validator(mode="after")
    def _fits(self) -> Certificates:
        if not self.certificates and self.directory is False:
            raise ValueError("nobody could call: list `certificates`, or write directory: true")
        return self


def build(config: Certificates, site: Site) -> Built:
    read = _of_connection if config.field is None else _reader(config.field)
    identify = _identifier(config, site)
    challenge = ((b"WWW-Authenticate", f'ClientCertificate realm="{site.component}"'.encode()),)

    def authenticate(exchange: Exchange) -> Any:
        certificate = read(exchange.head)
        if certificate is None:
            raise Unpresented("Call with a client certificate.", headers=challenge)
        try:
            identity = identify(certificate)
        except NotInForce:
            identity = None
        if identity is None:
            log.info("request %s: client certificate %s refused", exchange.id, certificate.fingerprint)
            raise Unauthorized(SAME_TEXT, headers=challenge)
        return admit(exchange, identity)

    def name_of(head: Head) -> str | None:
        certificate = read(head)
        return None if certificate is None else certificate.fingerprint

    presented = shown("certificate", site, name_of, None) if _asks_directory(config) else None
    return Built(step=authenticate, conceals=FIELDS, presented=presented)


def _asks_directory(config: Certificates) -> bool:
    return not config.certificates if config.directory is None else config.directory


def _of_connection(head: Head) -> ClientCertificate | None:
    return head.peer.certificate


def _reader(field: ProxyField) -> Read:
    from gateway.policy.credentials import certificate_fields

    believed = among(field.from_)
    find = finder(field.name.encode())
    parse = certificate_fields.client_cert if field.name == "client-cert" else certificate_fields.forwarded_client_cert

    def read(head: Head) -> ClientCertificate | None:
        if believed(head.peer.address) is not True:
            return head.peer.certificate
        values = find(head.block)
        if not values:
            return None
        if len(values) > 1:
            raise BadRequest(f"{field.name} stands in more than one place. Send it once.")
        return parse(values[0])

    return read


def _identifier(config: Certificates, site: Site) -> Callable[[ClientCertificate], Identity | None]:
    find = _of_directory(site) if _asks_directory(config) else None

    def identify(certificate: ClientCertificate) -> Identity | None:
        for wanted in config.certificates:
            if wanted.fits(certificate):
                return _identity(wanted, certificate)
        return None if find is None else _held(find, certificate)

    return identify


def _identity(wanted: Wanted, certificate: ClientCertificate) -> Identity:
    subject = certificate.subject or certificate.fingerprint
    about = (wanted.application, wanted.plan, certificate.fingerprint, wanted.scopes)
    return Identity(subject[:256], "client-certificate", *about, roles=wanted.roles)


def _of_directory(site: Site) -> Find[None]:
    return of_directory("certificate", "client-certificate", site, lambda _found, _now: ())


def _held(find: Find[None], certificate: ClientCertificate) -> Identity | None:
    """By the certificate itself, or by whom it is for and by whom it was issued."""
    held = find(certificate.fingerprint)
    if held is None and certificate.issuer:
        held = find(f"{certificate.subject} by {certificate.issuer}")
    return None if held is None else held.identify()


KIND = Kind(
    "client-certificate",
    Certificates,
    build,
    protects=True,
    summary="Authenticates by the certificate of the TLS connection, or that a trusted proxy tells",
    family="authentication",
    example={"certificates": [{"name": "DNS:app.example", "application": "partner"}]},
    libraries=("gateway.policy.credentials.certificate_fields",),
)
