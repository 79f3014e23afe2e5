"""A client's certificate, as a listener that asks for one has verified it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

# Short names of RFC 4514 section 3; others are written as OpenSSL names them.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class ClientCertificate(NamedTuple):
    """`subject` and `issuer` are written as RFC 4514 says; `serial` and `fingerprint` (SHA-256 of the DER form) are
    lower-case hexadecimal; `names` are the subject's alternative names as (kind, value), kinds as OpenSSL names them:
    `("DNS", "app.example")`, `("URI", "spiffe://example/app")`, `("IP Address", "192.0.2.1")`, `("email", …)`."""

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    names: tuple[tuple[str, str], ...] = ()
    not_after: str = ""


def client_certificate(decoded: Mapping[str, Any], der: bytes) -> ClientCertificate:
    """Of what `ssl.SSLObject.getpeercert` gives, in both its forms."""
    return ClientCertificate(
        subject=_name(decoded.get("subject", ())),
        issuer=_name(decoded.get("issuer", ())),
        serial=str(decoded.get("serialNumber", "")).lower(),
        fingerprint=sha256(der).hexdigest(),
        names=tuple((str(kind), str(value)) for kind, value in decoded.get("subjectAltName", ())),
        not_after=str(decoded.get("notAfter", "")),
    )


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """RFC 4514 section 2.1: the last relative name first."""
    texts = ["+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in parts]
    return ",".join(reversed(texts))


def _escaped(value: str) -> str:
    """RFC 4514 section 2.4."""
    escaped = "".join(f"\\{letter}" if letter in '\\,+"<>;=' else letter for letter in value).replace("\0", "\\00")
    if escaped[:1] in {" ", "#"}:
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if len(value) > 1 and value.endswith(" ") else escaped
